"""Family: which further texts a teacher is asked about. A member makes texts out of a training row.

What is made is drawn by a generator of the row's own, so that it depends on the seed and on this row, never on its
neighbours. The stage `transfer` refuses what repeats a text or says nearly what a held-out row says, and asks the
teacher about the rest.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, final

import numpy as np
from pydantic import Field

from stillroom.core.plugins import Member
from stillroom.teachers import LoadedTeacher

if TYPE_CHECKING:
    from stillroom.tasks import Task


@final
@dataclass(frozen=True)
class Original:
    """A row that texts are made of."""

    text: str
    label: Any = None
    """What people say of it, as its task writes it; None: nothing."""


#: Texts made of one row.
Make = Callable[[Original, np.random.Generator], Sequence[str]]

#: A word, or one with what it is.
Word = TypeVar("Word", str, tuple[str, str])

_MOST_WORDS = 100_000
_PIECES = re.compile(r"\w+(?:['’-]\w+)*|\W+|_+")


@final
@dataclass(frozen=True)
class Ground:
    """What there is to make texts from beside the row: looked at only by those who need it."""

    words: Callable[[], Mapping[str, int]]
    """How often each word stands in the rows, the most frequent ones first."""
    rows: Callable[[], Iterable[Original]]
    """The rows, one after another."""
    teacher: LoadedTeacher


class Augmentation(Member, ABC):
    """A way of making texts, with its settings."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled"})
    """The shapes of answers that its texts may be asked for."""
    asks_for: ClassVar[str] = "a task of one label a text"
    """Which tasks those are, in words."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What it needs to be installed beside what a student is trained with."""

    per_row: int = Field(1, ge=1)
    """How many texts are made of each training row (of each unlabelled row, where there is no training row)."""
    min_confidence: float = Field(0.0, ge=0, lt=1)
    """Drop a text of which the teacher is less sure than this; where a text has one label."""
    agreement: bool = False
    """Drop a text that the teacher labels otherwise than the row it was made of; where a text has one label."""

    @property
    def needs_network(self) -> bool:
        """Whether it looks into the teacher's network."""
        return False

    def suits(self, task: Task) -> bool:
        """Whether it can make texts for a task."""
        return task.shape in self.shapes

    def digests(self) -> dict[str, str]:
        """The digests of the files that it reads.

        Raises:
            InputError: one is not there.
        """
        return {}

    @abstractmethod
    def open(self, ground: Ground) -> Make:
        """What makes the texts.

        Raises:
            InputError: what it reads can't be used.
            MismatchError: it needs a network that can't be seen.
        """


def pieces(text: str) -> list[str]:
    """A text as words and what stands between them; joined they are the text again."""
    return _PIECES.findall(text)


def counted(items: Iterable[Word]) -> dict[Word, int]:
    """How often each stands there, the most frequent first; of very many the rare ones go: memory is bounded."""
    counts: Counter[Word] = Counter()
    for one in items:
        counts[one] += 1
        if len(counts) > 4 * _MOST_WORDS:
            counts = Counter(dict(counts.most_common(2 * _MOST_WORDS)))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WORDS])


def is_word(piece: str) -> bool:
    """Whether a piece is a word rather than blanks or punctuation."""
    return piece[:1].isalnum()


def chosen(places: Sequence[int], *, share: float, rng: np.random.Generator) -> list[int]:
    """Each place with this probability, and one at least where there is any."""
    if not places:
        return []
    drawn = [place for place, number in zip(places, rng.random(len(places)).tolist(), strict=True) if number < share]
    return drawn or [places[int(rng.integers(len(places)))]]


def cased_like(word: str, model: str) -> str:
    """A word with a capital where another has one."""
    return word[:1].upper() + word[1:] if model[:1].isupper() else word
