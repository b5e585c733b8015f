"""How high a search by vectors puts what it should find, among its ten nearest."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._vectors import Embedded


@final
class Ndcg(Metric):
    """Normalised discounted cumulative gain of the ten nearest documents by cosine, found by looking at all of them."""

    answers: ClassVar[str] = "vectors"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "mean of DCG / best DCG, DCG = Σ over the first ten of grade / log₂(1 + rank)"
    reference: ClassVar[str] = "sklearn.metrics.ndcg_score(k=10)"

    kind: Literal["ndcg"] = "ndcg"

    def counted(self, answers: Embedded) -> NDArray[np.int64]:
        """Rows that search."""
        return np.flatnonzero(answers.space.among[answers.rows] != "")

    def rows(self, answers: Embedded) -> Floats:
        """Each search's own, and one for the count."""
        found = answers.space.ndcg[answers.rows[self.counted(answers)]]
        return np.stack([found, np.ones_like(found)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])
