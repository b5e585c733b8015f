"""Words left out: what a text still says without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, Original, chosen, is_word, pieces


@final
class Masking(Augmentation):
    """Words drawn by chance become a mask token, or are dropped (Tang et al. 1903.12136)."""

    kind: Literal["masking"] = "masking"
    share: float = Field(0.1, gt=0, lt=1)
    """The probability of each word; one word at least is taken."""
    token: str = "[MASK]"  # noqa: S105  a token of text, not of access
    """What stands in their place, as the teacher's tokenizer knows it; empty: the word is dropped."""

    def open(self, ground: Ground) -> Make:
        """It needs the row alone."""
        return self._make

    def _make(self, row: Original, rng: np.random.Generator) -> Sequence[str]:
        parts = pieces(row.text)
        places = [place for place, piece in enumerate(parts) if is_word(piece)]
        made = []
        for _ in range(self.per_row):
            gone = set(chosen(places, share=self.share, rng=rng))
            left = "".join(self.token if place in gone else piece for place, piece in enumerate(parts))
            made.append(left if self.token else " ".join(left.split()))
        return made
