"""A letter left out of a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some, words


@final
class DroppedLetters(Perturbation):
    """A letter left out of a word."""

    told: ClassVar[str] = "a letter left out"

    kind: Literal["dropped_letters"] = "dropped_letters"
    share: float = Field(0.1, gt=0, le=1)
    """Of words of four letters and more; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """One letter of some words, not the first."""
        chosen = some(words(text, letters=4), share=self.share, rng=rng)
        places = [int(rng.integers(start + 1, end)) for start, end in chosen]
        return [Edit(at, at + 1, "") for at in places]
