"""Blanks too many and too few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some


@final
class Spacing(Perturbation):
    """Some blanks left out, others doubled."""

    told: ClassVar[str] = "blanks left out or doubled"

    kind: Literal["spacing"] = "spacing"
    share: float = Field(0.1, gt=0, le=1)
    """Of the blanks between words; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Half of them left out, about."""
        inner = range(1, len(text) - 1)
        places = [(at, at + 1) for at in inner if text[at] == " " and " " not in (text[at - 1], text[at + 1])]
        return [Edit(*place, ("", "  ")[int(rng.integers(2))]) for place in some(places, share=self.share, rng=rng)]
