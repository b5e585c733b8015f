"""F1 of spans: both ends and the label have to be gold's."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._spans import Spans


@final
class SpanF1(Metric):
    """F1 over all spans of all rows (micro): a span counts as found where both its ends and its label are gold's."""

    answers: ClassVar[str] = "spans"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "2·hits / (gold + said), hits: spans of both with the same ends and the same label"
    reference: ClassVar[str] = 'seqeval.metrics.f1_score(mode="strict", scheme=IOB2), on spans of words'

    kind: Literal["span_f1"] = "span_f1"

    def rows(self, answers: Spans) -> Floats:
        """Of each row: spans of both, and spans of gold and of the system together."""
        pairs = zip(answers.gold, answers.said, strict=True)
        counts = [(len(set(gold) & set(said)), len(set(gold)) + len(set(said))) for gold, said in pairs]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """F1; NaN where there is no span at all."""
        return ratio(2.0 * sums[..., 0], sums[..., 1])
