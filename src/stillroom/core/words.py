"""Words as somebody reads them: where they stand in a text, and which of its tokens each begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray


class EndToEnd:
    """What belongs to the words of several texts, the words of all of them end to end."""

    counts: NDArray[np.int64]
    """How many words each text has, `[texts]`."""

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The number of each text's first word, and how many words there are."""
        return np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The text that each word is in."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def numbers(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The words of some texts, and which of these texts each is in."""
        counts = self.counts[rows]
        owners = np.repeat(np.arange(len(rows)), counts)
        inside = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.starts[rows][owners] + inside, owners


@final
@dataclass(frozen=True)
class Words(EndToEnd):
    """The words of several texts, end to end. Whoever labels words answers at the first token of each."""

    tokens: NDArray[np.int64]
    """The number of each word's first token in its text, `[words]`."""
    places: NDArray[np.int32]
    """The characters of each, first and past the last, `[words, 2]`."""
    counts: NDArray[np.int64]
    """How many words each text has, `[texts]`."""

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The words of some texts: their numbers, which of these texts each is in, and its token there."""
        numbers, owners = self.numbers(rows)
        return numbers, owners, self.tokens[numbers]

    def take(self, rows: NDArray[np.int64]) -> Words:
        """The same of some texts, in this order."""
        numbers = self.numbers(rows)[0]
        return Words(self.tokens[numbers], self.places[numbers], self.counts[rows])

    @staticmethod
    def join(parts: Sequence[Words]) -> Words:
        """The words of several lots of texts."""
        empty = Words(np.zeros(0, np.int64), np.zeros((0, 2), np.int32), np.zeros(0, np.int64))
        every = [empty, *parts]
        return Words(
            np.concatenate([one.tokens for one in every]),
            np.concatenate([one.places for one in every]),
            np.concatenate([one.counts for one in every]),
        )


@final
@dataclass(frozen=True)
class Traced:
    """A text as somebody reads it, and where in it everything stands."""

    ids: NDArray[np.int32]
    places: NDArray[np.int32]
    """The characters of each token, `[tokens, 2]`; of one that was added, none."""
    words: Words
    """Those of this one text."""
