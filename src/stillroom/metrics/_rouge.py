"""ROUGE: how much of a reference's wording a text has."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats, ratio
from stillroom.metrics._texts import TextMetric, Written


class Rouge(TextMetric):
    """The mean over texts of ROUGE's F1 (Lin 2004) with stems, from 0 to 100; of several references the mean counts."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 100.0
    name: ClassVar[str]
    """As rouge-score calls it."""

    def rows(self, answers: Written) -> Floats:
        """Of each row its F1, and one for the count."""
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise missing_extra("text", package="rouge-score", needed_by=f"the metric `{self.kind}`") from error
        scorer = RougeScorer([self.name], use_stemmer=True)
        found = [
            float(np.mean([scorer.score(one, said)[self.name].fmeasure for one in gold]))
            for said, gold in zip(answers.said, answers.gold, strict=True)
        ]
        return np.stack([100.0 * np.array(found), np.ones(len(found))], axis=1)

    def value(self, sums: Floats) -> Floats:
        """The mean."""
        return ratio(sums[..., 0], sums[..., 1])
