"""Signs inside words that nobody sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some, words

_UNSEEN = ("\u200b", "\u200c", "\u200d", "\u00ad")  # zero-width space, non-joiner, joiner, soft hyphen


@final
class ZeroWidth(Perturbation):
    """Signs inside words that nobody sees, as they come along with text that is copied."""

    told: ClassVar[str] = "unseen signs inside words"

    kind: Literal["zero_width"] = "zero_width"
    share: float = Field(0.1, gt=0, le=1)
    """Of words of two letters and more; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """One between two letters of some words."""
        chosen = some(words(text, letters=2), share=self.share, rng=rng)
        places = [int(rng.integers(start + 1, end)) for start, end in chosen]
        return [Edit(at, at, _UNSEEN[int(rng.integers(len(_UNSEEN)))]) for at in places]
