"""How near the length of what is written is to that of the references."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio
from stillroom.metrics._texts import TextMetric, Written, words


@final
class LengthRatio(TextMetric):
    """The smaller over the larger of all words written and all words of the references; 1: as long as they are."""

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    formula: ClassVar[str] = "min(c/r, r/c), c words written, r words of references (of several the mean)"
    reference: ClassVar[str] = "lengths counted by hand in a test"

    kind: Literal["length_ratio"] = "length_ratio"

    def rows(self, answers: Written) -> Floats:
        """Of each row: words written, and words of its references in the mean."""
        pairs = zip(answers.said, answers.gold, strict=True)
        counts = [(len(words(said)), np.mean([len(words(one)) for one in gold])) for said, gold in pairs]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """The ratio, whichever is larger below."""
        return ratio(sums.min(axis=-1), sums.max(axis=-1))
