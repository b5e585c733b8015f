"""Family: what computes a student's outputs where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SerializeAsAny

from stillroom.core.plugins import Member
from stillroom.runtime.encoders import Encoder, Reach, whole

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

    def open_reach(self, folder: Path) -> Reach:
        """How much of each text the student reads: all of it."""
        return whole


class Encoded(Runner, ABC):
    """Runs a student that reads by an encoder, as far into a text as that goes."""

    encoder: SerializeAsAny[Encoder]
    """How texts become ids."""

    def open_reach(self, folder: Path) -> Reach:
        """As far as the encoder goes."""
        return self.encoder.open_reach(folder)
