"""Whether a text is in more than one language."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import ClassVar, Literal, final

from stillroom.aspects import Aspect, Familiar, Read

# Words of grammar that the other languages here do not have, some by language.
_GRAMMAR: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and of with that this was were which from they have has their would about there",
        "de": "und der das nicht ist ich sie mit auch auf eine einen wird sind oder aber noch wenn",
        "fr": "et les est une dans pour avec qui pas sur mais vous nous être cette ces sont aux",
        "es": "y los las una pero más muy está esta sus también donde cuando porque hasta desde sobre",
        "pt": "os não uma mas mais você muito também isso ele ela são foi tem até pelo pela",
        "it": "il gli che di sono della anche più nel questo alla dei perché con ma ho ci è",
        "nl": "het een niet van zijn maar ook voor naar wordt deze bij heeft dat aan nog wel",
    }.items()
}  # fmt: skip
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
    found = {language for language, grammar in _GRAMMAR.items() if len(latin & grammar) >= _FEWEST}
    # Words in Latin letters are a language too, also where none of their grammar is known.
    found |= {"latin"} if len(latin) >= _FEWEST and not found else set()
    return found | {script for script, count in others.items() if count >= _FEWEST}


@cache
def _script(letter: str) -> str:
    """The script of a letter, of Japanese all three as one."""
    script = unicodedata.name(letter, "OTHER").partition(" ")[0]
    return "CJK" if script in ("HIRAGANA", "KATAKANA", "CJK") else script
