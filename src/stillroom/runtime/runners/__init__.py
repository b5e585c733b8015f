"""Family: what computes a student's outputs where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, final, runtime_checkable

from pydantic import SerializeAsAny

from stillroom.core import scripted
from stillroom.core.plugins import Member
from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders import Encoder, Reach, whole

#: Texts to outputs in the shape of the task, in order.
Serve = Callable[[Sequence[str]], Any]


@final
@dataclass(frozen=True)
class Written:
    """How a text that was written token by token came to its end."""

    ended: bool
    """Whether the student ended it; else there was no more room."""
    read: int
    written: int
    """Tokens."""


class Pen(Protocol):
    """Writes behind a text, piece by piece, and says at last how it ended."""

    def __call__(
        self,
        text: str,
        *,
        most: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        stops: Sequence[str] = (),
    ) -> Generator[str, None, Written]:
        """Pieces of what is written, as they are.

        `most`: tokens, and never more than the student was made for; None: as many. `temperature`: 0 takes the
        likeliest token; None: as the student was made. `stops`: it ends before the first of
        these, of which nothing is told.
        """


@runtime_checkable
class Writes(Protocol):
    """What serves texts and can write behind one piece by piece."""

    @property
    def write(self) -> Pen:
        """The pen."""


@runtime_checkable
class Bounded(Protocol):
    """What serves texts and can be told how long each answer is to be."""

    def __call__(self, texts: Sequence[str]) -> Any:
        """Each as long as it comes."""

    def within(self, texts: Sequence[str], words: Sequence[int | None]) -> Any:
        """The same, of so many words at most where that is said; or of more, whose first sentences are as good.

        What it says of a text is the same whatever is wished of those beside it.
        """


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

    def open_count(self, folder: Path) -> Callable[[Sequence[str]], int]:
        """How many tokens of its own the student reads of some texts together: none that it could count."""
        return lambda texts: 0

    def in_browser(self, folder: Path) -> Scripted:
        """What runs the student in a bundle's folder in a browser.

        Raises:
            MismatchError: nothing does.
        """
        raise scripted.refused(f"the runner `{self.kind}`")


class Encoded(Runner, ABC):
    """Runs a student that reads by an encoder, as far into a text as that goes."""

    encoder: SerializeAsAny[Encoder]
    """How texts become ids."""

    def open_reach(self, folder: Path) -> Reach:
        """As far as the encoder goes."""
        return self.encoder.open_reach(folder)

    def open_count(self, folder: Path) -> Callable[[Sequence[str]], int]:
        """Those that the encoder makes."""
        encode = self.encoder.open(folder)
        return lambda texts: sum(map(len, encode(texts)))
