"""How far confidence and accuracy stand apart, in bins of equally many rows."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio
from stillroom.metrics.ece import BINS


@final
class AdaptiveEce(Metric):
    """How far confidence and accuracy stand apart, over 15 bins of about equally many rows (Nguyen and O'Connor 2015).

    Where nearly all confidences are near 1, `ece` has nearly all rows in one bin, and what is too sure cancels what is
    not sure enough; here it does not. Rows that are equally sure are in one bin.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 300
    against_teacher: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True
    formula: ClassVar[str] = "Σ_b (n_b / n) · |accuracy_b − confidence_b|, bins at quantiles of confidence"
    reference: ClassVar[str] = "numpy.array_split of ranked rows, in a test"

    kind: Literal["adaptive_ece"] = "adaptive_ece"

    def rows(self, answers: Answers) -> Floats:
        """For each bin the count, then the confidence, then right or not."""
        confidence = answers.probabilities.max(axis=1)
        edges = np.quantile(confidence, np.arange(1, BINS) / BINS, method="inverted_cdf") if len(confidence) else []
        inside = np.searchsorted(edges, confidence, side="left")[:, None] == np.arange(BINS)
        return np.concatenate([inside, inside * confidence[:, None], inside & answers.right[:, None]], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Σ_b |right ones − confidence| over the count of all bins."""
        counts, confidence, right = np.split(sums, 3, axis=-1)
        return ratio(np.abs(right - confidence).sum(axis=-1), counts.sum(axis=-1))
