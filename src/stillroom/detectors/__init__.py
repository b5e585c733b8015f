"""Family: what stands in a text that somebody should know of before it is used, or before it is sent.

A detector tells and decides nothing: what happens then is the business of who asked (`stillroom.serve.guard`). Places
are code points of the text that it was given; no text is in a finding, in a log or in an error. Numpy, never torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

from stillroom.core.plugins import Member


@final
@dataclass(frozen=True, order=True)
class Place:
    """Some characters of a text (code points, `end` past the last), what they are, and what may stand there instead."""

    start: int
    end: int
    name: str
    replacement: str


@final
@dataclass(frozen=True)
class Finding:
    """What a detector found in a text: places from left to right, of which none overlap."""

    kind: str
    """Who found it."""
    places: tuple[Place, ...] = ()
    score: float | None = None
    """From 0 to 1, where it is a matter of degree."""

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.places)

    @property
    def names(self) -> tuple[str, ...]:
        """What was found, each once."""
        return tuple(sorted({one.name for one in self.places}))


class Look(Protocol):
    """A detector that is ready; may be asked from several threads."""

    def __call__(self, text: str, *, asked: str = "") -> Finding:
        """What is in a text; `asked` is what it answers, where it is an answer."""


class Detector(Member, ABC):
    """A detector's settings."""

    clears: ClassVar[bool] = False
    """Whether those behind it in a chain read the text with its replacements made, as whoever is addressed reads it."""

    @abstractmethod
    def open(self) -> Look:
        """Make it ready, once.

        Raises:
            StillroomError: something that it needs is not there.
        """
