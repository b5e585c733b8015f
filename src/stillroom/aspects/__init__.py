"""Family: what a text is like that may be hard for a student: a number of each, by which test rows are sliced.

An aspect looks at the text alone and at how often training has its words: it is the same for every task. Word lists are
English; of texts in another language these aspects find nothing, and what has one slice for all its rows is left out.
"""

from __future__ import annotations

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.plugins import Member

Floats = NDArray[np.float64]

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_AT_ONCE = 1024
_PLACES = 1 << 22


@final
@dataclass(frozen=True)
class Read:
    """A text with its words."""

    text: str

    @cached_property
    def words(self) -> list[str]:
        """Its words as they stand there, without signs and digits; one with an apostrophe is one."""
        return WORD.findall(self.text)

    @cached_property
    def lower(self) -> list[str]:
        """The same in lower case, apostrophes straight."""
        return [word.lower().replace("’", "'") for word in self.words]


@final
class Familiar:
    """How often training has each word, in 16 MB however much training there is.

    Counted by hash: a word that shares its place with another seems more frequent than it is, never rarer.
    """

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        self._counts = np.zeros(_PLACES, dtype=np.uint32)
        for some in texts:
            places = _places(word for text in some for word in Read(text).lower)
            np.add.at(self._counts, places, 1)

    def of(self, words: Sequence[str]) -> NDArray[np.int64]:
        """How often each of these was there, in lower case."""
        return self._counts[_places(words)].astype(np.int64)


def _places(words: Iterable[str]) -> NDArray[np.int64]:
    return np.array([zlib.crc32(word.encode()) % _PLACES for word in words], dtype=np.int64)


def listed(words: str) -> frozenset[str]:
    """Words that are written with blanks between them."""
    return frozenset(words.split())


class Aspect(Member, ABC):
    """A number of each text."""

    told: ClassVar[str]
    """What the number is, as people read it."""
    counts: ClassVar[bool] = True
    """Whether it counts things: then texts with none, with one and with more are told apart, and else fifths."""
    most_rows: ClassVar[int | None] = None
    """Of how many texts it is told at most, evenly spaced; None: of all."""

    def sources(self) -> dict[str, str]:
        """The digests of what it reads with: nothing."""
        return {}

    @abstractmethod
    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """The number of each text; NaN: it has none, and is in no slice."""


def measure(texts: Sequence[str], members: Sequence[Aspect], *, familiar: Familiar) -> dict[str, Floats]:
    """The number of each text by each aspect, `[texts]`. Time: linear in their length."""
    found = {one.kind: np.full(len(texts), np.nan) for one in members}
    chosen = {one.kind: _chosen(len(texts), one.most_rows) for one in members}
    for start in range(0, len(texts), _AT_ONCE):
        read = [Read(text) for text in texts[start : start + _AT_ONCE]]
        for member in members:
            rows = np.flatnonzero(chosen[member.kind][start : start + _AT_ONCE])
            if len(rows):
                found[member.kind][start + rows] = member.amounts([read[row] for row in rows.tolist()], familiar)
    return found


def _chosen(rows: int, most: int | None) -> NDArray[np.bool_]:
    chosen = np.ones(rows, dtype=np.bool_)
    if most is not None and rows > most:
        chosen[:] = False
        chosen[np.linspace(0, rows - 1, most).astype(np.int64)] = True
    return chosen
