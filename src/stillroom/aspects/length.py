"""How long a text is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read


@final
class Length(Aspect):
    """How many characters it has."""

    told: ClassVar[str] = "characters"
    counts: ClassVar[bool] = False

    kind: Literal["length"] = "length"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Characters of the text as it stands there."""
        return [len(one.text) for one in texts]
