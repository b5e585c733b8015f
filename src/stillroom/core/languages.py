"""Which language a text is in, by its words of grammar: enough to know what lists of English words may be put to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

#: Words of grammar that the other languages here do not have, some by language.
GRAMMAR: Mapping[str, frozenset[str]] = {
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
}

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# More of English for one text alone; words that are also those of others (was, of, is, an, her, for) prove nothing.
_MORE = (
    "it its she you your my our are be not what when where who why how could should because into these those been "
    "don't didn't isn't wasn't doesn't can't it's i'm i've that's there's"
)
_ENGLISH = (GRAMMAR["en"] - {"was", "of", "have", "has"}) | frozenset(_MORE.split())
#: So large a share of the texts has to be English by its own words before those that can't be told are taken for it.
_ENOUGH = 0.2


def english(texts: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts are English: by words of grammar, and where a text has none, as most of the others are.

    A text that has more of another language's is none, nor is one whose letters are not Latin.
    """
    found = np.array([_by_itself(text) for text in texts], dtype=np.int64)
    unknown = (found > 0).sum() >= _ENOUGH * max(1, len(found))
    return np.asarray((found > 0) | ((found == 0) & unknown))


def _by_itself(text: str) -> int:
    """1: it is English, −1: it is not, 0: it does not say."""
    words = {one.group().lower().replace("’", "'") for one in _WORD.finditer(text)}
    here = len(words & _ENGLISH)
    elsewhere = max(len(words & some) for language, some in GRAMMAR.items() if language != "en")
    letters = [one for one in text if one.isalpha()]
    if elsewhere > here or sum(one > "ɏ" for one in letters) * 2 > len(letters):
        return -1
    return 1 if here else 0
