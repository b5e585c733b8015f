"""chrF: how many of a text's runs of one to six characters are in its reference, and the other way round."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import numpy as np

from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats
from stillroom.metrics._texts import TextMetric, Written, signed

_ORDERS = 6
_BETA = 2.0


@final
class Chrf(TextMetric):
    """Corpus chrF2 (Popović 2015), white space left out, from 0 to 100; of several references the best one counts."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 100.0
    formula: ClassVar[str] = "100 · 5·p·r / (4·p + r), p and r the means over orders n ≤ 6 of precision and recall"
    reference: ClassVar[str] = "sacrebleu, nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no"

    kind: Literal["chrf"] = "chrf"

    def rows(self, answers: Written) -> Floats:
        """Of each row and order: runs of the text, runs of the reference, runs of both."""
        counted = _counted()
        lines = counted._extract_corpus_statistics(list(answers.said), answers.references) if len(answers) else []
        return np.array(lines, dtype=np.float64).reshape(-1, 3 * _ORDERS)

    def value(self, sums: Floats) -> Floats:
        """The F score of mean precision and mean recall, over the orders that both have."""
        said, gold, both = (sums[..., place::3] for place in range(3))
        counts = (said > 0) & (gold > 0)
        orders = counts.sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall = (
                np.where(counts, both / one, 0.0).sum(axis=-1) / np.maximum(orders, 1) for one in (said, gold)
            )
            score = (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
        found = np.where(precision + recall > 0, 100.0 * score, 0.0)
        return np.where((said.sum(axis=-1) == 0) & (gold.sum(axis=-1) == 0), np.nan, found)

    def signature(self, answers: Written) -> str:
        """As sacrebleu has it."""
        return signed(_counted(), answers)


def _counted() -> Any:
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise missing_extra("text", package="sacrebleu", needed_by="the metric `chrf`") from error
    return CHRF()
