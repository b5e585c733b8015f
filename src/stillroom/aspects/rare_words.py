"""Whether a text has words that training hardly has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.aspects import Aspect, Familiar, Read

FEWEST = 3


@final
class RareWords(Aspect):
    """How many of its words stand fewer than three times in the rows that were trained on."""

    told: ClassVar[str] = "words that training has fewer than three times"

    kind: Literal["rare_words"] = "rare_words"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Different ones."""
        every = [sorted(set(one.lower)) for one in texts]
        rare = familiar.of([word for words in every for word in words]) < FEWEST
        owners = np.repeat(np.arange(len(every)), [len(words) for words in every])
        found: list[float] = np.bincount(owners, weights=rare, minlength=len(every)).tolist()
        return found
