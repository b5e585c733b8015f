"""ROUGE of pairs of words."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics._rouge import Rouge


@final
class Rouge2(Rouge):
    """The mean over texts of the F1 of pairs of words, with stems, from 0 to 100; of several references the mean."""

    name: ClassVar[str] = "rouge2"
    formula: ClassVar[str] = "100 · mean of F1 of pairs of words"
    reference: ClassVar[str] = 'rouge_score.rouge_scorer.RougeScorer(["rouge2"], use_stemmer=True)'

    kind: Literal["rouge2"] = "rouge2"
