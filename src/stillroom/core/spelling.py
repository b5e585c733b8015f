"""A dictionary of English, and the word of it that was meant: near in letters, and at home between its neighbours.

Words with their frequencies and pairs of words are those that `symspellpy` ships (from Google Books and SCOWL); how
many letters stand between two words (optimal string alignment) is counted by `rapidfuzz`. Both are read when asked.
"""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, final

from stillroom.core import artifact, edits
from stillroom.core.edits import Chunk
from stillroom.core.errors import missing_extra
from stillroom.core.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS, _PAIRS = "frequency_dictionary_en_82_765.txt", "frequency_bigramdictionary_en_243_342.txt"
_ENDINGS = ("'s", "s'", "'re", "'ve", "'ll", "'d", "'m")
_NOT = re.compile(r"(?:ai|are|ca|could|did|does|do|had|has|have|is|might|must|need|should|was|were|wo|would)n't")
_BARE = {"im": "i'm", "ive": "i've", "youre": "you're", "theyre": "they're", "weve": "we've", "thats": "that's"}
# What counts for and against a word, in logarithms: fitted to misspellings that people make, put into clean sentences.
_OFTEN, _STEP, _OTHER_FIRST, _SAME_BONES, _SAME_LETTERS, _DOUBLED = 0.6, 4.6, 1.6, 0.8, 3.2, 1.5
_LEFT_OUT = 2.0  # letters that are missing are written wrongly more often than others are
_PARTED = 3.4
_PAIR = 0.4  # what a pair counts beside the word alone
_UNSEEN = 1e5  # how often a pair is taken to stand that is not listed


