"""The share of rows whose most probable label is the gold one."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Answers, Floats, Metric, ratio, share


@final
class Accuracy(Metric):
    """The share of rows whose most probable label is the gold one."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of [argmax p = y]"
    reference: ClassVar[str] = "sklearn.metrics.accuracy_score"

    kind: Literal["accuracy"] = "accuracy"

    def rows(self, answers: Answers) -> Floats:
        """Right or not, and one for the count."""
        return share(answers.right)

    def value(self, sums: Floats) -> Floats:
        """Right ones over all."""
        return ratio(sums[..., 0], sums[..., 1])
