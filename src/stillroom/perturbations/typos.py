"""A letter struck beside the one that was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some, words

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_BESIDE = {letter: row[max(0, at - 1) : at] + row[at + 1 : at + 2] for row in _ROWS for at, letter in enumerate(row)}


@final
class Typos(Perturbation):
    """A letter struck beside the one that was meant, on an English keyboard."""

    told: ClassVar[str] = "a neighbouring key instead of a letter"

    kind: Literal["typos"] = "typos"
    share: float = Field(0.1, gt=0, le=1)
    """Of words of four letters and more; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """One letter of some words, not the first."""
        found = []
        for start, end in some(words(text, letters=4), share=self.share, rng=rng):
            at = int(rng.integers(start + 1, end))
            beside = _BESIDE.get(text[at].lower(), "")
            if beside:
                struck = beside[int(rng.integers(len(beside)))]
                found.append(Edit(at, at + 1, struck.upper() if text[at].isupper() else struck))
        return found
