"""F1 of spans, in which one that overlaps gold of the same label counts half."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.core.tagging import Span
from stillroom.metrics._spans import SpanMetric


@final
class SpanF1Partial(SpanMetric):
    """F1 over all spans of all rows, in which one that only overlaps gold of the same label counts half.

    Each span is matched once: those that are equal first, then those that overlap, from the left.
    """

    formula: ClassVar[str] = "2·(equal + overlapping / 2) / (gold + said)"
    reference: ClassVar[str] = "nervaluate 1.2, `partial` (MUC), where labels do not differ"

    kind: Literal["span_f1_partial"] = "span_f1_partial"

    def credit(self, gold: set[Span], said: set[Span]) -> float:
        """One for each that is equal, one half for each that overlaps."""
        equal = gold & said
        left, found = sorted(gold - equal), float(len(equal))
        for one in sorted(said - equal):
            match = next((g for g in left if g.label == one.label and g.start < one.end and one.start < g.end), None)
            if match is not None:
                left.remove(match)
                found += 0.5
        return found
