"""ROUGE of the longest common run of words."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics._rouge import Rouge


@final
class RougeL(Rouge):
    """The mean over texts of the F1 of the longest run of words in common, with stems, from 0 to 100.

    Of several references the mean counts.
    """

    name: ClassVar[str] = "rougeL"
    formula: ClassVar[str] = "100 · mean of F1 of the longest run of words in common"
    reference: ClassVar[str] = 'rouge_score.rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)'

    kind: Literal["rouge_l"] = "rouge_l"
