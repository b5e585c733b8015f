"""Numbers as words, and the other way round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.edits import Edit
from stillroom.perturbations import Perturbation

# "One" is left out: it is more often a pronoun than a number.
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_WORDS = dict(enumerate(_NUMBERS, start=2))
_DIGITS = {word: str(number) for number, word in _WORDS.items()}
_KNOWN = re.compile(rf"(?<![\w.,:/$€£-])(?:[2-9]|1[0-2]|{'|'.join(_DIGITS)})(?![\w%:/-]|[.,]\d)", re.IGNORECASE)


@final
class NumberWords(Perturbation):
    """Small numbers as English words, and such words as numbers."""

    told: ClassVar[str] = "“seven” for “7”, and the other way round"

    kind: Literal["number_words"] = "number_words"

    @property
    def is_english(self) -> bool:
        """It is."""
        return True

    def edits(self, text: str, *, rng: np.random.Generator) -> Sequence[Edit]:
        """Every number from two to twelve that stands alone."""
        return [Edit(*one.span(), _other(one.group())) for one in _KNOWN.finditer(text)]


def _other(number: str) -> str:
    return _WORDS[int(number)] if number.isdigit() else _DIGITS[number.lower()]
