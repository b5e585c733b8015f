"""Whether a text denies something."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read, listed

WORDS = listed(
    "not no never none nobody nothing neither nor nowhere without cannot hardly scarcely barely seldom rarely lack "
    "lacks lacked lacking fail fails failed refuse refuses refused ain't"
)


@final
class Negation(Aspect):
    """How many words deny: *not*, *never*, *without*, *hardly*, and all that ends in *n't*."""

    told: ClassVar[str] = "words that deny"

    kind: Literal["negation"] = "negation"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Such words, those that are doubled twice."""
        return [sum(word in WORDS or word.endswith("n't") for word in one.lower) for one in texts]
