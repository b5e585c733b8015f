"""Words of the same kind in each other's place: sentences that are built alike and say something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.augmentations import Augmentation, Ground, Make, cased_like, chosen, is_word, pieces

#: Words that hold an English sentence together: never swapped.
_CLOSED_WORDS = """
    a about above after again against all although am among an and another any anybody anyone anything are as at be
    because been before being below between both but by can cannot could did do does doing don't down during each either
    every everybody everyone everything few for from had has have having he her here hers herself him himself his how i
    if in into is isn't it its itself just least less many may me might mine more most much must my myself neither never
    no nobody none nor not nothing of off on once only onto or other our ours out over own quite rather same shall she
    should since so some somebody someone something such than that the their theirs them themselves then there these
    they this those though through till to too under unless until up upon us very was we were what when where whether
    which while who whom whose why will with within without won't would yet you your yours yourself"""
_CLOSED = frozenset(_CLOSED_WORDS.split())
#: The first suffix that fits decides; the longest stand first.
_SUFFIXES = (
    (("ation", "ition", "ction", "sion", "ness", "ment", "ance", "ence", "ship", "hood", "ity", "ism"), "noun"),
    (("ful", "less", "ous", "ive", "able", "ible", "ical", "ish", "est"), "adjective"),
    (("ing",), "participle in -ing"),
    (("ed",), "participle in -ed"),
    (("ly",), "adverb"),
    (("ies", "es", "s"), "form in -s"),
    (("er", "or", "ist"), "form in -er"),
    (("al", "ic", "y"), "form in -al, -ic, -y"),
)  # fmt: skip


def tag(word: str) -> str:
    """The kind of an English word by its look; empty where it is never swapped."""
    low = word.lower()
    if low in _CLOSED or len(low) < 3 or "'" in low or "’" in low:
        return ""
    if not low.isalpha():
        return "number" if low.isdigit() else ""
    for endings, kind in _SUFFIXES:
        if any(low.endswith(ending) and len(low) > len(ending) + 2 for ending in endings):
            return kind
    return "other"


@final
class SamePosSwap(Augmentation):
    """Words become others of the same kind, drawn as often as they stand in the rows (Tang et al. 1903.12136).

    The kinds are no parts of speech from a tagger: a list of English function words, which stay, and suffixes. Words
    without a telling suffix, most nouns, verbs and adjectives among them, are one kind. For other languages the list
    and the suffixes mean nothing.
    """

    kind: Literal["same_pos_swap"] = "same_pos_swap"
    share: float = Field(0.1, gt=0, lt=1)
    """The probability of each word that may be swapped; one word at least is taken."""

    def open(self, ground: Ground) -> Make:
        """The words of the rows, by their kind."""
        pools = _pools(ground.words())

        def make(text: str, rng: np.random.Generator) -> Sequence[str]:
            return self._made(text, rng, pools)

        return make

    def _made(
        self, text: str, rng: np.random.Generator, pools: Mapping[str, tuple[list[str], NDArray[np.float64]]]
    ) -> Sequence[str]:
        parts = pieces(text)
        places = [place for place, piece in enumerate(parts) if is_word(piece) and tag(piece) in pools]
        made = []
        for _ in range(self.per_row if places else 0):
            swapped = list(parts)
            for place in chosen(places, share=self.share, rng=rng):
                words, odds = pools[tag(parts[place])]
                word = words[int(np.searchsorted(odds, rng.random() * odds[-1], side="right"))]
                swapped[place] = cased_like(word, parts[place])
            made.append("".join(swapped))
        return made


def _pools(words: Mapping[str, int]) -> dict[str, tuple[list[str], NDArray[np.float64]]]:
    """The words of each kind with their counts summed up; a kind of a single word has nothing to swap."""
    found: dict[str, list[str]] = {}
    for word in words:
        if kind := tag(word):
            found.setdefault(kind, []).append(word)
    return {
        kind: (listed, np.cumsum([float(words[word]) for word in listed]))
        for kind, listed in found.items()
        if len(listed) > 1
    }
