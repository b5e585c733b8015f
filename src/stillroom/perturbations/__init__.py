"""Family: what happens to texts on their way: slips, signs that look alike, other words for the same.

A perturbation leaves what a text says as it was. It is seeded by the text, so that the same text is always changed in
the same way, and told as edits, so that what stands somewhere in a text can be found again.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from stillroom.core.edits import Edit, applied
from stillroom.core.plugins import Member

_WORD = re.compile(r"[^\W\d_]+")


class Perturbation(Member, ABC):
    """A way in which texts are changed."""

    told: ClassVar[str]
    """What it does, as people read it."""

    @property
    def is_english(self) -> bool:
        """Whether what it puts or looks for are English words, so that it says nothing of texts in another language."""
        return False

    @abstractmethod
    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """What it changes in a text, from left to right, nothing overlapping; nothing: it has nothing to change."""

    def __call__(self, text: str, *, rng: np.random.Generator) -> str:
        """The text so changed."""
        return applied(text, self.edits(text, rng=rng))


def words(text: str, *, letters: int = 1) -> list[tuple[int, int]]:
    """Where the words of so many letters at least begin and end."""
    return [found.span() for found in _WORD.finditer(text) if found.end() - found.start() >= letters]


def some(places: Sequence[tuple[int, int]], *, share: float, rng: np.random.Generator) -> list[tuple[int, int]]:
    """A share of some places, one at least, in their order; of none, none."""
    if not places:
        return []
    count = max(1, round(share * len(places)))
    return [places[at] for at in sorted(rng.choice(len(places), size=count, replace=False).tolist())]
