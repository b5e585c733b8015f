"""The share of the teacher's ten nearest texts that are a system's ten nearest too."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._vectors import Embedded


@final
class Neighbours(Metric):
    """The share of the teacher's ten nearest texts that are a system's ten nearest too.

    A search looks among its documents, every other row among the texts of the test.
    """

    answers: ClassVar[str] = "vectors"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of |the ten nearest of both| / 10"
    reference: ClassVar[str] = "sklearn.neighbors.NearestNeighbors(metric='cosine', algorithm='brute')"

    kind: Literal["neighbours"] = "neighbours"

    def rows(self, answers: Embedded) -> Floats:
        """The share, and one for the count."""
        found = answers.space.shared[answers.rows]
        return np.stack([found, np.ones_like(found)], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])
