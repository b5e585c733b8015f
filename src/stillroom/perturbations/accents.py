"""Accents left out, or put where there are none."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some

_WITH = dict(zip("aeiounc", "áéíóúñç", strict=True))


@final
class Accents(Perturbation):
    """Accents left out; of a text that has none, some put in."""

    told: ClassVar[str] = "accents left out, or put in"

    kind: Literal["accents"] = "accents"
    share: float = Field(0.1, gt=0, le=1)
    """Of the letters that can have one, where they are put in; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every letter with one, or some without."""
        bare = {at: _bare(letter) for at, letter in enumerate(text) if not letter.isascii()}
        found = [Edit(at, at + 1, new) for at, new in bare.items() if new != text[at]]
        if found:
            return found
        places = [(at, at + 1) for at, letter in enumerate(text) if letter in _WITH]
        return [Edit(start, end, _WITH[text[start]]) for start, end in some(places, share=self.share, rng=rng)]


def _bare(letter: str) -> str:
    parts = unicodedata.normalize("NFD", letter)
    return "".join(part for part in parts if not unicodedata.combining(part)) if parts[0].isalpha() else letter
