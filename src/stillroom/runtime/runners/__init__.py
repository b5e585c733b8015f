"""Family: what computes a student's outputs where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from stillroom.core.plugins import Member

#: Texts to outputs in the shape of the task, in order.
Serve = Callable[[Sequence[str]], Any]


class Runner(Member, ABC):
    """A way to run a bundle's student, with the settings that its export found."""

    pads: ClassVar[bool] = False
    """Whether texts that are read together take as long as the longest of them."""
    parallel: ClassVar[bool] = False
    """Whether two threads answer twice as much as one: it works outside of Python's lock."""

    @abstractmethod
    def open(self, folder: Path, *, threads: int) -> Serve:
        """The student in a bundle's folder."""
