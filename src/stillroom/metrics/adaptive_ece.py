"""How far confidence and accuracy stand apart, in bins of equally many rows."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats
from stillroom.metrics._calibration import BINS, BinnedError


@final
class AdaptiveEce(BinnedError):
    """How far confidence and accuracy stand apart, over 15 bins of about equally many rows (Nguyen and O'Connor 2015).

    Where nearly all confidences are near 1, `ece` has nearly all rows in one bin, and what is too sure cancels what is
    not sure enough; here it does not. Rows that are equally sure are in one bin.
    """

    exact: ClassVar[bool] = False
    formula: ClassVar[str] = "Σ_b (n_b / n) · |accuracy_b − confidence_b|, bins at quantiles of confidence"
    reference: ClassVar[str] = "numpy.array_split of ranked rows, in a test"

    kind: Literal["adaptive_ece"] = "adaptive_ece"

    def bins(self, confidence: Floats) -> NDArray[np.int64]:
        """Those of about equally many rows, `[rows]`."""
        if not len(confidence):
            return np.zeros(0, dtype=np.int64)
        edges = np.quantile(confidence, np.arange(1, BINS) / BINS, method="inverted_cdf")
        return np.searchsorted(edges, confidence, side="left")
