"""The share of rows that the teacher has wrong and a system has right."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Answers, Floats, Metric, ratio, share


@final
class PositiveFlips(Metric):
    """The share of rows that the teacher has wrong and a system has right."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = True
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of [argmax p_teacher ≠ y and argmax p = y]"
    reference: ClassVar[str] = "the off-diagonal cell c of sklearn.metrics.confusion_matrix over right and wrong"

    kind: Literal["positive_flips"] = "positive_flips"

    def rows(self, answers: Answers) -> Floats:
        """Gained or not, and one for the count."""
        return share(~answers.teacher_right & answers.right)

    def value(self, sums: Floats) -> Floats:
        """Gained rows over all."""
        return ratio(sums[..., 0], sums[..., 1])
