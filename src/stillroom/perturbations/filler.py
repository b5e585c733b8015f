"""Words that say nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

_FILLERS = ("well", "you know", "I mean", "um", "so", "like")
_BETWEEN = re.compile(r"(?<=\w)(?= \w)")


@final
class Filler(Perturbation):
    """An English word that says nothing, before the text or in it."""

    told: ClassVar[str] = "“um”, “you know” and the like put in"

    kind: Literal["filler"] = "filler"

    @property
    def is_english(self) -> bool:
        """It is."""
        return True

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """One, at the beginning or between two words."""
        first = re.match(r"\s*(?=\w)", text)
        if first is None:
            return []
        said = _FILLERS[int(rng.integers(len(_FILLERS)))]
        places = [one.start() for one in _BETWEEN.finditer(text)]
        at = int(rng.integers(len(places) + 1))
        if at < len(places):
            return [Edit(places[at], places[at], f", {said},")]
        return [Edit(first.end(), first.end(), f"{said[0].upper()}{said[1:]}, ")]
