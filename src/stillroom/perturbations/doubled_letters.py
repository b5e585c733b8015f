"""A letter written twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some, words


@final
class DoubledLetters(Perturbation):
    """A letter written twice, as by a key that sticks."""

    told: ClassVar[str] = "a letter written twice"

    kind: Literal["doubled_letters"] = "doubled_letters"
    share: float = Field(0.1, gt=0, le=1)
    """Of words of four letters and more; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """One letter of some words, not the first."""
        chosen = some(words(text, letters=4), share=self.share, rng=rng)
        places = [int(rng.integers(start + 1, end)) for start, end in chosen]
        return [Edit(at, at + 1, 2 * text[at]) for at in places]
