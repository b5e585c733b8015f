"""Whether a sentence of a text can't be understood without the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, final

from stillroom.aspects import WORD, Aspect, Familiar, Read, listed
from stillroom.core import sentences

# What a sentence opens with that takes up the one before.
_TAKES_UP = listed(
    "he she it they him her them his its their this that these those such however but yet so then therefore thus "
    "hence also moreover besides instead otherwise nevertheless nonetheless still and or because afterwards later "
    "meanwhile both neither either former latter another others"
)
_FIRST = 2  # words of a sentence that are looked at


@final
class CrossSentence(Aspect):
    """How many of its sentences lean on the one before: they open with a pronoun, or with a word that joins."""

    told: ClassVar[str] = "sentences that lean on the one before"

    kind: Literal["cross_sentence"] = "cross_sentence"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Sentences after the first that have such a word among their first two."""
        return [sum(map(_leans, _sentences(one.text)[1:])) for one in texts]


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text)]


def _leans(sentence: str) -> bool:
    return any(word.lower() in _TAKES_UP for word in WORD.findall(sentence)[:_FIRST])
