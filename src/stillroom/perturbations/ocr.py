"""What a scanner reads for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some

_READ_AS = {
    "rn": "m", "m": "rn", "cl": "d", "d": "cl", "vv": "w", "w": "vv", "l": "1", "i": "l", "o": "0", "0": "O", "1": "l",
    "5": "S", "S": "5", "B": "8", "8": "B", "h": "b", "e": "c", "c": "e", "O": "0", "I": "l",
}  # fmt: skip


@final
class Ocr(Perturbation):
    """Letters read for others that look like them, as in text that was scanned."""

    told: ClassVar[str] = "“rn” for “m” and the like, as in scanned text"

    kind: Literal["ocr"] = "ocr"
    share: float = Field(0.04, gt=0, le=1)
    """Of the letters and pairs that are mistaken for others; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Some of them, that do not overlap."""
        places = [(at, at + size) for at in range(len(text)) for size in (2, 1) if text[at : at + size] in _READ_AS
                  and len(text[at : at + size]) == size]  # fmt: skip
        found: list[Edit] = []
        for start, end in some(places, share=self.share, rng=rng):
            if not found or start >= found[-1].end:
                found.append(Edit(start, end, _READ_AS[text[start:end]]))
        return found
