"""Short forms for long ones, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

_SHORT = {
    "is not": "isn't", "are not": "aren't", "was not": "wasn't", "were not": "weren't", "do not": "don't",
    "does not": "doesn't", "did not": "didn't", "have not": "haven't", "has not": "hasn't", "had not": "hadn't",
    "will not": "won't", "would not": "wouldn't", "could not": "couldn't", "should not": "shouldn't",
    "cannot": "can't", "can not": "can't", "i am": "I'm", "i have": "I've", "i will": "I'll", "it is": "it's",
    "that is": "that's", "there is": "there's", "you are": "you're", "we are": "we're", "they are": "they're",
    "we have": "we've", "you have": "you've", "they have": "they've", "let us": "let's",
}  # fmt: skip
# What is short for several ("it's been") is left as it is.
_LONG = {short.lower(): long for long, short in _SHORT.items() if long not in ("can not", "it is", "that is",
                                                                              "there is")}  # fmt: skip
_KNOWN = re.compile(rf"\b(?:{'|'.join(map(re.escape, [*_SHORT, *_LONG]))})\b", re.IGNORECASE)


@final
class Contractions(Perturbation):
    """English short forms for long ones, and long ones for short."""

    told: ClassVar[str] = "“do not” for “don’t”, and the other way round"

    kind: Literal["contractions"] = "contractions"

    @property
    def is_english(self) -> bool:
        """It is."""
        return True

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every one there is."""
        plain = text.replace("’", "'")
        return [Edit(*one.span(), _other(one.group())) for one in _KNOWN.finditer(plain)]


def _other(form: str) -> str:
    low = form.lower()
    found = _SHORT.get(low) or _LONG[low]
    first = found[0].upper() if form[0].isupper() or found.startswith("i ") else found[0]
    return first + found[1:]
