"""A long text in passages that can be read one after the other: whole sentences, where each stands, nothing lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, final

from stillroom.core import sentences

_WORD = re.compile(r"\S")
_BLANK_LINE = re.compile(r"(?:\r\n|\n|\r)[^\S\n\r]*(?:\r\n|\n|\r)\s*")


@final
@dataclass(frozen=True)
class Plan:
    """How a long text is parted."""

    by: Literal["sentence", "paragraph", "text"]
    """What is never read together with what follows: a sentence, or a paragraph; or all may be read together."""
    most: int | None
    """How many characters are read together at most; None: as many as whoever reads takes in."""


@final
@dataclass(frozen=True)
class Passage:
    """Some characters of a text (code points). Passages stand end to end, so that together they are the text."""

    start: int
    end: int
    first: int
    last: int
    """Where what is to be read begins and ends: the same without the white space around it."""
    broken: bool = False
    """Whether it ends inside a sentence."""


@final
@dataclass(frozen=True)
class Told:
    """What was said of a passage, as of a part of its text."""

    passage: Passage
    said: Any


def split(text: str, *, plan: Plan) -> Iterator[Passage]:
    """The passages of a text, from left to right, at least one.

    A passage ends where a paragraph or a sentence does. A sentence that is longer than `most` is parted at the end of a
    line, else at white space, else anywhere.
    """
    most = plan.most or len(text)
    start, last = 0, 0
    counted = _next_word(text, 0)  # only what stands before the first word begins no passage with a word
    for mark, stop, paragraph in _ends(text):
        if mark <= counted:
            continue
        if mark - counted > most and last > counted:
            yield _passage(text, start, last)
            start = counted = last
        while mark - counted > most:
            cut, broken = _cut(text, counted, counted + most)
            yield _passage(text, start, cut, broken=broken)
            start = counted = cut
        last = stop
        if plan.by == "sentence" or (plan.by == "paragraph" and paragraph):
            yield _passage(text, start, stop)
            start = counted = stop
    if start < len(text) or not text:
        yield _passage(text, start, len(text))


def _ends(text: str) -> Iterator[tuple[int, int, bool]]:
    """Where the words of each sentence end, where the next one begins, and whether a paragraph ends there."""
    start = 0
    for gap in _BLANK_LINE.finditer(text):
        yield from _sentences(text, start, gap.start())
        yield _last_word(text, start, gap.start()), gap.end(), True
        start = gap.end()
    yield from _sentences(text, start, len(text))
    yield _last_word(text, start, len(text)), len(text), True


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    for stop in sentences.ends(text, start, end):
        if stop < end:
            yield _last_word(text, start, stop), stop, False
            start = stop


def _cut(text: str, start: int, end: int) -> tuple[int, bool]:
    """Where to part a sentence between two places, the later the better, and whether that is inside a line."""
    line = max(text.rfind("\n", start, end), text.rfind("\r", start, end))
    if line > start:
        return _next_word(text, line), False
    place = next((place for place in range(end, start, -1) if text[place].isspace()), end)
    return _next_word(text, place), True


def _next_word(text: str, start: int) -> int:
    """Where the white space at a place ends."""
    found = _WORD.search(text, start)
    return found.start() if found else len(text)


def _last_word(text: str, start: int, end: int) -> int:
    """Where the words between two places end."""
    while end > start and text[end - 1].isspace():
        end -= 1
    return end


def _passage(text: str, start: int, end: int, *, broken: bool = False) -> Passage:
    first = min(_next_word(text, start), end)
    return Passage(start, end, first, _last_word(text, first, end), broken)
