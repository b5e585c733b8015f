"""Reads long texts passage by passage: a bounded number of them at a time, and what is not read is said.

Memory grows with what is found, never with how much is read at once; the work is linear in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby, islice
from typing import Any, final

from stillroom.core import passages
from stillroom.core.passages import Passage, Plan, Told
from stillroom.runtime import Predictor

#: Passages that are read together.
AT_ONCE = 64
UNREAD = "not read: the student reads no more of a text at once"
PARTED = "parted inside a sentence: it is longer than is read at once"


@final
@dataclass(frozen=True)
class Cut:
    """Characters of a text (code points, `end` past the last) that were not read; none: a place where it was parted."""

    start: int
    end: int
    why: str


@final
@dataclass(frozen=True)
class Part:
    """What was said of one passage."""

    passage: Passage
    prediction: Any
    """Its places are those of the whole text."""
    cuts: tuple[Cut, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as a program reads it, with the characters that were read."""
        return {
            "start": self.passage.first,
            "end": self.passage.last,
            **self.prediction.as_dict(),
            "cuts": [asdict(one) for one in self.cuts],
        }


@final
@dataclass(frozen=True)
class Reading:
    """What was said of a text, however long, and where it was cut."""

    prediction: Any
    cuts: tuple[Cut, ...]
    passages: int
    """In how many it was read."""

    def as_dict(self) -> dict[str, Any]:
        """The prediction with its cuts, as a program reads it."""
        return {**self.prediction.as_dict(), "cuts": [asdict(one) for one in self.cuts]}


def read(predictor: Predictor, text: str, *, length: int | None = None, at_once: int = AT_ONCE) -> Reading:
    """The prediction of a text, from those of its passages, of so many words at most as `length` says.

    Raises:
        InputError: no text that a student can read, or a length of what has none.
    """
    (found,) = read_all(predictor, [text], length=length, at_once=at_once)
    return found


def read_all(
    predictor: Predictor, texts: Iterable[str], *, length: int | None = None, at_once: int = AT_ONCE
) -> Iterator[Reading]:
    """The same of many texts, in their order and as they come; passages of several are read together.

    Raises:
        InputError: no text that a student can read, or a length of what has none.
    """
    if predictor.task.passages is None:
        predictor.check_length(length)
        yield from _wholes(predictor, texts, at_once=at_once)
        return
    kept: dict[int, str] = {}

    def passed() -> Iterator[tuple[int, str]]:
        for owner, text in enumerate(texts):
            kept[owner] = text
            yield owner, text

    told = _parts(predictor, passed(), length=length, at_once=at_once)
    for owner, parts in groupby(told, key=lambda one: one[0]):
        yield join(predictor, kept.pop(owner), [one for _, one in parts], length=length)


def _wholes(predictor: Predictor, texts: Iterable[str], *, at_once: int) -> Iterator[Reading]:
    waiting = iter(texts)
    while batch := list(islice(waiting, at_once)):
        for text, said, reach in zip(batch, predictor.predict(batch), predictor.reach(batch), strict=True):
            yield Reading(said, () if reach >= len(text) else (Cut(reach, len(text), UNREAD),), 1)


def parts(predictor: Predictor, text: str, *, length: int | None = None, at_once: int = AT_ONCE) -> Iterator[Part]:
    """What is said of each passage, from left to right, as it is said: for whoever shows it while the rest is read.

    `join` makes one prediction of them.

    Raises:
        InputError: no text that a student can read, or a length of what has none.
    """
    for _, one in _parts(predictor, [(0, text)], length=length, at_once=at_once):
        yield one


def join(predictor: Predictor, text: str, parts: Sequence[Part], *, length: int | None = None) -> Reading:
    """The prediction of a text from all its parts; what they say together, where that is too long, is read again."""
    found = _reading(predictor, text, parts, length=length)
    again = too_long(predictor, found.prediction, length=length)
    return found if again is None else replace(found, prediction=read(predictor, again, length=length).prediction)


def too_long(predictor: Predictor, said: Any, *, length: int | None) -> str | None:
    """What was said of a text in its parts, where that is more than was wished; None: it is well.

    The prediction of that, as of a text, is the prediction of the whole.
    """
    within = predictor.task.within
    if length is None or within is None or within(said, length) == said:
        return None
    return str(said.text)


@final
@dataclass(frozen=True)
class Piece:
    """A passage on its way to the student."""

    owner: int
    passage: Passage
    text: str
    cuts: tuple[Cut, ...] = ()
    alone: bool = False
    """Whether it is all of its text: then what is said of it is of the length that is wished, else what is made of all
    parts of the text."""


