"""The share of rows on which a system and the teacher name the same label, right or wrong."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Answers, Floats, Metric, ratio, share


@final
class Agreement(Metric):
    """The share of rows on which a system and the teacher name the same label, right or wrong.

    Its ceiling is not 1 but what two fits of the same teacher with different seeds reach.
    """

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = True
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of [argmax p = argmax p_teacher]"
    reference: ClassVar[str] = "sklearn.metrics.accuracy_score against the teacher's labels"

    kind: Literal["agreement"] = "agreement"

    def rows(self, answers: Answers) -> Floats:
        """The same label or not, and one for the count."""
        return share(answers.probabilities.argmax(axis=1) == answers.teacher.argmax(axis=1))

    def value(self, sums: Floats) -> Floats:
        """Agreeing rows over all."""
        return ratio(sums[..., 0], sums[..., 1])
