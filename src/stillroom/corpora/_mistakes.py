"""Mistakes put into clean text, of the kinds that people make: what a proofreader should then undo."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np

from stillroom.core import edit_tags, edits, english, spelling
from stillroom.core.english import Topic
from stillroom.core.errors import InputError, Problem

#: How often a mistake of each kind is made where it can be, against the others that can be made at the same word. In
#: what learners write, spelling, articles, prepositions, numbers, verb forms and signs lead (Bryant et al. 2019).
RATES: Mapping[Topic, float] = {
    "spelling": 2.5, "article": 1.5, "preposition": 1.2, "number": 2.5, "verb form": 2.0, "agreement": 1.5,
    "punctuation": 1.5, "capitals": 0.6, "confused words": 0.5, "pronoun": 0.4, "determiner": 0.8, "missing word": 0.5,
    "word form": 0.6, "extra word": 0.4, "spacing": 0.5, "word order": 0.1,
}  # fmt: skip
_SHARES = (0.05, 0.12, 0.2)  # of the words of a text with mistakes: one of these
_TRIES = 3
_COMMON = 300_000  # how often a wrong ending's word has to stand in books to be one that somebody writes
_NEXT_KEY = {
    left: right
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for left, right in (*itertools.pairwise(row), *itertools.pairwise(row[::-1]))
}
_VOWELS = "aeiou"

Pieces = list[list[str]]
Step = Callable[[Pieces, int], bool]


@final
class Mistakes:
    """Makes mistakes, the same ones for the same text and seed."""

    def __init__(
        self, rates: Mapping[Topic, float], misspellings: Mapping[str, Sequence[str]], *, clean: float
    ) -> None:
        self._rates, self._misspellings, self._clean = {**RATES, **rates}, misspellings, clean

    def into(self, text: str, *, rng: np.random.Generator) -> str:
        """The text with mistakes, or, of the share that is to stay clean, as it is."""
        if rng.random() < self._clean:
            return text
        for _ in range(_TRIES):
            found = self._once(text, rng)
            if found.strip() and found != text:
                return found
        return text

    def _once(self, text: str, rng: np.random.Generator) -> str:
        """With mistakes in one chunk at least, where any can be made there."""
        pieces = _pieces(text)
        if not pieces:
            return text
        places = np.flatnonzero(rng.random(len(pieces)) < rng.choice(_SHARES))
        for at in places[::-1].tolist() or [int(rng.integers(len(pieces)))]:
            for _ in range(_TRIES):
                if self._one(pieces, at, rng):
                    break
        return "".join(itertools.chain.from_iterable(pieces))

    def _one(self, pieces: Pieces, at: int, rng: np.random.Generator) -> bool:
        steps = list(self._steps(pieces, at, rng))
        weights = np.array([self._rates[topic] * share for topic, share, _ in steps])
        if not weights.sum():
            return False
        return steps[rng.choice(len(steps), p=weights / weights.sum())][2](pieces, at)

    def _steps(self, pieces: Pieces, at: int, rng: np.random.Generator) -> Iterator[tuple[Topic, float, Step]]:
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
                yield topic, 1.0, _instead(str(rng.choice(others)))
        if low.isalpha() and len(low) > 3:
            yield "spelling", 1.0, _instead(self._misspelt(low, rng))
        yield from self._forms(low, rng)
        yield "extra word", 1.0, _before(str(rng.choice(english.TOO_MUCH)))
        yield "punctuation", 0.1, _before(",")
        yield "capitals", 1.0 if word[0].isupper() else 0.1, _case
        if at + 1 < len(pieces) and pieces[at + 1][1][:1].isalpha():
            yield "word order", 1.0, _exchange
        yield from self._spacing(low, rng)

    def _forms(self, low: str, rng: np.random.Generator) -> Iterator[tuple[Topic, float, Step]]:
        others = edit_tags.forms(low)
        if others:
            yield "verb form", 1.0, _instead(str(rng.choice(others)))
        number = edit_tags.other_number(low)
        if number:
            yield "number", 1.0, _instead(number)
        for topic, some in self._endings(low).items():
            yield topic, 0.1 if topic == "punctuation" else 1.0, _instead(str(rng.choice(some)))

    def _endings(self, low: str) -> dict[Topic, list[str]]:
        """Words that another ending makes of one, by what they would be a matter of."""
        found: dict[Topic, list[str]] = {}
        for wrong, right in english.ENDINGS:
            bad = edit_tags.with_ending(low, right, wrong)
            if bad and len(low) > 2 and (self._words.often(bad) >= _COMMON or "'" in bad):
                found.setdefault(edit_tags.topic_of(f"ending:{wrong}>{right}", bad), []).append(bad)
        return found

    def _spacing(self, low: str, rng: np.random.Generator) -> Iterator[tuple[Topic, float, Step]]:
        if "-" in low[1:-1]:
            yield "spacing", 2.0, _parted(low.index("-"), 1)
        cuts = [cut for cut in range(3, len(low) - 2) if low.isalpha()
                and min(self._words.often(low[:cut]), self._words.often(low[cut:])) > 50 * _COMMON]  # fmt: skip
        if cuts:
            yield "spacing", 1.0, _parted(int(rng.choice(cuts)), 0)
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
    def step(pieces: Pieces, at: int) -> bool:
        old = pieces[at][1]
        pieces[at][1] = edit_tags.cased(word, like=old, first=at == 0)
        return pieces[at][1] != old

    return step


def _before(word: str) -> Step:
    def step(pieces: Pieces, at: int) -> bool:
        if not at or pieces[at - 1][1].lower() == word or pieces[at][1].lower() == word:
            return False
        space = "" if word == "," else pieces[at][0] or " "
        pieces[at][0] = f"{space}{word}{pieces[at][0] or ' '}"
        return True

    return step


def _drop(pieces: Pieces, at: int) -> bool:
    pieces[at][:2] = ["", ""]
    return True


def _case(pieces: Pieces, at: int) -> bool:
    word = pieces[at][1]
    pieces[at][1] = word[0].swapcase() + word[1:] if not word.isupper() or len(word) == 1 else word
    return pieces[at][1] != word


def _exchange(pieces: Pieces, at: int) -> bool:
    one, other = pieces[at][1], pieces[at + 1][1]
    if at == 0 or one.lower() == other.lower() or "" in (one, other):
        return False
    pieces[at][1], pieces[at + 1][1] = other, one
    return True


def _joined(pieces: Pieces, at: int) -> bool:
    if not at or not pieces[at - 1][1].isalpha() or not pieces[at][0].isspace():
        return False
    pieces[at][0] = ""
    return True


def _parted(cut: int, skip: int) -> Step:
    def step(pieces: Pieces, at: int) -> bool:
        word = pieces[at][1]
        pieces[at][1] = f"{word[:cut]} {word[cut + skip :]}"
        return True

    return step
