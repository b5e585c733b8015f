"""How far confidence and accuracy stand apart: expected calibration error."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Answers, Floats
from stillroom.metrics._calibration import BINS, BinnedError
from stillroom.metrics._words import Words


@final
class Ece(BinnedError):
    """How far confidence and accuracy stand apart: expected calibration error over 15 bins of equal width.

    A bin holds its lower edge; the last one also holds 1.0, where sharp students crowd. On few rows the error of a
    well-calibrated system is far above 0 by chance alone, hence the large minimum.
    """

    formula: ClassVar[str] = "Σ_b (n_b / n) · |accuracy_b − confidence_b|, confidence = max p"
    reference: ClassVar[str] = "netcal.metrics.ECE(15)"

    kind: Literal["ece"] = "ece"

    def bins(self, confidence: Floats) -> NDArray[np.int64]:
        """Those of equal width, `[rows]`."""
        return np.searchsorted(np.linspace(0.0, 1.0, BINS + 1)[1:-1], confidence, side="right")


def reliability(answers: Answers | Words) -> list[dict[str, Any]]:
    """What a reliability diagram shows: each bin's edges, answers, mean confidence and accuracy (None: it is empty)."""
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
