"""How far a student's next-token distributions are from its teacher's at half of the tokens, at most."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Floats
from stillroom.metrics._tokens import EDGES, DivergenceMetric, Told, percentile


@final
class KLP50(DivergenceMetric):
    """What KL(teacher ‖ student) is at most, in nats, at 50 % of the tokens: counted in 240 bins, 6 % wide."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = float(EDGES[-1])
    formula: ClassVar[str] = "percentile 50 over tokens of Σ p (log p − log q), as in `kl_mean`"
    reference: ClassVar[str] = "numpy.percentile, in a test"

    kind: Literal["kl_p50"] = "kl_p50"

    def rows(self, answers: Told) -> Floats:
        """Of each text: how many tokens are in each bin."""
        return self.spread(answers)

    def value(self, sums: Floats) -> Floats:
        """The percentile of all of them."""
        return percentile(sums, 0.50)
