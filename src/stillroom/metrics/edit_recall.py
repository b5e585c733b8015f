"""Recall of corrections: how much of what is wrong is found."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Floats, Metric, _corrections, ratio
from stillroom.metrics._corrections import Corrected


@final
class EditRecall(Metric):
    """The share of all marks of all rows that are made, each row against the reference that it is nearest to.

    Also told of each kind of mistake: which of them a student has forgotten is what F0.5 of a kind, which false alarms
    lower too, can't say.
    """

    answers: ClassVar[str] = "corrections"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    of_parts: ClassVar[bool] = True
    formula: ClassVar[str] = "hits / gold, hits: marks of both on the same chunk with the same tag"
    reference: ClassVar[str] = "sklearn.metrics.recall_score on chunks with tags"

    kind: Literal["edit_recall"] = "edit_recall"

    def rows(self, answers: Corrected) -> Floats:
        """Of each row: hits, marks of gold."""
        return _corrections.best(answers.gold, answers.said)[:, [0, 2]]

    def value(self, sums: Floats) -> Floats:
        """The share; NaN where nothing is wrong."""
        return ratio(sums[..., 0], sums[..., 1])
