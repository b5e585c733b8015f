"""How alike two are in what they go by: the parts of a text, each with how much it weighs to somebody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats

MEASURES: Final = ("spearman", "top_k", "sign")
#: So often are the parts of a text shuffled to see what chance gives.
_SHUFFLES = 20


def spearman(one: Floats, other: Floats) -> float:
    """Pearson's r of mid-ranks; NaN where one of the two never varies."""
    u, v = (_midranks(values) for values in (one, other))
    spread = float((u * u).sum() * (v * v).sum())
    return float((u * v).sum()) / spread**0.5 if spread > 0 else np.nan


def _midranks(values: Floats) -> Floats:
    """The place of each value, that of the mean taken off."""
    ordered = np.sort(values)
    both = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    places = np.asarray(sum(both) / 2)
    return np.asarray(places - places.mean())


def top(weights: Floats, k: int) -> list[int]:
    """The k parts that weigh most, for or against, heaviest first; those that weigh nothing are none of them."""
    order = np.argsort(-np.abs(weights), kind="stable")[:k]
    return [int(one) for one in order if weights[one]]


def alike(one: Floats, other: Floats, *, k: int) -> tuple[float, float, float]:
    """The `MEASURES` of one text: Spearman's ρ; the Jaccard index of the top k; the share of either's with one sign."""
    mine, theirs = set(top(one, k)), set(top(other, k))
    either = sorted(mine | theirs)
    if not either:
        return np.nan, np.nan, np.nan
    signs = np.sign(one[either]) == np.sign(other[either])
    return spearman(one, other), len(mine & theirs) / len(either), float(signs.mean())


def table(pairs: Sequence[tuple[Floats, Floats]], *, k: int) -> Floats:
    """The measures of some texts, `[texts, measures]`; NaN where to one of the two all parts weigh the same."""
    found = np.array([alike(one, other, k=k) for one, other in pairs], dtype=np.float64).reshape(-1, len(MEASURES))
    found[np.isnan(found).any(axis=1)] = np.nan
    return found


def by_chance(pairs: Sequence[tuple[Floats, Floats]], *, k: int, rng: np.random.Generator) -> Floats:
    """The same where the second's weights are dealt out anew: the mean of some deals for each text."""
    deals = [table([(one, rng.permutation(other)) for one, other in pairs], k=k) for _ in range(_SHUFFLES)]
    return np.mean(deals, axis=0) if pairs else np.zeros((0, len(MEASURES)))


def for_other_reasons(found: Floats) -> NDArray[np.bool_]:
    """Where the parts that weigh most to one weigh little to the other: no part is in both tops, or ρ is below 0."""
    return np.asarray((found[:, 1] == 0) | (found[:, 0] < 0))
