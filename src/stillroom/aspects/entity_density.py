"""How much of a text is names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import WORD, Aspect, Familiar, Read
from stillroom.core import sentences


@final
class EntityDensity(Aspect):
    """The share of its words that are written like names: large inside a sentence whose words are not all large.

    Told by spelling alone: texts in small letters have none, and in German every noun is one.
    """

    told: ClassVar[str] = "share of words written like names"
    counts: ClassVar[bool] = False

    kind: Literal["entity_density"] = "entity_density"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Names over words; 0 of a text without any."""
        return [_names(one.text) / max(1, len(one.words)) for one in texts]


def _names(text: str) -> int:
    found = 0
    for start, end in sentences.spans(text):
        words = WORD.findall(text[start:end])
        if any(word[0].islower() for word in words):
            found += sum(word[0].isupper() and not word.startswith("I'") and word != "I" for word in words[1:])
    return found
