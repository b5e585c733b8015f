"""Writes what people look at: every document of the family, from a run's summary and training log, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillroom.core import artifact, plugins
from stillroom.documents import Document, Evidence


def write(summary: Mapping[str, Any], *, curves: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write every document into `folder`, and give their paths.

    All are rendered before the first is written, and each is written whole or not at all.

    Raises:
        MissingExtra: the extra that a document needs is not installed.
        DiskFull: no room.
    """
    evidence = Evidence(summary, tuple(curves))
    documents: list[Document] = [plugins.build("documents", kind) for kind in plugins.names("documents")]
    rendered = {document.name: document.render(evidence) for document in documents}
    for name, text in rendered.items():
        # Names out of a corpus may hold halves of characters, which no file can.
        artifact.write_text(folder / name, text.encode("utf-8", "replace").decode("utf-8"))
    return [folder / name for name in rendered]
