"""How often a text names somebody or some number that its source does not."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, ratio, share
from stillroom.metrics._texts import NAME, TextMetric, Written

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPS = re.compile(r"[.,](?=\d{3}(?:[.,]|$))")  # between thousands
_WORD = re.compile(r"\w[\w'’-]*")
_OWNED = re.compile(r"['’]s?$")


@final
class Unfounded(TextMetric):
    """The share of texts with a number or a name that their source does not have: what was made up, or garbled.

    Names are words with a capital that do not begin a sentence, whole and compared without regard to capitals, or to an
    ’s behind them; numbers are compared by their value, whatever stands between thousands. A translation changes names
    of places and days, and so does well here only between languages that share them.
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
    numbers = {_value(one) for one in _NUMBER.findall(source)}
    words = set(_WORD.findall(source.lower()))
    words |= {part for one in words for part in one.split("-")}
    words |= {_OWNED.sub("", one) for one in words}
    found = [one for one in _NUMBER.findall(said) if _value(one) not in numbers]
    return found + [one for one in NAME.findall(said) if not {one.lower(), _OWNED.sub("", one.lower())} & words]


def _value(number: str) -> Decimal | str:
    """A number as it is meant: 1,500 is 1500, and 1,5 is 1.50; of 1.500 nobody can tell, and it is 1500."""
    whole = number if number.startswith("0") else _GROUPS.sub("", number)
    try:
        return Decimal(whole.replace(",", ".")).normalize()
    except InvalidOperation:
        return number
