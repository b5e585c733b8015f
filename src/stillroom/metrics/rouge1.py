"""ROUGE of single words."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics._rouge import Rouge


@final
class Rouge1(Rouge):
    """The mean over texts of the F1 of single words, with stems, from 0 to 100; of several references the mean."""

    name: ClassVar[str] = "rouge1"
    formula: ClassVar[str] = "100 · mean of F1 of single words"
    reference: ClassVar[str] = 'rouge_score.rouge_scorer.RougeScorer(["rouge1"], use_stemmer=True)'

    kind: Literal["rouge1"] = "rouge1"
