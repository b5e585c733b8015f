"""Edits of a text: what stands between it and a corrected one, chunk by chunk, and a text with edits made.

A chunk is what a correction is about: a word with its apostrophes and hyphens, or a single sign.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

_LETTERS = r"(?:[^\W_][\u0300-\u036f]*)+"  # an accent may stand behind its letter
_CHUNK = re.compile(rf"{_LETTERS}(?:['’\-]{_LETTERS})*|[^\w\s]|_+")
_AT_ONCE = 40_000  # steps that are weighed at once; longer texts are parted first where they are the same
_ANCHOR = 4  # chunks that are the same on both sides where a longer text is parted
_ALIKE = 0.5  # what it costs at most to take one form of a word for another; to leave one out and put one in costs 2


@final
@dataclass(frozen=True, order=True)
class Edit:
    """Some characters of a text (code points, `end` past the last) and what should stand there instead."""

    start: int
    end: int
    replacement: str


@final
@dataclass(frozen=True)
class Chunk:
    """A chunk of a text and where it stands."""

    start: int
    end: int
    text: str


@final
@dataclass(frozen=True)
class Change:
    """Chunks of a text, from `first` to before `last`, and what stands there in the other: a step from one to it.

    No chunk: what is put in stands before `first`.
    """

    first: int
    last: int
    replacement: tuple[str, ...]


def chunks(text: str) -> list[Chunk]:
    """The chunks of a text, from left to right."""
    return [Chunk(match.start(), match.end(), match.group()) for match in _CHUNK.finditer(text)]


def plain(word: str) -> str:
    """A word with the apostrophe of typewriters."""
    return word.replace("’", "'")


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with edits made; of those that overlap, the first."""
    parts, done = [], 0
    for one in sorted(edits):
        if one.start >= done:
            parts += [text[done : one.start], one.replacement]
            done = one.end
    return "".join([*parts, text[done:]])


def moved(start: int, end: int, edits: Iterable[Edit]) -> tuple[int, int]:
    """Where a stretch of a text stands after edits that do not overlap.

    What is put in at its ends stands outside of it; what is replaced across an end belongs to it as a whole.
    """
    first, last = start, end
    for one in edits:
        grown = len(one.replacement) - (one.end - one.start)
        if one.end <= start:
            first, last = first + grown, last + grown
        elif one.start < end:
            first -= max(0, start - one.start)
            last += grown + max(0, one.end - end)
    return first, last


def changes(source: Sequence[str], target: Sequence[str]) -> list[Change]:
    """The cheapest steps from chunks to other chunks, from left to right; what is equal is no step.

    A step replaces a chunk, leaves one out, puts some in, exchanges two neighbours, joins two (with a hyphen or
    without) or parts one: a Levenshtein distance in which words that look alike are near.
    """
    begin = 0
    while begin < min(len(source), len(target)) and source[begin] == target[begin]:
        begin += 1
    end = 0
    while end < min(len(source), len(target)) - begin and source[-1 - end] == target[-1 - end]:
        end += 1
    one, other = source[begin : len(source) - end], target[begin : len(target) - end]
    return _together([Change(step.first + begin, step.last + begin, step.replacement) for step in _steps(one, other)])


def _steps(one: Sequence[str], other: Sequence[str]) -> list[Change]:
    """The steps of the cheapest path; of a long text, of the cheapest that keeps its longer runs as they are."""
    if len(one) * len(other) <= _AT_ONCE:
        return _path(one, other)
    same = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    found, row, column = [], 0, 0
    for block in (*(part for part in same[:-1] if part.size >= _ANCHOR), same[-1]):
        gap = _path(one[row : block.a], other[column : block.b])
        found += [Change(step.first + row, step.last + row, step.replacement) for step in gap]
        row, column = block.a + block.size, block.b + block.size
    return found


def _path(one: Sequence[str], other: Sequence[str]) -> list[Change]:
    """The steps of the cheapest path, equal chunks left out."""
    rows, columns = len(one) + 1, len(other) + 1
    cost = [[0.0] * columns for _ in range(rows)]
    came = [[(0, 0)] * columns for _ in range(rows)]
    for row in range(rows):
        for column in range(columns):
            if row or column:
                cost[row][column], came[row][column] = min(_ways(one, other, cost, row, column))
    steps, row, column = [], rows - 1, columns - 1
    while row or column:
        down, across = came[row][column]
        if one[row - down : row] != other[column - across : column] or not down:
            steps.append(Change(row - down, row, tuple(other[column - across : column])))
        row, column = row - down, column - across
    return steps[::-1]


def _ways(
    one: Sequence[str], other: Sequence[str], cost: list[list[float]], row: int, column: int
) -> Iterable[tuple[float, tuple[int, int]]]:
    """The ways to have come to a place, with what each costs in all: how many chunks of each side it takes."""
    if row and column:
        yield cost[row - 1][column - 1] + _distance(one[row - 1], other[column - 1]), (1, 1)
    if row:
        yield cost[row - 1][column] + 1.0, (1, 0)
    if column:
        yield cost[row][column - 1] + 1.0, (0, 1)
    if min(row, column) > 1 and _exchanged(one[row - 2 : row], other[column - 2 : column]):
        yield cost[row - 2][column - 2] + 0.6, (2, 2)
    if row > 1 and column and other[column - 1] in joined(one[row - 2], one[row - 1]):
        yield cost[row - 2][column - 1] + 0.3, (2, 1)
    if row and column > 1 and one[row - 1] in joined(other[column - 2], other[column - 1]):
        yield cost[row - 1][column - 2] + 0.3, (1, 2)


def _exchanged(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two chunks are two others in the other order."""
    return [part.lower() for part in one] == [part.lower() for part in reversed(other)]


def joined(one: str, other: str) -> tuple[str, str]:
    """Two chunks as one, and as one with a hyphen."""
    return one + other, f"{one}-{other}"


def _distance(one: str, other: str) -> float:
    """How unlike two chunks are: nothing where they are equal, more than leaving one out where they share nothing."""
    if one == other:
        return 0.0
    low, high = sorted((one.lower(), other.lower()), key=len)
    if low == high:
        return 0.1
    if low[0].isalnum() != high[0].isalnum():
        return 2.0
    front = next((at for at, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    back = next((at for at, (a, b) in enumerate(zip(low[::-1], high[::-1], strict=False)) if a != b), len(low))
    shared = min(len(low), front + back) / len(high)
    return _ALIKE * (1 - shared) + 0.1 if shared >= 0.3 else 1.2


def near(one: str, other: str) -> bool:
    """Whether two words may be one, misspelt: they share most of their letters, in order."""
    return abs(len(one) - len(other)) <= 2 and _distance(one, other) <= 0.3


def _together(steps: Sequence[Change]) -> list[Change]:
    """Steps that put something in at one place as one step."""
    found: list[Change] = []
    for step in steps:
        if found and step.first == step.last == found[-1].first == found[-1].last:
            found[-1] = Change(step.first, step.last, (*found[-1].replacement, *step.replacement))
        else:
            found.append(step)
    return found
