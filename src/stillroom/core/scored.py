"""What was said of the tokens of texts: how probable each was, given those before it, and which others would have been.

A line a token, `2 k + 3` numbers:

    0              the logarithm of the probability that the token itself had
    1 … k          of those of the k likeliest tokens, likeliest first
    k + 1          of what all others have together: the tail
    k + 2          the token's id
    k + 3 …        the ids of the k likeliest
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects
from stillroom.core.words import EndToEnd

LEAST = -60.0
"""The logarithm of what has next to nothing: half precision holds it, and nothing is divided by zero."""
_AT_ONCE = 64  # tokens whose whole vocabularies are looked through together


@final
@dataclass(frozen=True)
class Scored(EndToEnd):
    """What was said of the tokens of several texts, end to end: first those that were read, then those written."""

    values: NDArray[Any]
    """A line a token, as this module says."""
    places: NDArray[np.int32]
    """The bytes that each token stands for, first and past the last, `[tokens, 2]`, written ones behind the text."""
    counts: NDArray[np.int64]
    """How many tokens each text has, `[texts]`."""
    wrote: NDArray[np.int64]
    """How many of them, the last ones, were written, `[texts]`."""
    texts: NDArray[np.object_]
    """What was written behind each text, `[texts]`."""
    ended: NDArray[np.bool_] | None = None
    """Of who says nothing of tokens, which texts are written to their end, `[texts]`; None: its tokens tell."""

    @property
    def kept(self) -> int:
        """How many of the likeliest tokens are told of."""
        return (int(self.values.shape[1]) - 3) // 2

    @property
    def own(self) -> NDArray[Any]:
        """The logarithm of the probability of each token."""
        return np.asarray(self.values[:, 0])

    @property
    def likeliest(self) -> NDArray[Any]:
        """Those of the likeliest, and of the tail, `[tokens, k + 1]`."""
        return np.asarray(self.values[:, 1 : self.kept + 2])

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The id of each token."""
        return np.asarray(self.values[:, self.kept + 2], dtype=np.int64)

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ids of the likeliest, `[tokens, k]`."""
        return np.asarray(self.values[:, self.kept + 3 :], dtype=np.int64)

    @property
    def read(self) -> NDArray[np.bool_]:
        """Which tokens were read, and not written, `[tokens]`."""
        inside = np.arange(len(self.owners)) - self.starts[:-1][self.owners]
        return np.asarray(inside < (self.counts - self.wrote)[self.owners])

    def each(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """What stands end to end for the tokens, text by text."""
        return [values[start:end] for start, end in pairwise(self.starts.tolist())]

    def take(self, rows: NDArray[np.int64]) -> Scored:
        """The same of some texts, in this order."""
        numbers = self.numbers(rows)[0]
        ended = None if self.ended is None else self.ended[rows]
        return Scored(self.values[numbers], self.places[numbers], self.counts[rows], self.wrote[rows], self.texts[rows],
                      ended)  # fmt: skip

    def only(self, tokens: NDArray[np.bool_]) -> Scored:
        """Some of the tokens, of which none counts as written."""
        counts = np.bincount(self.owners[tokens], minlength=len(self))
        return Scored(self.values[tokens], self.places[tokens], counts, np.zeros_like(self.wrote), self.texts,
                      self.ended)  # fmt: skip


def columns(kept: int) -> tuple[str, ...]:
    """What the numbers of a line are called."""
    ranks = [str(rank) for rank in range(1, kept + 1)]
    return "token", *ranks, "tail", "id", *(f"id {rank}" for rank in ranks)


def join(parts: Sequence[Scored], *, outputs: int) -> Scored:
    """What was said of several lots of texts, as one; of none, nothing."""
    numbers = np.zeros(0, np.int64)
    nothing = Scored(
        np.zeros((0, outputs), np.float32), np.zeros((0, 2), np.int32), numbers, numbers, objects.array([])
    )
    every = list(parts) or [nothing]
    ended = None
    if any(one.ended is not None for one in every):
        ended = np.concatenate([np.zeros(len(one), np.bool_) if one.ended is None else one.ended for one in every])
    return Scored(
        np.concatenate([one.values for one in every]),
        np.concatenate([one.places for one in every]),
        np.concatenate([one.counts for one in every]),
        np.concatenate([one.wrote for one in every]),
        np.concatenate([one.texts for one in every]),
        ended,
    )


def unscored(texts: NDArray[np.object_], ended: NDArray[np.bool_], *, kept: int) -> Scored:
    """Texts that were written by somebody who does not say how probable any token is: there is no line."""
    nothing = np.zeros(len(texts), dtype=np.int64)
    return Scored(np.zeros((0, 2 * kept + 3), np.float32), np.zeros((0, 2), np.int32), nothing, nothing, texts, ended)


def of_logits(logits: NDArray[Any], tokens: NDArray[Any], *, kept: int) -> NDArray[np.float32]:
    """A line a token, from logits over the vocabulary `[tokens, vocabulary]` and the ids that came.

    Of a vocabulary of fewer than `kept` tokens, those that are not there are the first one again, with next to nothing.
    """
    found = np.empty((len(tokens), 2 * kept + 3), dtype=np.float32)
    for start in range(0, len(tokens), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        found[part] = _lines(np.asarray(logits[part], dtype=np.float32), np.asarray(tokens[part], np.int64), kept)
    return found


def _lines(logits: NDArray[np.float32], tokens: NDArray[np.int64], kept: int) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    total = odds.sum(axis=1, dtype=np.float64, keepdims=True)
    there = min(kept, logits.shape[1])
    ids = np.argpartition(odds, logits.shape[1] - there, axis=1)[:, logits.shape[1] - there :]
    # Equally probable ones by their ids, so that who says the same names the same first.
    ids = np.take_along_axis(ids, np.lexsort((ids, -np.take_along_axis(logits, ids, axis=1)), axis=1), axis=1)
    best = np.take_along_axis(odds, ids, axis=1)
    own = np.take_along_axis(odds, tokens[:, None], axis=1)
    # Summed, not subtracted: of a small tail, the difference of two large numbers would leave noise.
    np.put_along_axis(odds, ids, 0.0, axis=1)
    tail = odds.sum(axis=1, dtype=np.float64, keepdims=True)
    with np.errstate(divide="ignore"):
        said = np.log(np.concatenate([own, best, tail], axis=1) / total)
    said = np.maximum(said, LEAST)
    more = kept - there
    said = np.concatenate([said[:, : there + 1], np.full((len(said), more), LEAST), said[:, -1:]], axis=1)
    named = np.concatenate([ids, np.zeros((len(ids), more), dtype=ids.dtype)], axis=1)
    return np.concatenate([said, tokens[:, None], named], axis=1).astype(np.float32)
