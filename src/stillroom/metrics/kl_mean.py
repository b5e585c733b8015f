"""How far a student's next-token distributions are from its teacher's, in the mean."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio
from stillroom.metrics._tokens import EDGES, DivergenceMetric, Told


@final
class KLMean(DivergenceMetric):
    """The mean over tokens of KL(teacher ‖ student), in nats, over the teacher's likeliest tokens and all others."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = float(EDGES[-1])
    formula: ClassVar[str] = "mean over tokens of Σ p (log p − log q), over the likeliest and one bucket of the others"
    reference: ClassVar[str] = "scipy.stats.entropy over the whole vocabulary, in a test"

    kind: Literal["kl_mean"] = "kl_mean"

    def rows(self, answers: Told) -> Floats:
        """Of each text: the sum over its tokens, and how many there are."""
        return np.stack([answers.summed(answers.apart), answers.summed()], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])
