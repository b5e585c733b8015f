"""How probable the bytes of texts are."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio
from stillroom.metrics._tokens import TokenMetric, Told


@final
class ByteProbability(TokenMetric):
    """The probability that a byte has, as a geometric mean: whatever texts are cut into, higher is better.

    It is 2 to the power of minus the bits a byte; what a student keeps of it is the inverse ratio of perplexities a
    byte.
    """

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    formula: ClassVar[str] = "e^(Σ log p(token | those before it) / bytes)"
    reference: ClassVar[str] = "the loss of `transformers`, in a test"

    kind: Literal["byte_probability"] = "byte_probability"

    def rows(self, answers: Told) -> Floats:
        """Of each text: nats, and bytes."""
        return np.stack([answers.nats, answers.sizes], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The geometric mean."""
        return np.exp(-ratio(sums[..., 0], sums[..., 1]))