@final
class Dictionary:
    """Words with their frequencies, and pairs of words with theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counts = dict(_table(folder / _WORDS))
        # The list has neither of the two words of one letter that there are.
        self._counts |= {one: self._counts.get(one, 10**10) for one in ("a", "i")}
        self._by_length: dict[int, list[str]] = {}
        for word in self._counts:
            self._by_length.setdefault(len(word), []).append(word)

    def __contains__(self, word: str) -> bool:
        """Whether it may be a word: in the list, with an ending, of parts that are, or nothing made of letters."""
        low = edits.plain(word).lower()
        if low in self._counts or (not low.isalpha() and not any(one.isalpha() for one in low)):
            return True
        if any(one.isdigit() for one in low) or _NOT.fullmatch(low):
            return True
        if any(low.endswith(one) and low.removesuffix(one) in self._counts for one in _ENDINGS):
            return True
        return "-" in low and all(part in self for part in low.split("-") if part)

    @property
    def digest(self) -> str:
        """Of the two files."""
        return artifact.sha256("".join(artifact.file_sha256(self._folder / one) for one in (_WORDS, _PAIRS)).encode())

    def in_browser(self) -> Scripted:
        """The two lists, and what speaks for a word and against it."""
        weights = {
            "often": _OFTEN, "step": _STEP, "other_first": _OTHER_FIRST, "same_bones": _SAME_BONES,
            "same_letters": _SAME_LETTERS, "doubled": _DOUBLED, "left_out": _LEFT_OUT, "parted": _PARTED, "pair": _PAIR,
            "unseen": _UNSEEN,
        }  # fmt: skip
        told = {"endings": list(_ENDINGS), "not": _NOT.pattern, "bare": _BARE, "weights": weights}
        lists = {name: (self._folder / name).read_text(encoding="utf-8-sig") for name in (_WORDS, _PAIRS)}
        return Scripted({**told, "words": _WORDS, "pairs": _PAIRS}, made=lists)

    def often(self, word: str) -> int:
        """How often it stands in books; 0: it is not in the list."""
        return self._counts.get(word.lower(), 0)

    def meant(self, chunks: Sequence[Chunk], at: int) -> str | None:
        """The word that was meant by a chunk between its neighbours, in lower case; None: none is near."""
        if "'" in edits.plain(chunks[at].text) and chunks[at].text in self:
            return None
        before, after = (chunks[one].text.lower() if 0 <= one < len(chunks) else "" for one in (at - 1, at + 1))
        return self._best(edits.plain(chunks[at].text).lower(), before, after)

    def near(self, word: str) -> list[tuple[str, int]]:
        """The words of the list that are at most two steps away (of short words one), each with its steps."""
        return list(_near(self, word))

    def words_near(self, word: str) -> list[tuple[str, int]]:
        """The same, looked up anew."""
        try:
            from rapidfuzz import process
            from rapidfuzz.distance import OSA
        except ImportError as error:
            raise missing_extra("proof", package="rapidfuzz", needed_by="proofreading") from error
        most = 1 if len(word) < 4 else 2
        some = [
            one for length in range(len(word) - most, len(word) + most + 1) for one in self._by_length.get(length, [])
        ]
        found = process.extract(word, some, scorer=OSA.distance, score_cutoff=most, limit=None)
        return [(one, int(steps)) for one, steps, _ in found if one != word]

    def _best(self, word: str, before: str, after: str) -> str | None:
        bare = _BARE.get(word) or f"{word[:-1]}'t"
        if word in _BARE or _NOT.fullmatch(bare):
            return bare
        scored = [(self._worth(one, before, after) - _unlike(one, word, steps), one) for one, steps in self.near(word)]
        for place in range(1, len(word)):
            pair = f"{word[:place]} {word[place:]}"
            if pair in self._pairs:
                scored.append((_OFTEN * math.log(self._pairs[pair]) - _PARTED, pair))
        return max(scored)[1] if scored else None

    def _worth(self, word: str, before: str, after: str) -> float:
        sides = [self._pairs.get(f"{before} {word}", 0), self._pairs.get(f"{word} {after}", 0)]
        beside = sum(math.log(max(one, _UNSEEN) / _UNSEEN) for one in sides)
        return _OFTEN * math.log(self._counts[word]) + _PAIR * beside

    @property
    def _pairs(self) -> Mapping[str, int]:
        return _pairs(self._folder)


def _unlike(one: str, other: str, steps: int) -> float:
    """What speaks against one word having been written as another, so many steps away."""
    against = _STEP * steps + _OTHER_FIRST * (one[0] != other[0]) - _SAME_LETTERS * (sorted(one) == sorted(other))
    against -= _LEFT_OUT * _is_inside(other, one)
    return against - _DOUBLED * (_single(one) == _single(other)) - _SAME_BONES * (_bones(one) == _bones(other))


def _is_inside(some: str, word: str) -> bool:
    """Whether a word has these letters in this order, and perhaps others between them."""
    letters = iter(word)
    return all(one in letters for one in some)


@lru_cache(maxsize=1 << 14)
def _single(word: str) -> str:
    """A word with double letters written once."""
    return re.sub(r"(.)\1+", r"\1", word)


@lru_cache(maxsize=1 << 14)
def _bones(word: str) -> str:
    """The consonants behind the first letter."""
    return _single(re.sub("[aeiouy]", "", word[1:]))


@cache
def dictionary() -> Dictionary:
    """The dictionary, read once.

    Raises:
        MissingExtra: it is not installed.
    """
    package = importlib.util.find_spec("symspellpy")
    if package is None or package.origin is None:
        raise missing_extra("proof", package="symspellpy", needed_by="proofreading")
    return Dictionary(Path(package.origin).parent)


def _table(path: Path) -> list[tuple[str, int]]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [(word, int(count)) for word, _, count in (line.rpartition(" ") for line in lines) if word]


@cache
def _pairs(folder: Path) -> dict[str, int]:
    return dict(_table(folder / _PAIRS))


@lru_cache(maxsize=1 << 14)
def _near(words: Dictionary, word: str) -> tuple[tuple[str, int], ...]:
    return tuple(words.words_near(word))
