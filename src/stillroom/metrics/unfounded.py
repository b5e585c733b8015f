"""How often a text names somebody or some number that its source does not."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, ratio, share
from stillroom.metrics._texts import NAME, TextMetric, Written

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@final
class Unfounded(TextMetric):
    """The share of texts with a number or a name that their source does not have: what was made up, or garbled.

    Names are words with a capital that do not begin a sentence, compared without regard to capitals; numbers are
    compared without their separators. A translation changes names of places and days, and so does well here only
    between languages that share them.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    share_of_rows: ClassVar[bool] = True
    formula: ClassVar[str] = "mean of [a number or a name is written that the source lacks]"
    reference: ClassVar[str] = "cases judged by hand in a test"

    kind: Literal["unfounded"] = "unfounded"

    def rows(self, answers: Written) -> Floats:
        """Whether there is any, and one for the count."""
        found: NDArray[np.bool_] = np.array(
            [bool(unfounded(said, source)) for said, source in zip(answers.said, answers.sources, strict=True)],
            dtype=np.bool_,
        )
        return share(found)

    def value(self, sums: Floats) -> Floats:
        """The share."""
        return ratio(sums[..., 0], sums[..., 1])


def unfounded(said: str, source: str) -> list[str]:
    """The numbers and names of a text that its source lacks."""
    there = source.lower()
    numbers = {re.sub(r"[.,]", "", one) for one in _NUMBER.findall(source)}
    found = [one for one in _NUMBER.findall(said) if re.sub(r"[.,]", "", one) not in numbers]
    return found + [one for one in NAME.findall(said) if one.lower() not in there]
