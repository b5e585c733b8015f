"""Whether a text commits itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read, listed

WORDS = listed(
    "may might could perhaps maybe possibly probably presumably apparently seemingly supposedly allegedly arguably "
    "likely unlikely seem seems seemed appear appears appeared suggest suggests suggested somewhat fairly rather quite "
    "almost nearly roughly approximately about around generally usually often sometimes typically mostly partly assume "
    "assumes assumed guess doubt doubts suspect suspects believe believes believed think thinks thought estimate "
    "estimated tend tends tended would should unsure uncertain"
)


@final
class Hedges(Aspect):
    """How many words leave a door open: *may*, *perhaps*, *seems*, *somewhat*, *usually*."""

    told: ClassVar[str] = "words that hedge"

    kind: Literal["hedges"] = "hedges"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Such words."""
        return [sum(word in WORDS for word in one.lower) for one in texts]
