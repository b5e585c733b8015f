"""How a sentence stands in its text: where, how long, how near to the middle of it. Numpy, for whoever scores them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ENDS = 4  # places that are told apart at either end; those further in are alike
#: How many numbers `standing` gives of each sentence.
STANDING = 2 * _ENDS + 3
#: Which of the weights of a sentence is that of its closeness, behind those of how it stands.
CLOSENESS = STANDING


def standing(lengths: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """Where each sentence stands in its text, and how long it is, `[sentences, STANDING]`.

    `lengths` of all sentences end to end, in tokens or words; `counts`: how many each text has, one or more.
    """
    whole = np.repeat(counts, counts)
    place = np.arange(len(lengths)) - np.repeat(np.cumsum(counts) - counts, counts)
    found = np.zeros((len(lengths), STANDING), dtype=np.float32)
    rows = np.arange(len(lengths))
    found[rows, np.minimum(place, _ENDS - 1)] = 1.0
    found[rows, _ENDS + np.minimum(whole - 1 - place, _ENDS - 1)] = 1.0
    means = np.add.reduceat(lengths, np.cumsum(counts) - counts) / counts if len(counts) else np.zeros(0)
    found[:, 2 * _ENDS] = place / np.maximum(whole - 1, 1)
    found[:, 2 * _ENDS + 1] = np.log1p(lengths)
    found[:, 2 * _ENDS + 2] = lengths / np.maximum(np.repeat(means, counts), 1.0)
    return found


def closeness(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """The cosine of each sentence's vector, of length one, and the sum of its text's: centroid salience."""
    starts = np.cumsum(counts) - counts
    middles = np.add.reduceat(vectors, starts, axis=0)
    middles /= np.maximum(np.linalg.norm(middles, axis=1, keepdims=True), 1e-12)
    found: NDArray[np.float32] = np.einsum("sw,sw->s", vectors, np.repeat(middles, counts, axis=0))
    return found


def best(scores: NDArray[np.float32], counts: NDArray[np.int64], *, most: int) -> list[list[int]]:
    """The places of each text's sentences with the highest scores, the highest first; of equal ones the earlier."""
    ends = np.cumsum(counts)
    return [np.argsort(-scores[end - count : end], kind="stable")[:most].tolist()
            for end, count in zip(ends.tolist(), counts.tolist(), strict=True)]  # fmt: skip
