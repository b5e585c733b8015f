"""Whether a text is in more than one language."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read
from stillroom.core.languages import GRAMMAR

_FEWEST = 2  # different words, of grammar or of another script, before a language is taken to be there


@final
class CodeSwitching(Aspect):
    """How many languages it has beside its main one, by words of grammar (of seven languages) and by scripts."""

    told: ClassVar[str] = "languages beside the main one"

    kind: Literal["code_switching"] = "code_switching"

    def amounts(self, texts: Sequence[Read], familiar: Familiar) -> Sequence[float]:
        """Languages of which two different words are there, less one."""
        return [max(0, len(_languages(set(one.lower))) - 1) for one in texts]


def _languages(words: Iterable[str]) -> set[str]:
    latin, others = set[str](), Counter[str]()
    for word in words:
        script = _script(word[0])
        if script == "LATIN":
            latin.add(word)
        else:
            others[script] += 1
    found = {language for language, grammar in GRAMMAR.items() if len(latin & grammar) >= _FEWEST}
    # Words in Latin letters are a language too, also where none of their grammar is known.
    found |= {"latin"} if len(latin) >= _FEWEST and not found else set()
    return found | {script for script, count in others.items() if count >= _FEWEST}


@cache
def _script(letter: str) -> str:
    """The script of a letter, of Japanese all three as one."""
    script = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA", "CJK") else script
