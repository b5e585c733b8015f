"""Mistakes put into clean text, of the kinds that people make: what a proofreader should then undo."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from stillroom.core import edit_tags, edits, english, spelling
from stillroom.core.english import Topic
from stillroom.core.errors import InputError, Problem

#: How often mistakes of each kind are made where nobody says and nothing is measured: in 1,000 words of what learners
#: of English wrote, 378 sentences of JFLEG's dev (Napoles et al. 2017), four corrections of each, as `_habits` measures
#: it; the other half of these sentences is what `bench/proofreading.py` judges by.
RATES: Mapping[Topic, float] = {
    "extra word": 34.2, "spelling": 27.9, "punctuation": 24.5, "article": 13.8, "number": 10.9, "capitals": 10.4,
    "preposition": 9.9, "verb form": 9.7, "missing word": 9.0, "confused words": 8.2, "agreement": 4.3, "pronoun": 3.4,
    "word order": 1.9, "determiner": 1.5, "spacing": 1.5, "word form": 0.9,
}  # fmt: skip
#: How many mistakes a word a text with mistakes has, of which one is drawn: a guess, for other people than those
#: learners, of whose sentences a fifth was right, and of the others the best, the middle and the worst third had 0.09,
#: 0.19 and 0.34.
SHARES = (0.05, 0.12, 0.2)
_TRIES = 3
_COMMON = 300_000  # how often a wrong ending's word has to stand in books to be one that somebody writes
_NEXT_KEY = {
    left: right
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for left, right in (*itertools.pairwise(row), *itertools.pairwise(row[::-1]))
}
_VOWELS = "aeiou"
_ARTICLES = ("the", "the", "a", "an")

Pieces = list[list[str]]
#: Makes a mistake at a chunk, and says how many chunks from there on have it; 0: it can't be made there.
Step = Callable[[Pieces, int, np.random.Generator], int]


@final
class Mistakes:
    """Makes mistakes, the same ones for the same text and seed."""

    def __init__(
        self,
        rates: Mapping[Topic, float],
        misspellings: Mapping[str, Sequence[str]],
        *,
        clean: float,
        shares: Sequence[float] = SHARES,
    ) -> None:
        self._misspellings, self._clean, self._shares = misspellings, clean, np.asarray(shares)
        self._topics, weights = list(rates), np.array(list(rates.values()))
        self._odds = weights / weights.sum() if weights.sum() else None

    def into(self, text: str, *, rng: np.random.Generator) -> str:
        """The text with mistakes, or, of the share that is to stay clean, as it is."""
        if rng.random() < self._clean:
            return text
        for _ in range(_TRIES):
            share = float(rng.choice(self._shares))
            found = self._once(text, share, rng) if share else text
            if not share or (found.strip() and found != text):
                return found
        return text

    def _once(self, text: str, share: float, rng: np.random.Generator) -> str:
        """With so many mistakes a word, one at least; fewer where what was drawn can't be made there."""
        pieces = _pieces(text)
        if not pieces or self._odds is None:
            return text
        words = sum(one[1][:1].isalnum() for one in pieces)
        count = max(1, math.floor(share * words + rng.random()))
        places = self._places(pieces)
        taken: set[int] = set()
        for topic in rng.choice(len(self._topics), size=count, p=self._odds).tolist():
            self._one(pieces, places.get(self._topics[topic], []), taken, rng)
        return "".join(itertools.chain.from_iterable(pieces))

    def _one(
        self, pieces: Pieces, places: Sequence[tuple[int, float, Step]], taken: set[int], rng: np.random.Generator
    ) -> None:
        """One mistake of a kind at one of its places that has none yet, if it has any such."""
        for _ in range(_TRIES):
            left = [one for one in places if one[0] not in taken]
            if not left:
                return
            weights = np.array([share for _, share, _ in left])
            at, _, step = left[rng.choice(len(left), p=weights / weights.sum())]
            if touched := step(pieces, at, rng):
                taken.update(range(at, at + touched))
                return

    def _places(self, pieces: Pieces) -> dict[Topic, list[tuple[int, float, Step]]]:
        """By the kind of mistake: where it can be made, how likely there against its other places, and how."""
        found: dict[Topic, list[tuple[int, float, Step]]] = {}
        for at in range(len(pieces)):
            for topic, share, step in self._steps(pieces, at):
                found.setdefault(topic, []).append((at, share, step))
        return found

    def _steps(self, pieces: Pieces, at: int) -> Iterator[tuple[Topic, float, Step]]:
        """The mistakes that can be made at a chunk: what each is a matter of, how much it counts, how it is made."""
        word = pieces[at][1]
        low = edits.plain(word).lower()
        if not word[:1].isalpha():
            if word in english.SIGNS and at:
                yield "punctuation", 1.0 if word == "," else 0.3, _drop
            return
        if at:
            for topic, some in english.LEFT_OUT.items():
                if low in some.split():
                    yield topic, 1.0, _drop
        for topic, lines in english.CONFUSED.items():
            others = [one for line in lines if low in line.split() for one in line.split() if one != low]
            if others:
                yield topic, 0.5 if topic == "article" else 1.0, _one_of(others)
        if low.isalpha() and len(low) > 3:
            yield "spelling", 1.0, lambda pieces, at, rng: _instead(self._misspelt(low, rng))(pieces, at, rng)
        yield from self._forms(low)
        yield "extra word", 1.0, _before(english.TOO_MUCH.split())
        yield "article", 0.1, _before(_ARTICLES)
        yield "punctuation", 0.1, _before((",",))
        yield "capitals", 1.0 if word[0].isupper() else 0.1, _case
        if at + 1 < len(pieces) and pieces[at + 1][1][:1].isalpha():
            yield "word order", 1.0, _exchange
        yield from self._spacing(low)

    def _forms(self, low: str) -> Iterator[tuple[Topic, float, Step]]:
        others = edit_tags.forms(low)
        if others:
            yield "verb form", 1.0, _one_of(others)
        number = edit_tags.other_number(low)
        if number:
            yield "number", 1.0, _instead(number)
        for topic, some in self._endings(low).items():
            yield topic, 0.1 if topic == "punctuation" else 1.0, _one_of(some)

    def _endings(self, low: str) -> Mapping[Topic, list[str]]:
        """Words that another ending makes of one, by what they would be a matter of."""
        if low not in self._other_endings:
            found: dict[Topic, list[str]] = {}
            for wrong, right in english.ENDINGS if len(low) > 2 else ():
                bad = edit_tags.with_ending(low, right, wrong)
                if bad and (self._words.often(bad) >= _COMMON or "'" in bad):
                    found.setdefault(edit_tags.topic_of(f"ending:{wrong}>{right}", bad), []).append(bad)
            self._other_endings[low] = found
        return self._other_endings[low]

    def _spacing(self, low: str) -> Iterator[tuple[Topic, float, Step]]:
        if "-" in low[1:-1]:
            yield "spacing", 2.0, _parted((low.index("-"),), 1)
        cuts = [cut for cut in range(3, len(low) - 2) if low.isalpha()
                and min(self._words.often(low[:cut]), self._words.often(low[cut:])) > 50 * _COMMON]  # fmt: skip
        if cuts:
            yield "spacing", 1.0, _parted(cuts, 0)
        yield "spacing", 0.1, _joined

    def _misspelt(self, low: str, rng: np.random.Generator) -> str:
        known = self._misspellings.get(low)
        if known and rng.random() < 0.7:
            return str(rng.choice(known))
        for _ in range(_TRIES):
            found = _slip(low, rng)
            if found not in self._words:
                return found
        return low

    @cached_property
    def _other_endings(self) -> dict[str, Mapping[Topic, list[str]]]:
        return {}

    @cached_property
    def _words(self) -> spelling.Dictionary:
        return spelling.dictionary()


