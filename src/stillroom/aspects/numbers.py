"""Whether a text has figures in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read, listed

_DIGITS = re.compile(r"\d+(?:[.,:/-]\d+)*")
WORDS = listed(
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half "
    "quarter third dozen percent twice"
)


@final
class Numbers(Aspect):
    """How many numbers it has, in digits (a date or a price is one) or in words but for *one*."""

    told: ClassVar[str] = "numbers"

    kind: Literal["numbers"] = "numbers"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Numbers in digits, and words that are some."""
        return [len(_DIGITS.findall(one.text)) + sum(word in WORDS for word in one.lower) for one in texts]
