"""How surprised a system is by the gold labels, in nats."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio
from stillroom.metrics._words import Words

SMALLEST = float(np.finfo(np.float64).eps)


@final
class Nll(Metric):
    """How surprised a system is by the gold labels, in nats: negative log-likelihood.

    Probabilities below the spacing of numbers at 1 count as that spacing, so that one certain mistake costs 36 nats
    and not infinitely many.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = -math.log(SMALLEST)
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of −log p_y"
    reference: ClassVar[str] = "sklearn.metrics.log_loss"

    kind: Literal["nll"] = "nll"

    def rows(self, answers: Answers | Words) -> Floats:
        """−log p of the gold label, and one for the count."""
        surprise = -np.log(np.clip(answers.given, SMALLEST, 1.0))
        return np.stack([surprise, np.ones_like(surprise)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Their mean."""
        return ratio(sums[..., 0], sums[..., 1])