def read_misspellings(path: str) -> dict[str, list[str]]:
    """By a word, how people misspell it: a JSON object `{"word": ["wrod", …]}`.

    Raises:
        InputError: there is no such file, or it holds something else.
    """
    expected = 'a JSON object of lists, such as {"because": ["becuase"]}'
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        told = "no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())[:200]
        raise InputError(
            Problem("corpus.misspellings", f"{path}: {told}", expected, "Correct it, or leave it out.")
        ) from error
    fits = isinstance(found, dict) and all(
        isinstance(some, list) and all(isinstance(one, str) for one in some) for some in found.values()
    )
    if not fits:
        raise InputError(Problem("corpus.misspellings", f"{path}: something else", expected, "Write it like that."))
    return {str(word).lower(): some for word, some in found.items() if some}


def _pieces(text: str) -> Pieces:
    """Each chunk with what stands before it; what stands behind the last is a piece without a word of its own."""
    found, done = [], 0
    for one in edits.chunks(text):
        found.append([text[done : one.start], one.text])
        done = one.end
    if found:
        found[-1][1:] = [found[-1][1], text[done:]]
    return found


def _slip(word: str, rng: np.random.Generator) -> str:
    """A word with a letter left out, doubled, exchanged with the next, or another in its place."""
    at = int(rng.integers(1, len(word) - 1))
    kind = rng.choice(["out", "twice", "exchange", "vowel", "beside"], p=[0.3, 0.15, 0.2, 0.25, 0.1])
    front, letter, back = word[:at], word[at], word[at + 1 :]
    if kind == "out":
        return front + back
    if kind == "twice":
        return front + letter * 2 + back
    if kind == "exchange":
        return front + back[0] + letter + back[1:]
    if kind == "vowel" and letter in _VOWELS:
        return front + str(rng.choice([one for one in _VOWELS if one != letter])) + back
    return front + _NEXT_KEY.get(letter, letter * 2) + back


def _instead(word: str) -> Step:
    def step(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
        old = pieces[at][1]
        pieces[at][1] = edit_tags.cased(word, like=old, first=at == 0)
        return int(pieces[at][1] != old)

    return step


def _one_of(words: Sequence[str]) -> Step:
    return lambda pieces, at, rng: _instead(str(rng.choice(words)))(pieces, at, rng)


def _before(words: Sequence[str]) -> Step:
    def step(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
        word = str(rng.choice(words))
        if not at or pieces[at - 1][1].lower() == word or pieces[at][1].lower() == word:
            return 0
        space = "" if word == "," else pieces[at][0] or " "
        pieces[at][0] = f"{space}{word}{pieces[at][0] or ' '}"
        return 1

    return step


def _drop(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
    pieces[at][:2] = ["", ""]
    return 1


def _case(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
    word = pieces[at][1]
    pieces[at][1] = word[0].swapcase() + word[1:] if not word.isupper() or len(word) == 1 else word
    return int(pieces[at][1] != word)


def _exchange(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
    one, other = pieces[at][1], pieces[at + 1][1]
    if at == 0 or one.lower() == other.lower() or "" in (one, other):
        return 0
    pieces[at][1], pieces[at + 1][1] = other, one
    return 2


def _joined(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
    if not at or not pieces[at - 1][1].isalpha() or not pieces[at][0].isspace():
        return 0
    pieces[at][0] = ""
    return 1


def _parted(cuts: Sequence[int], skip: int) -> Step:
    def step(pieces: Pieces, at: int, rng: np.random.Generator) -> int:
        word, cut = pieces[at][1], int(rng.choice(cuts))
        pieces[at][1] = f"{word[:cut]} {word[cut + skip :]}"
        return 1

    return step
