"""How many bits a byte of texts takes."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.scored import LEAST
from stillroom.metrics import Floats, ratio
from stillroom.metrics._tokens import TokenMetric, Told


@final
class BitsPerByte(TokenMetric):
    """How many bits a byte of the texts would take, coded by what is said of its tokens: it compares tokenizers too."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = -LEAST / math.log(2)
    formula: ClassVar[str] = "−Σ log₂ p(token | those before it) / bytes"
    reference: ClassVar[str] = "the loss of `transformers`, in a test"

    kind: Literal["bits_per_byte"] = "bits_per_byte"

    def rows(self, answers: Told) -> Floats:
        """Of each text: bits, and bytes."""
        return np.stack([answers.nats / math.log(2), answers.sizes], axis=1)

    def value(self, sums: Floats) -> Floats:
        """Their ratio."""
        return ratio(sums[..., 0], sums[..., 1])
