"""The share of rows that the teacher has right and a system has wrong: what was lost, whatever was gained elsewhere."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Answers, Floats, Metric, ratio, share


@final
class NegativeFlips(Metric):
    """The share of rows that the teacher has right and a system has wrong: what was lost, whatever was gained besides.

    Positive flips minus negative flips is the difference in accuracy, so equal accuracy may hide many of both.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = True
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of [argmax p_teacher = y and argmax p ≠ y]"
    reference: ClassVar[str] = "the off-diagonal cell b of sklearn.metrics.confusion_matrix over right and wrong"

    kind: Literal["negative_flips"] = "negative_flips"

    def rows(self, answers: Answers) -> Floats:
        """Lost or not, and one for the count."""
        return share(answers.teacher_right & ~answers.right)

    def value(self, sums: Floats) -> Floats:
        """Lost rows over all."""
        return ratio(sums[..., 0], sums[..., 1])
