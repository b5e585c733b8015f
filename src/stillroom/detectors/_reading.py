"""A text as it is read after replacements, which knows where each of its characters stood before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from stillroom.detectors import Place


@final
@dataclass(frozen=True)
class Reading:
    """A text, and for each character where what it stands for begins and ends in the original."""

    text: str
    starts: range | list[int]
    ends: range | list[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Where some characters stand in the original, with all that was left out between them."""
        return self.starts[start], self.ends[end - 1]

    def without(self, places: Iterable[Place]) -> Reading:
        """The text with replacements made, of places of this reading from left to right, none overlapping."""
        places = list(places)
        if not places:
            return self
        parts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        done = 0
        for one in [*places, Place(len(self.text), len(self.text), "", "")]:
            parts += [self.text[done : one.start], one.replacement]
            starts += self.starts[done : one.start]
            ends += self.ends[done : one.start]
            if one.replacement:
                first, last = self.original(one.start, one.end)
                starts += [first] * len(one.replacement)
                ends += [last] * len(one.replacement)
            done = one.end
        return Reading("".join(parts), starts, ends)


def whole(text: str) -> Reading:
    """A text as it stands."""
    return Reading(text, range(len(text)), range(1, len(text) + 1))
