"""Where the parts of a text stand that somebody has quoted from it.

A model that is asked for parts of a text gives their letters and not their places. A place for a quotation is one where
its letters stand, to the letter and, if there are any such, as whole words: `art` is not meant in `start`. One that is
quoted again, with the same label, once all its places are, is a repetition.

Quotations are in order if there is a place for each of them that begins where the one before has ended, or later; then
each stands at the first such place, and could stand elsewhere too if its last such place is another. If they are not in
order, each takes the first place that none before it has taken, behind the last of them where it can, and could stand
elsewhere too if its letters have more places than quotations.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

#: Why a quotation is not simply where it stands: its letters are not in the text; others have taken all its places; it
#: is a repetition; or it could stand elsewhere too.
MISQUOTED, OVERLAPPING, REPEATED, AMBIGUOUS = "misquoted", "overlapping", "repeated", "ambiguous"


@final
@dataclass(frozen=True)
class Place:
    """Characters of a text, `end` past the last of them; where a quotation has none, none of them."""

    start: int = 0
    end: int = 0
    why: str = ""
    """One of the four above, or ""."""


def laid(quoted: Sequence[tuple[str, int]], source: str) -> list[Place]:
    """The place of each quotation, which is some text and the number of its label, in the order of the quotations."""
    places = [_places(text, source) for text, _ in quoted]
    times: Counter[tuple[str, int]] = Counter()
    kept: list[int] = []
    for number, (one, own) in enumerate(zip(quoted, places, strict=True)):
        times[one] += 1
        if not own or times[one] <= len(own):
            kept.append(number)
    found = [Place(why=REPEATED)] * len(quoted)
    texts, own_places = [quoted[number][0] for number in kept], [places[number] for number in kept]
    for number, place in zip(kept, _laid(texts, own_places), strict=True):
        found[number] = place
    return found


def _laid(texts: Sequence[str], places: Sequence[Sequence[int]]) -> list[Place]:
    first = _in_order(texts, places)
    if first is None:
        return _out_of_order(texts, places)
    last = _in_order_from_the_end(texts, places)
    return [
        Place(start, start + len(text), "" if start == other else AMBIGUOUS)
        for text, start, other in zip(texts, first, last, strict=True)
    ]


def _places(text: str, source: str) -> list[int]:
    """Where the letters of a text stand, as whole words if they do so anywhere."""
    if not text.strip():
        return []
    found = [one.start() for one in re.finditer(f"(?={re.escape(text)})", source)]
    whole = [one for one in found if _cuts(source, one) and _cuts(source, one + len(text))]
    return whole or found


def _cuts(source: str, at: int) -> bool:
    """Whether no word goes on across a place between two characters."""
    return at == 0 or re.fullmatch(r"\w\w", source[at - 1 : at + 1]) is None


def _in_order(texts: Sequence[str], places: Sequence[Sequence[int]]) -> list[int] | None:
    """For each the first place that begins behind the one before; None: they are not in order."""
    found: list[int] = []
    behind = 0
    for text, own in zip(texts, places, strict=True):
        start = next((one for one in own if one >= behind), None)
        if start is None:
            return None
        found.append(start)
        behind = start + len(text)
    return found


def _in_order_from_the_end(texts: Sequence[str], places: Sequence[Sequence[int]]) -> list[int]:
    """For each the last place that ends before the one after it begins, of quotations that are in order."""
    found: list[int] = []
    before: int | None = None
    for text, own in zip(reversed(texts), reversed(places), strict=True):
        before = max(one for one in own if before is None or one + len(text) <= before)
        found.append(before)
    return found[::-1]


def _out_of_order(texts: Sequence[str], places: Sequence[Sequence[int]]) -> list[Place]:
    times = Counter(texts)
    found: list[Place] = []
    behind = 0
    for text, own in zip(texts, places, strict=True):
        free = [one for one in own if all(one + len(text) <= other.start or other.end <= one for other in found)]
        start = next((one for one in free if one >= behind), free[0] if free else None)
        if start is None:
            found.append(Place(why=OVERLAPPING if own else MISQUOTED))
            continue
        found.append(Place(start, start + len(text), AMBIGUOUS if len(own) > times[text] else ""))
        behind = start + len(text)
    return found
