"""How well cosines of vectors put pairs of texts into the order in which people put them."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._vectors import Embedded


@final
class Spearman(Metric):
    """Spearman's rank correlation of the cosines of graded pairs with their grades.

    It is no sum over rows. What each pair adds is therefore its influence: ρ and the change of ρ per weight of that
    pair (its ranks' change included), so that the mean over all pairs is ρ, and resampled means spread as ρ does to the
    first order.
    """

    answers: ClassVar[str] = "vectors"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    formula: ClassVar[str] = "Pearson's r of the mid-ranks of cosines and of grades"
    reference: ClassVar[str] = "scipy.stats.spearmanr"

    kind: Literal["spearman"] = "spearman"

    def counted(self, answers: Embedded) -> NDArray[np.int64]:
        """Rows with a graded pair."""
        return np.flatnonzero(np.isin(answers.rows, answers.space.pairs[0]))

    def rows(self, answers: Embedded) -> Floats:
        """Of each row: the sum of what its pairs add, and how many they are."""
        owners, cosines, grades = answers.space.pairs
        # A row that is drawn twice counts twice: its pairs stand there for each time.
        spots = np.flatnonzero(np.isin(answers.rows, owners))
        order = np.argsort(owners, kind="stable")
        starts = np.searchsorted(owners[order], answers.rows[spots], side="left")
        ends = np.searchsorted(owners[order], answers.rows[spots], side="right")
        counts = ends - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs = order[np.repeat(starts, counts) + within]
        added = influence(cosines[pairs], grades[pairs])
        sums = np.bincount(np.repeat(np.arange(len(spots)), counts), weights=added, minlength=len(spots))
        return np.stack([sums, counts.astype(np.float64)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean over pairs."""
        return ratio(sums[..., 0], sums[..., 1])


def influence(x: Floats, y: Floats) -> Floats:
    """What each pair (x, y) adds to Spearman's ρ: `[pairs]`, with the mean ρ; NaN where one side never varies.

    With F and G the distribution functions at mid-ranks and a, b, c the covariance and variances of F(x) and G(y):
    ρ = a / √(bc), and the influence of a pair on it follows from those on a, b and c (Hampel 1974), each of which also
    moves the ranks of all others.
    """
    if not len(x):
        return np.zeros(0)
    u, v = _midranks(x) - 0.5, _midranks(y) - 0.5
    a, b, c = float((u * v).mean()), float((u * u).mean()), float((v * v).mean())
    if min(b, c) <= 0:
        return np.full(len(x), np.nan)
    on_a = u * v + _above(x, v) + _above(y, u) - 3 * a
    on_b, on_c = (one * one + 2 * _above(values, one) - 3 * spread for values, one, spread in ((x, u, b), (y, v, c)))
    root = np.sqrt(b * c)
    rho = a / root
    return np.asarray(rho + on_a / root - rho / 2 * (on_b / b + on_c / c))


def _midranks(values: Floats) -> Floats:
    """The share of values below each, those that are equal counted by half."""
    ordered = np.sort(values)
    both = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray(sum(both) / (2 * len(values)))


def _above(values: Floats, weights: Floats) -> Floats:
    """Of each value: the mean over all pairs of the weights of larger values, those of equal ones counted by half."""
    order = np.argsort(values, kind="stable")
    total = np.concatenate([[0.0], np.cumsum(weights[order])])
    ordered = values[order]
    below = total[np.searchsorted(ordered, values, side="left")]
    through = total[np.searchsorted(ordered, values, side="right")]
    return np.asarray((total[-1] - (below + through) / 2) / len(values))
