"""What errors of calibration have in common: rows in bins by how sure a system is of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Answers, Floats, Metric, ratio
from stillroom.metrics._words import Words

BINS = 15


class BinnedError(Metric):
    """How far confidence and accuracy stand apart, bin by bin, each weighing as many rows as it has."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 300
    against_teacher: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True

    @abstractmethod
    def bins(self, confidence: Floats) -> NDArray[np.int64]:
        """The bin of each row, `[rows]`."""

    def rows(self, answers: Answers | Words) -> Floats:
        """For each bin the count, then the confidence, then right or not."""
        confidence = answers.highest
        inside = self.bins(confidence)[:, None] == np.arange(BINS)
        return np.concatenate([inside, inside * confidence[:, None], inside & answers.right[:, None]], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Σ_b |right ones − confidence| over the count of all bins."""
        counts, confidence, right = np.split(sums, 3, axis=-1)
        return ratio(np.abs(right - confidence).sum(axis=-1), counts.sum(axis=-1))
