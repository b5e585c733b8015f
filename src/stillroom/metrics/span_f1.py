"""F1 of spans: both ends and the label have to be gold's."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.core.tagging import Span
from stillroom.metrics._spans import SpanMetric


@final
class SpanF1(SpanMetric):
    """F1 over all spans of all rows (micro): a span counts as found where both its ends and its label are gold's."""

    formula: ClassVar[str] = "2·hits / (gold + said), hits: spans of both with the same ends and the same label"
    reference: ClassVar[str] = 'seqeval.metrics.f1_score(mode="strict", scheme=IOB2), on spans of words'

    kind: Literal["span_f1"] = "span_f1"

    def credit(self, gold: set[Span], said: set[Span]) -> float:
        """How many are equal."""
        return float(len(gold & said))
