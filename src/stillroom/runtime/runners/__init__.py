"""Family: what computes a student's outputs where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillroom.core import scripted
from stillroom.core.plugins import Member
from stillroom.core.scripted import Scripted

#: Texts to outputs in the shape of the task, in order.
Serve = Callable[[Sequence[str]], Any]


class Runner(Member, ABC):
    """A way to run a bundle's student, with the settings that its export found."""

    @abstractmethod
    def open(self, folder: Path, *, threads: int) -> Serve:
        """The student in a bundle's folder."""

    def in_browser(self, folder: Path) -> Scripted:
        """What runs the student in a bundle's folder in a browser.

        Raises:
            MismatchError: nothing does.
        """
        raise scripted.refused(f"the runner `{self.kind}`")
