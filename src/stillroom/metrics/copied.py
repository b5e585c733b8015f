"""How much of what is written is taken from the source as it stands there."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio
from stillroom.metrics._texts import TextMetric, Written, words


@final
class Copied(TextMetric):
    """The share of words written that stand in the source: near 1 a translation was not made, a summary cut out."""

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    formula: ClassVar[str] = "words written that the source has / words written, in lower case"
    reference: ClassVar[str] = "counted by hand in a test"

    kind: Literal["copied"] = "copied"

    def rows(self, answers: Written) -> Floats:
        """Of each row: words that the source has, and words."""
        found = []
        for said, source in zip(answers.said, answers.sources, strict=True):
            own, there = words(said), set(words(source))
            found.append((sum(one in there for one in own), len(own)))
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """The share."""
        return ratio(sums[..., 0], sums[..., 1])
