"""How much of what is written was written before."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, ratio
from stillroom.metrics._texts import words
from stillroom.metrics._tokens import TokenMetric, Told

_RUN = 3


@final
class Repetition(TokenMetric):
    """The share of runs of three words written behind a text that stand there before: small models go round in circles.

    Of systems that wrote nothing, or no more than two words, it is not measurable.
    """

    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    formula: ClassVar[str] = "runs of three words that the same text has before / runs of three words"
    reference: ClassVar[str] = "counted by hand, in a test"

    kind: Literal["repetition"] = "repetition"

    def unsaid(self, answers: Told, *, who: str) -> str:
        """Nothing: how probable tokens are has no part in it."""
        return ""

    def counted(self, answers: Told) -> NDArray[np.int64]:
        """Texts behind which three words were written."""
        return np.array([row for row, one in enumerate(answers.said.texts) if len(words(one)) >= _RUN], dtype=np.int64)

    def rows(self, answers: Told) -> Floats:
        """Of each: runs that were there before, and runs."""
        found = []
        for row in self.counted(answers).tolist():
            own = words(answers.said.texts[row])
            runs = list(zip(*(own[start:] for start in range(_RUN)), strict=False))
            found.append((len(runs) - len(set(runs)), len(runs)))
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """The share."""
        return ratio(sums[..., 0], sums[..., 1])
