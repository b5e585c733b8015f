"""Phrases: what a teacher says of a few words, without the rest of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, final

import numpy as np
from pydantic import Field, field_validator

from stillroom.augmentations import Augmentation, Ground, Make, Original


@final
class NgramSampling(Augmentation):
    """Runs of words cut out of a row (Tang et al. 1903.12136)."""

    kind: Literal["ngram_sampling"] = "ngram_sampling"
    lengths: tuple[int, ...] = Field((1, 2, 3, 4, 5, 6, 8), min_length=1)
    """How many words a run may have; each length is as likely. A row that is no longer than it gives none."""

    @field_validator("lengths")
    @classmethod
    def _above_zero(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if min(lengths) < 1:
            raise ValueError("lengths of one word or more")
        return lengths

    def open(self, ground: Ground) -> Make:
        """It needs the row alone."""
        return self._make

    def _make(self, row: Original, rng: np.random.Generator) -> Sequence[str]:
        words = row.text.split()
        found: dict[str, None] = {}
        for length in rng.choice(self.lengths, size=self.per_row).tolist():
            if len(words) > length:
                start = int(rng.integers(len(words) - length + 1))
                found[" ".join(words[start : start + length])] = None
        return list(found)