def pieces(predictor: Predictor, texts: Sequence[str]) -> list[Piece]:
    """All passages of some texts, for whoever has them answered elsewhere: `readings` makes one of their answers.

    Raises:
        InputError: no texts that a student can read.
    """
    return list(_fitting(predictor, list(_pieces(predictor, enumerate(texts)))))


def part(predictor: Predictor, piece: Piece, prediction: Any) -> Part:
    """What was said of a piece, as of a part of its text."""
    placed = predictor.task.placed(prediction, piece.passage.first)
    parted = (Cut(piece.passage.last, piece.passage.last, PARTED),) if piece.passage.broken else ()
    return Part(piece.passage, placed, (*piece.cuts, *parted))


def readings(
    predictor: Predictor,
    texts: Sequence[str],
    pieces: Sequence[Piece],
    said: Sequence[Any],
    *,
    length: int | None = None,
) -> Iterator[Reading]:
    """The prediction of each text, from those of all its pieces; it may still be `too_long`."""
    told = zip(pieces, said, strict=True)
    for owner, some in groupby(told, key=lambda one: one[0].owner):
        its = [part(predictor, piece, one) for piece, one in some]
        yield _reading(predictor, texts[owner], its, length=length)


def wished(pieces: Sequence[Piece], length: int | None) -> list[int | None] | None:
    """The length of what is to be said of each piece; None: as long as it comes, all of them."""
    return None if length is None else [length if one.alone else None for one in pieces]


def _parts(
    predictor: Predictor, texts: Iterable[tuple[int, str]], *, length: int | None, at_once: int
) -> Iterator[tuple[int, Part]]:
    predictor.check_length(length)
    waiting = _pieces(predictor, texts)
    while batch := list(islice(waiting, at_once)):
        batch = list(_fitting(predictor, batch))
        said = predictor.predict([one.text for one in batch], length=wished(batch, length))
        for one, prediction in zip(batch, said, strict=True):
            yield one.owner, part(predictor, one, prediction)


def _pieces(predictor: Predictor, texts: Iterable[tuple[int, str]]) -> Iterator[Piece]:
    plan = predictor.task.passages
    for owner, text in texts:
        if plan is None or not text or text.isspace():
            yield Piece(owner, Passage(0, len(text), 0, len(text)), text, alone=True)
            continue
        for one in passages.split(text, plan=_limited(predictor, text, plan)):
            yield Piece(owner, one, text[one.first : one.last], alone=one.end - one.start == len(text))


def _limited(predictor: Predictor, text: str, plan: Plan) -> Plan:
    """The plan with what the student reads at once, where it says no number itself."""
    return plan if plan.most else replace(plan, most=max(1, predictor.reach([text])[0]))


def _fitting(predictor: Predictor, batch: Sequence[Piece]) -> Iterator[Piece]:
    """The same pieces, those of which the student would not read all in smaller ones, or with what is not read."""
    for one, reach in zip(batch, predictor.reach([one.text for one in batch]), strict=True):
        left = [(one, reach)]
        while left:
            piece, reach = left.pop()
            if reach >= len(piece.text):
                yield piece
            elif predictor.task.passages is None or len(piece.text) < 2:
                start = piece.passage.first
                yield replace(piece, cuts=(*piece.cuts, Cut(start + reach, start + len(piece.text), UNREAD)))
            else:
                both = _parted(piece, max(1, reach))
                left += reversed(list(zip(both, predictor.reach([part.text for part in both]), strict=True)))


def _parted(piece: Piece, most: int) -> tuple[Piece, Piece]:
    """A piece of so many characters at most, and the rest."""
    head = next(passages.split(piece.text, plan=Plan(by="text", most=most)))
    own, start = piece.passage, piece.passage.first
    rest = piece.text[head.end :]
    first = Passage(own.start, start + head.end, start + head.first, start + head.last, head.broken)
    last = Passage(first.end, own.end, first.end, first.end + len(rest), own.broken)
    return replace(piece, passage=first, text=piece.text[head.first : head.last], alone=False), replace(
        piece, passage=last, text=rest, alone=False
    )


def _reading(predictor: Predictor, text: str, parts: Sequence[Part], *, length: int | None) -> Reading:
    said = predictor.task.joined(text, [Told(one.passage, one.prediction) for one in parts])
    within = predictor.task.within
    if length is not None and within is not None and len(said.text) >= len(text):
        said = within(said, length)  # to read again what is no shorter would have no end
    return Reading(said, tuple(cut for one in parts for cut in one.cuts), len(parts))
