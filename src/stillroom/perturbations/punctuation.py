"""Signs between words as people write them in haste."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

_SIGN = re.compile(r"(?<=\S)[.,;:!?…](?=\s|$)")
_LAST = re.compile(r"(?<=\w)(?=\s*$)")


@final
class Punctuation(Perturbation):
    """Without the signs that end sentences and clauses; where there are none, with a full stop at the end."""

    told: ClassVar[str] = "signs left out, or a full stop put in"

    kind: Literal["punctuation"] = "punctuation"

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every sign before a blank or the end, or one more there."""
        found = [Edit(*one.span(), "") for one in _SIGN.finditer(text)]
        end = _LAST.search(text)
        return found if found or end is None else [Edit(end.start(), end.start(), ".")]
