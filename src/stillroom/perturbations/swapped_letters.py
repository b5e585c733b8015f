"""Two letters of a word in the wrong order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some, words


@final
class SwappedLetters(Perturbation):
    """Two letters of a word in the wrong order."""

    told: ClassVar[str] = "two neighbouring letters exchanged"

    kind: Literal["swapped_letters"] = "swapped_letters"
    share: float = Field(0.1, gt=0, le=1)
    """Of words of four letters and more; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Two inner letters that differ, in some words that have such."""
        inner = [(start, end) for start, end in words(text, letters=4) if len(set(text[start + 1 : end - 1])) > 1]
        found = []
        for start, end in some(inner, share=self.share, rng=rng):
            pairs = [at for at in range(start + 1, end - 2) if text[at] != text[at + 1]]
            at = pairs[int(rng.integers(len(pairs)))]
            found.append(Edit(at, at + 2, text[at + 1] + text[at]))
        return found
