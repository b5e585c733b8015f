"""F1 of spans, in which one that overlaps gold of the same label counts half."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.tagging import Span
from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._spans import Spans


@final
class SpanF1Partial(Metric):
    """F1 over all spans of all rows, in which one that only overlaps gold of the same label counts half.

    Each span is matched once: those that are equal first, then those that overlap, from the left.
    """

    answers: ClassVar[str] = "spans"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "2·(equal + overlapping / 2) / (gold + said)"
    reference: ClassVar[str] = "nervaluate 1.2, `partial` (MUC), where labels do not differ"

    kind: Literal["span_f1_partial"] = "span_f1_partial"

    def rows(self, answers: Spans) -> Floats:
        """Of each row: what its matches count, and spans of gold and of the system together."""
        pairs = zip(answers.gold, answers.said, strict=True)
        counts = [(_credit(gold, said), len(set(gold)) + len(set(said))) for gold, said in pairs]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """F1; NaN where there is no span at all."""
        return ratio(2.0 * sums[..., 0], sums[..., 1])


def _credit(gold: Iterable[Span], said: Iterable[Span]) -> float:
    equal = set(gold) & set(said)
    left, credit = sorted(set(gold) - equal), float(len(equal))
    for one in sorted(set(said) - equal):
        match = next((g for g in left if g.label == one.label and g.start < one.end and one.start < g.end), None)
        if match is not None:
            left.remove(match)
            credit += 0.5
    return credit
