"""How many texts say word for word what was to be said."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np

from stillroom.metrics import Floats, ratio, share
from stillroom.metrics._texts import TextMetric, Written, words


@final
class ExactMatch(TextMetric):
    """The share of texts that have the words of a reference, all of them and in its order: for answers that are short.

    Case, punctuation and white space do not count.
    """

    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "texts with the words of one of their references / texts"
    reference: ClassVar[str] = "counted by hand, in a test"

    kind: Literal["exact_match"] = "exact_match"

    def rows(self, answers: Written) -> Floats:
        """Of each whether it does, and one for the count."""
        both = zip(answers.said, answers.gold, strict=True)
        return share(np.array([words(said) in [words(one) for one in some] for said, some in both], dtype=np.bool_))

    def value(self, sums: Floats) -> Floats:
        """The share."""
        return ratio(sums[..., 0], sums[..., 1])
