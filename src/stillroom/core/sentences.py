"""The sentences of a text: where each stands, told by signs alone, for whoever picks some of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

T = TypeVar("T", bound=Hashable)
#: What a text is made of: its sentences, or its lines, such as the turns of a conversation.
Unit = Literal["sentences", "lines"]
_LINE = re.compile(r"[^\n\r]+")
_END = re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]+[”’」』]*\s*")
_OPENING = "\"'“‘(["
# What stands between white space; of Chinese and Japanese, which write none, a character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff][^\w\s]*|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
_LONGEST = 8  # letters of an abbreviation, and what stands before it
# What ends in a full stop and is followed by a capital all the same.
_SHORT = re.compile(
    r"(?<![^\s(\[])(?:[a-z]|al|approx|cf|dr|e\.g|eqs?|etc|figs?|i\.e|mrs?|ms|no|prof|resp|secs?|st|vs)$",
    re.IGNORECASE,
)


def spans(text: str, *, unit: Unit = "sentences") -> list[tuple[int, int]]:
    """The characters of each sentence, or of each line, without the white space around it; none of an empty text.

    A sentence ends at a full stop, or a sign like it, before white space and what is no small letter, and at the end of
    its line. Known abbreviations and initials end none.
    """
    found = []
    for line in _LINE.finditer(text):
        start, end = line.span()
        stops = ends(text, start, end) if unit == "sentences" else ()
        for stop in (*stops, end):
            piece = text[start:stop]
            if piece.strip():
                found.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
            start = stop
    return found


def ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end between two places, with the white space behind them; line ends are white space here."""
    for one in _END.finditer(text, start, end):
        goes_on = text[one.end() : one.end() + 2].lstrip(_OPENING)[:1].islower()
        short = text[one.start()] == "." and _SHORT.search(text, max(start, one.start() - _LONGEST), one.start())
        if not goes_on and not short:
            yield one.end()


def joined(text: str, places: Iterable[int], *, unit: Unit = "sentences") -> str:
    """Some of its sentences, in its order, as a text."""
    known = spans(text, unit=unit)
    some = [text[start:end] for start, end in (known[place] for place in sorted(places) if place < len(known))]
    return ("\n" if unit == "lines" else " ").join(some)


def words(text: str) -> int:
    """How many words it has: what stands between white space, and of Chinese and Japanese each character."""
    return sum(1 for _ in _WORD.finditer(text))


def within(text: str, most: int) -> tuple[str, bool]:
    """The first sentences of a text that have so many words together, and whether the last is not a whole one.

    That is so where the first alone is longer: it is cut behind its last word that there is room for.
    """
    left, end = most, 0
    for start, stop in spans(text):
        left -= words(text[start:stop])
        if left < 0:
            break
        end = stop
    else:
        return text, False
    if end:
        return text[:end], False
    last = next(one for number, one in enumerate(_WORD.finditer(text), start=1) if number == most)
    return text[: last.end()], True


def picked(sentences: Sequence[Sequence[Hashable]], target: Sequence[Hashable], *, most: int) -> list[int]:
    """Which sentences together are nearest to a target by the F1 of what they are made of, the best one first.

    One after the other, while that rises; at least one where there are any (Nallapati et al. 1611.04230).
    """
    wanted = Counter(target)
    counted = [Counter(one) for one in sentences]
    chosen: list[int] = []
    together: Counter[Hashable] = Counter()
    best = -1.0
    while len(chosen) < most:
        left = [place for place in range(len(counted)) if place not in chosen]
        values = [f1(together + counted[place], wanted) for place in left]
        if not values or max(values) <= best:
            break
        best = max(values)
        chosen.append(left[values.index(best)])
        together = together + counted[chosen[-1]]
    return chosen


def f1(one: Counter[T], other: Counter[T]) -> float:
    """How much two counts of things have in common: twice what both have, over all that either has."""
    total = one.total() + other.total()
    return 2 * (one & other).total() / total if total else 0.0
