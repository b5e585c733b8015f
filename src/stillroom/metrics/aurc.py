"""How often a system is wrong where it is let to answer only what it is surest of: the area under risk and coverage."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio
from stillroom.metrics._words import Words

_POINTS = 101


@final
class Aurc(Metric):
    """The mean over rows of the share that is wrong among the rows that are as sure or surer (Geifman et al. 2019).

    0 for a system that is never wrong; of two that are wrong as often, less for the one that knows where.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 100
    against_teacher: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True
    formula: ClassVar[str] = "mean over i of Σ_j [c_j ≥ c_i][wrong_j] / Σ_j [c_j ≥ c_i], c = max p"
    reference: ClassVar[str] = "the definition row by row, in a test"

    kind: Literal["aurc"] = "aurc"

    def rows(self, answers: Answers | Words) -> Floats:
        """What each row adds, to the first order: the figure and its influence on it; and one for the count."""
        risk, coverage, wrong, group, counts = _curve(answers)
        own = risk[group]
        # A row that counts more moves the risk of all rows that are no surer than it.
        slopes = counts / np.maximum(coverage, 1) * np.stack([np.ones_like(risk), risk])
        tails = np.cumsum(slopes[:, ::-1], axis=1)[:, ::-1]
        moved = wrong * tails[0][group] - tails[1][group]
        return np.stack([own + moved, np.ones_like(own)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean."""
        return np.clip(ratio(sums[..., 0], sums[..., 1]), 0.0, 1.0)


def _curve(answers: Answers | Words) -> tuple[Floats, Floats, Floats, Any, Floats]:
    """The rows in groups of equal confidence, the surest first.

    Of each group: the share that is wrong up to it, and how many rows that is, `[groups]`; of each row whether it is
    wrong, and its group, `[rows]`; of each group, its rows.
    """
    confidence, wrong = answers.highest, (~answers.right).astype(np.float64)
    _, group = np.unique(-confidence, return_inverse=True)
    counts = np.bincount(group).astype(np.float64) if len(group) else np.zeros(0)
    coverage = np.cumsum(counts)
    errors = np.cumsum(np.bincount(group, weights=wrong)) if len(group) else np.zeros(0)
    return errors / np.maximum(coverage, 1), coverage, wrong, group, counts


def curve(answers: Answers | Words) -> list[dict[str, float]]:
    """Risk and coverage, at a hundred shares of the rows: how often it is wrong where it answers no more than these."""
    risk, coverage, *_ = _curve(answers)
    shares = np.linspace(0.0, 1.0, _POINTS)[1:]
    places = np.searchsorted(coverage, shares * len(answers) - 1e-9)
    kept = np.unique(places[places < len(coverage)])
    return [
        {"coverage": round(float(share), 6), "risk": round(float(wrong), 6)}
        for share, wrong in zip(coverage[kept] / len(answers), risk[kept], strict=True)
    ]
