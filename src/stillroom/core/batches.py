"""Texts of like length together: little padding, and batches of about equal work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Padded tokens a batch of an encoder that answers on one thread of a CPU: more of them leave its cache, and a batch of
#: few texts is padded more.
ON_CPU = 256


def by_tokens(lengths: Sequence[int], *, budget: int) -> list[NDArray[np.int64]]:
    """Positions in batches, longest first, each of at most `budget` padded tokens (or of one text that is longer).

    Longest first: if memory does not suffice, that shows at once.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    found: list[NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        found.append(order[start : start + size])
        start += size
    return found


def by_rows(
    lengths: Sequence[int], *, size: int, rng: np.random.Generator, window: int = 64
) -> list[NDArray[np.int64]]:
    """Positions in shuffled batches of `size`, of like length inside: sorted within windows of so many batches.

    In windows of one batch they are as chance has them.
    """
    order = rng.permutation(len(lengths))
    measured = np.asarray(lengths)
    found: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * window):
        part = order[start : start + size * window]
        part = part[np.argsort(measured[part], kind="stable")]
        found += [part[place : place + size] for place in range(0, len(part), size)]
    return [found[place] for place in rng.permutation(len(found))]


def pad(ids: Sequence[NDArray[np.int32]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The ids as one table, `[texts, longest]`, with the mask of what is not padding."""
    lengths = np.array([len(one) for one in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]
    table = np.zeros(mask.shape, dtype=np.int64)
    table[mask] = np.concatenate(ids)
    return table, mask
