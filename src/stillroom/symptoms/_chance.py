"""How probable it is that chance alone shows as much. Every p here is exact or errs upwards."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import missing_extra


def _distributions() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise missing_extra("train", package="scipy", needed_by="doctor") from error
    return stats


def at_least(hits: int, n: int, share: float) -> float:
    """The probability of so many hits or more among n, where each has at most this probability.

    Where the probabilities differ and `share` is their mean, it still bounds that of hits beyond the mean plus one
    (Hoeffding 1956); nearer to the mean the answer is 1.
    """
    stats = _distributions()
    if hits < n * share + 1:
        return 1.0
    return float(stats.binom.sf(hits - 1, n, share))


def more_often(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The one-sided exact p of `one` being true more often than `other` on the same rows (McNemar)."""
    only, others = int((one & ~other).sum()), int((other & ~one).sum())
    stats = _distributions()
    return float(stats.binom.sf(only - 1, only + others, 0.5)) if only else 1.0


def larger_share(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """The one-sided exact p of a share being larger than another one of other rows (Fisher)."""
    stats = _distributions()
    # The hypergeometric tail: so many hits or more among the first n of all.
    return float(stats.hypergeom.sf(hits - 1, n + other_n, hits + other_hits, n))


def higher(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The one-sided exact p of more of some values than of others being above the middle of all (Mood 1950).

    Of values that are 0 or 1, it is that of the larger share.
    """
    both = np.concatenate([one, other])
    middle = float(np.median(both))
    above = [side >= middle if middle == both.max() else side > middle for side in (one, other)]
    return larger_share(int(above[0].sum()), len(one), int(above[1].sum()), len(other))


def half(ids: list[str]) -> NDArray[np.bool_]:
    """Which rows are in the first of two halves: by their ids, so that it is always the same one."""
    return np.array([hashlib.sha256(one.encode()).digest()[0] < 128 for one in ids], dtype=np.bool_)
