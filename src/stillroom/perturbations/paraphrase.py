"""The same said in a frame of other words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np
from pydantic import Field, field_validator

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

_FRAMES = ("Let me put it this way: {text}", "Here is what it says. {text}", "{text} That is all.", "Hello, {text}")


@final
class Paraphrase(Perturbation):
    """The same said in a frame of other words, which adds nothing to it."""

    told: ClassVar[str] = "the text in a frame such as “Let me put it this way: …”"

    kind: Literal["paraphrase"] = "paraphrase"
    frames: tuple[str, ...] = Field(_FRAMES, min_length=1)
    """What may stand around a text, each with `{text}` once; for texts that are not English give your own."""

    @field_validator("frames")
    @classmethod
    def _around(cls, frames: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [one for one in frames if one.count("{text}") != 1 or one == "{text}"]:
            raise ValueError(f"words around `{{text}}`, which has to be there once: not so in {wrong[0]!r}")
        return frames

    @property
    def is_english(self) -> bool:
        """Its own frames are; what a recipe gives is in the language of its texts."""
        return self.frames == _FRAMES

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """What stands before it and behind it."""
        before, _, behind = self.frames[int(rng.integers(len(self.frames)))].partition("{text}")
        inside = re.fullmatch(r"(\s*).*?(\s*)", text, re.DOTALL)
        if not text.strip() or inside is None:
            return []
        ends = ((inside.end(1), before), (inside.start(2), behind))
        return [Edit(at, at, words) for at, words in ends if words]
