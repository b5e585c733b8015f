"""BLEU: how many of a text's runs of one to four words are in its references."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np

from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats
from stillroom.metrics._texts import TextMetric, Written, signed

_ORDERS = 4


@final
class Bleu(TextMetric):
    """Corpus BLEU (Papineni et al. 2002) with sacrebleu's tokens (13a) and smoothing (exp), from 0 to 100."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 100.0
    formula: ClassVar[str] = "100 · min(1, e^(1 − r/c)) · (Π_{n ≤ 4} p_n)^(1/4)"
    reference: ClassVar[str] = "sacrebleu, nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp"

    kind: Literal["bleu"] = "bleu"

    def rows(self, answers: Written) -> Floats:
        """Of each row: its length, the nearest reference's, right runs of each order, all runs of each order."""
        counted = _counted()
        found = np.zeros((len(answers), 2 + 2 * _ORDERS))
        for row, (said, gold) in enumerate(zip(answers.said, answers.gold, strict=True)):
            score = counted.corpus_score([said], [[one] for one in gold])
            found[row] = [score.sys_len, score.ref_len, *score.counts, *score.totals]
        return found

    def value(self, sums: Floats) -> Floats:
        """The product of precisions, an order without a hit smoothed, times the penalty for being short."""
        length, reference = sums[..., 0], sums[..., 1]
        hits, totals = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
        with np.errstate(divide="ignore", invalid="ignore"):
            # As mteval does: the first order without a hit counts half a hit, the next one a quarter.
            missed = np.cumsum(hits == 0, axis=-1)
            precision = np.where(hits > 0, hits, 0.5**missed) / totals
            penalty = np.where(length < reference, np.exp(1 - reference / length), 1.0)
            found = 100.0 * penalty * np.exp(np.log(precision).mean(axis=-1))
        none = (hits.sum(axis=-1) == 0) | (totals == 0).any(axis=-1)
        return np.where(reference == 0, np.nan, np.where(none, 0.0, found))

    def signature(self, answers: Written) -> str:
        """As sacrebleu has it."""
        return signed(_counted(), answers)


def _counted() -> Any:
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError as error:
        raise missing_extra("text", package="sacrebleu", needed_by="the metric `bleu`") from error
    return BLEU()
