"""Letters of another script that look the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation, some

#: From Unicode's table of confusable characters (UTS 39): Latin letters and the Cyrillic ones that look like them.
_ALIKE = dict(zip("aceopxysijABCEHIKMOPTX", "асеорхуѕіјАВСЕНІКМОРТХ", strict=True))


@final
class Homoglyphs(Perturbation):
    """Some Latin letters as Cyrillic ones that look the same."""

    told: ClassVar[str] = "letters of another script that look the same"

    kind: Literal["homoglyphs"] = "homoglyphs"
    share: float = Field(0.05, gt=0, le=1)
    """Of the letters that have such a twin; one at least."""

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Some of them."""
        places = [(at, at + 1) for at, letter in enumerate(text) if letter in _ALIKE]
        return [Edit(start, end, _ALIKE[text[start]]) for start, end in some(places, share=self.share, rng=rng)]
