"""How far confidence and accuracy stand apart: expected calibration error."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio

BINS = 15


@final
class Ece(Metric):
    """How far confidence and accuracy stand apart: expected calibration error over 15 bins of equal width.

    A bin holds its lower edge; the last one also holds 1.0, where sharp students crowd. On few rows the error of a
    well-calibrated system is far above 0 by chance alone, hence the large minimum.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 300
    against_teacher: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True
    formula: ClassVar[str] = "Σ_b (n_b / n) · |accuracy_b − confidence_b|, confidence = max p"
    reference: ClassVar[str] = "netcal.metrics.ECE(15)"

    kind: Literal["ece"] = "ece"

    def rows(self, answers: Answers) -> Floats:
        """For each bin the count, then the confidence, then right or not."""
        confidence = answers.probabilities.max(axis=1)
        inner_edges = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
        inside = np.searchsorted(inner_edges, confidence, side="right")[:, None] == np.arange(BINS)
        right = inside & answers.right[:, None]
        return np.concatenate([inside, inside * confidence[:, None], right], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Σ_b |right ones − confidence| over the count of all bins."""
        counts, confidence, right = np.split(sums, 3, axis=-1)
        return ratio(np.abs(right - confidence).sum(axis=-1), counts.sum(axis=-1))


def reliability(answers: Answers) -> list[dict[str, Any]]:
    """What a reliability diagram shows: each bin's edges, rows, mean confidence and accuracy (None in an empty bin)."""
    sums = Ece().rows(answers).sum(axis=0).reshape(3, BINS)
    edges = np.linspace(0.0, 1.0, BINS + 1).round(6).tolist()
    return [
        {
            "low": edges[number],
            "high": edges[number + 1],
            "n": int(count),
            "confidence": round(confidence / count, 7) if count else None,
            "accuracy": round(right / count, 7) if count else None,
        }
        for number, (count, confidence, right) in enumerate(sums.T.tolist())
    ]
