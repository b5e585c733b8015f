"""The mean over classes of F1, so that a rare class weighs as much as a frequent one."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Answers, Floats, Metric, ratio


@final
class MacroF1(Metric):
    """The mean over classes of F1, so that a rare class weighs as much as a frequent one.

    A class that is neither gold nor predicted on the rows at hand has no F1 and does not count. So a resample that
    misses a rare class altogether is averaged over the others, instead of scoring it 0 (or 1).
    """

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "mean over present classes c of 2·tp_c / (gold_c + predicted_c)"
    reference: ClassVar[str] = (
        'sklearn.metrics.f1_score(average="macro", labels=those in gold or predictions, zero_division=0)'
    )

    kind: Literal["macro_f1"] = "macro_f1"

    def rows(self, answers: Answers) -> Floats:
        """For each class a hit, then for each class how often it is gold or predicted: 0, 1 or 2."""
        classes = np.arange(answers.probabilities.shape[1])
        predicted = answers.probabilities.argmax(axis=1)[:, None] == classes
        gold = answers.gold[:, None] == classes
        return np.concatenate([gold & predicted, gold.astype(np.float64) + predicted], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean of the F1 of the classes that occur."""
        hits, occurrences = np.split(sums, 2, axis=-1)
        present = occurrences > 0
        scores = np.where(present, ratio(2.0 * hits, occurrences), 0.0)
        return ratio(scores.sum(axis=-1), present.sum(axis=-1))
