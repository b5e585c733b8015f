"""How often student and teacher think the same token likeliest."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio
from stillroom.metrics._tokens import DivergenceMetric, Told


@final
class NextToken(DivergenceMetric):
    """The share of tokens at which student and teacher think the same one likeliest, where both have one next."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    formula: ClassVar[str] = "tokens where argmax q = argmax p / tokens"
    reference: ClassVar[str] = "sklearn.metrics.accuracy_score, in a test"

    kind: Literal["next_token"] = "next_token"

    def rows(self, answers: Told) -> Floats:
        """Of each text: tokens where both think the same, and tokens."""
        own, its = (one.ids[lines, 0] for one, lines in zip((answers.said, answers.teacher), answers.both, strict=True))
        return np.stack([answers.summed((own == its).astype(np.float64)), answers.summed()], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The share."""
        return ratio(sums[..., 0], sums[..., 1])
