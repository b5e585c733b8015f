"""The two streams: data go to stdout, talk goes to stderr."""

from __future__ import annotations

from rich.console import Console

# Labels and paths are shown as they are: `:key:` is no picture.
talk = Console(stderr=True, highlight=False, emoji=False)
data = Console(highlight=False, emoji=False, soft_wrap=True)
if not data.is_terminal:
    data.width = 140  # in a file or a pipe, tables are not squeezed into a narrow screen
