"""The squared distance between what a system says and what is so."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio
from stillroom.metrics._words import Words


@final
class Brier(Metric):
    """The squared distance between probabilities and gold, summed over all classes: 0 to 2, also with two classes."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 2.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of Σ_c (p_c − [y = c])²"
    reference: ClassVar[str] = "sklearn.metrics.brier_score_loss(scale_by_half=False)"

    kind: Literal["brier"] = "brier"

    def rows(self, answers: Answers | Words) -> Floats:
        """The squared distance of each row, and one for the count."""
        return np.stack([answers.distance, np.ones(len(answers))], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Their mean."""
        return ratio(sums[..., 0], sums[..., 1])
