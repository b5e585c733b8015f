"""Texts that two have cut otherwise: where a token ends for both, and what is told of the span from there to the next.

Both have read the same bytes where both have a boundary, so that what they say of what comes next can be compared; and
so can the probabilities of all the bytes up to the next boundary, a product of tokens' on either side. Between two
such boundaries nothing can.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillroom.core.scored import LEAST, Scored

Counts = NDArray[np.int64]


def shared(one: NDArray[Any], other: NDArray[Any]) -> tuple[Counts, Counts]:
    """How many tokens each has before every place where both have a boundary, the beginning among them.

    From the bytes where the tokens of each end, in their order. Of tokens that end at the same byte (a tokenizer that
    does not say how it cuts a character) the last one does.
    """
    common = np.intersect1d(np.append(0, one), np.append(0, other))
    counts = np.searchsorted(one, common, side="right"), np.searchsorted(other, common, side="right")
    for some in counts:
        some[0] = 0
    return counts


def retold(values: NDArray[Any], ids: NDArray[np.int64], tokens: NDArray[Any], at: tuple[Counts, Counts]) -> Any:
    """A teacher's lines (`core.scored`) of a text as lines of a student's `tokens`, up to the last shared boundary.

    `ids` are the student's of the likeliest that the teacher tells of, −1 where it has none, and `at` where both have a
    boundary. The first token of a span has what the teacher said there; in front, the logarithm of the probability that
    it gave the whole span, or 0 where that is this one token on both sides: the rest of the line says as much. Of the
    other tokens of a span nothing is told: all is in the tail. A span of which any line has no number has none.
    """
    its, own = at
    kept = (values.shape[1] - 3) // 2
    found = untold(tokens[: own[-1]], kept=kept)
    if len(own) == 1:
        return found
    first = own[:-1]
    found[first, 1 : kept + 2] = values[its[:-1], 1 : kept + 2]
    # What has next to nothing is no token but what stands where there are none.
    found[first, kept + 3 :] = np.where(values[its[:-1], 1 : kept + 1] > LEAST, ids[its[:-1]], -1)
    whole = np.add.reduceat(values[: its[-1], 0].astype(np.float64), its[:-1])
    found[first, 0] = np.where((np.diff(its) == 1) & (np.diff(own) == 1), 0.0, np.maximum(whole, LEAST))
    found[np.repeat(np.isnan(whole), np.diff(own)), : kept + 2] = np.nan
    return found


def untold(tokens: NDArray[Any], *, kept: int) -> NDArray[np.float32]:
    """Lines of which nothing is told but which tokens came: all is in the tail."""
    found = np.full((len(tokens), 2 * kept + 3), LEAST, dtype=np.float32)
    found[:, [0, kept + 1]] = 0.0
    found[:, kept + 2], found[:, kept + 3 :] = tokens, -1
    return found


def beside(one: Scored, other: Scored) -> tuple[Counts, Counts]:
    """The lines of both where both have read the same bytes of a text and tell what comes next, text by text.

    Where they have cut a text in the same way those are all of its tokens; else those that begin at the same byte.
    """
    found: tuple[list[Counts], list[Counts]] = ([np.zeros(0, np.int64)], [np.zeros(0, np.int64)])
    ends = zip(*(side.each(side.places[:, 1]) for side in (one, other)), strict=True)
    for row, (first, second) in enumerate(ends):
        at = shared(first, second)
        there = (at[0] < len(first)) & (at[1] < len(second))
        for lines, side, counts in zip(found, (one, other), at, strict=True):
            lines.append(side.starts[row] + counts[there])
    lines = [np.concatenate(some) for some in found]
    both = told(one.values[lines[0]]) & told(other.values[lines[1]])
    return lines[0][both], lines[1][both]


def told(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Of which lines anything is told but how probable the token itself was."""
    return np.asarray(values[..., 1] > LEAST)


def split(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which lines, as `retold` gives them, are of a span that is not one token on both sides."""
    return np.asarray(~told(values) | (values[..., 0] < 0))
