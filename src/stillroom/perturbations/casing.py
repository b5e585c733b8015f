"""Capitals and small letters as people write them in haste."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, words


@final
class Casing(Perturbation):
    """All in small letters; what has no capitals, all in capitals."""

    told: ClassVar[str] = "all letters small, or all capitals"

    kind: Literal["casing"] = "casing"

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every word that is not so already."""
        capitals = text == text.lower()
        told = [(place, text[slice(*place)]) for place in words(text)]
        turned = [(place, word, word.upper() if capitals else word.lower()) for place, word in told]
        return [Edit(*place, new) for place, word, new in turned if new != word]
