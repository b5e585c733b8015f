"""Among how many tokens a system is as good as guessing."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.scored import LEAST
from stillroom.metrics import Floats, ratio
from stillroom.metrics._tokens import UNSCORED, TokenMetric, Told


@final
class Perplexity(TokenMetric):
    """Among how many equally probable tokens it would be as surprised, a token being one of the teacher's.

    Each text is read alone, and its first token is told from the beginning of a text. What reads other tokens is
    counted in the teacher's too, and of who read more or less of a long text than the teacher, nats are taken for as
    many bytes as the teacher read: so all systems stand side by side.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 1.0
    high: ClassVar[float] = math.exp(-8 * LEAST)
    formula: ClassVar[str] = "e^(−Σ log p(token | those before it) / the teacher's tokens)"
    reference: ClassVar[str] = "the loss of `transformers`, in a test"

    kind: Literal["perplexity"] = "perplexity"

    def unsaid(self, answers: Told, *, who: str) -> str:
        """How probable tokens are, and how many the teacher's are."""
        return super().unsaid(answers, who=who) or ("" if answers.teacher_speaks else f"the teacher {UNSCORED}")

    def rows(self, answers: Told) -> Floats:
        """Of each text: nats, and the teacher's tokens."""
        own, its = answers.sizes, answers.teacher_sizes
        share = np.divide(its, own, out=np.zeros_like(own), where=own > 0)
        return np.stack([answers.nats * share, answers.teacher.counts.astype(np.float64)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The power of their ratio."""
        return np.exp(ratio(sums[..., 0], sums[..., 1]))
