"""Files with a word a line and its tag behind it, texts apart by empty lines: IOB1, IOB2, BILOU (or IOBES) and IO.

IOB1    I-x in a span, B-x only where another of the same label ends right before it
IOB2    B-x on the first word of a span, I-x on the others
BILOU   besides, L-x (E-x) on the last of several words and U-x (S-x) on the only one
IO      I-x on every word of a span; two of the same label that touch are one
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, final

from stillroom.core.errors import Problem
from stillroom.core.tagging import Span
from stillroom.corpora import Row
from stillroom.corpora.table.lines import Lines

Scheme = Literal["IOB1", "IOB2", "BILOU", "IO"]
_ONE = {"E": "L", "S": "U"}
#: Which letters a scheme has beside O.
_LETTERS = {"IOB1": "BI", "IOB2": "BI", "BILOU": "BILU", "IO": "I"}
_DOCUMENT = "-DOCSTART-"


@final
@dataclass
class _Sentence:
    """The words of a text with their tags, and what can't be read in it."""

    where: str
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def scheme_of(lines: Lines) -> Scheme:
    """The scheme that a file's tags are in.

    Without any L or U it is not BILOU, without any B it is IO. Where I-x stands behind neither B-x nor I-x, and B-x
    never but behind one of these, it is IOB1. All else is IOB2.
    """
    letters: set[str] = set()
    orphan = lone = False
    for sentence in _sentences(lines, tagged=True, drop_empty=True):
        before = ""
        for tag in sentence.tags:
            letter, label = _parts(tag)
            letters.add(letter)
            same = before == label != ""
            orphan |= letter == "I" and not same
            lone |= letter == "B" and not same
            before = label
    if letters & set("LU"):
        return "BILOU"
    if "B" not in letters:
        return "IO"
    return "IOB1" if orphan and not lone else "IOB2"


def rows(lines: Lines, *, scheme: Scheme, tagged: bool, drop_empty: bool) -> Iterator[Row | Problem]:
    """The texts of a file, words joined by single blanks, with their spans; where not `tagged`, their words alone.

    `drop_empty` says what becomes of a line with a tag and no word: outside of spans, nothing is lost with it.
    """
    for sentence in _sentences(lines, tagged=tagged, drop_empty=drop_empty):
        if sentence.problems:
            yield from sentence.problems
            continue
        starts = [0]
        for word in sentence.words:
            starts.append(starts[-1] + len(word) + 1)
        places = [(start, start + len(word)) for start, word in zip(starts, sentence.words, strict=False)]
        found = spans(sentence.tags, places, scheme=scheme) if tagged else ()
        if isinstance(found, tuple):
            yield Row(" ".join(sentence.words), found if tagged else None, sentence.where)
        else:
            number, why = found.number, found.why
            word = f"word {number + 1}, `{sentence.tags[number]}`"
            todo = "Correct the tags, or name the file's scheme: `scheme` under [corpus]."
            yield Problem(f"{sentence.where}, {word}", why, f"tags in {scheme}", todo)


@final
@dataclass(frozen=True)
class Senseless:
    """A tag that its scheme does not allow where it stands: the number of its word, and why."""

    number: int
    why: str


def spans(tags: Sequence[str], places: Sequence[tuple[int, int]], *, scheme: Scheme) -> tuple[Span, ...] | Senseless:
    """The spans that tags make of words at these characters, or the first tag that makes no sense."""
    found: list[Span] = []
    label, begun, closed = "", 0, True  # of the span that the word before is in
    parts = [_parts(tag) for tag in tags]
    for number, (letter, own) in enumerate([*parts, ("O", "")]):
        if letter not in f"O{_LETTERS[scheme]}":
            return Senseless(number, f"the letter {letter}, which {scheme} does not have")
        goes_on = label != "" and own == label and letter in "IL"
        if scheme == "BILOU":
            if letter in "IL" and not (goes_on and not closed):
                return Senseless(number, "a span that goes on, and none before it that does")
            if not closed and not goes_on:
                return Senseless(number - 1, "a span that does not end")
            closed = letter in "LUO"
        elif scheme == "IOB2" and letter == "I" and not goes_on:
            return Senseless(number, "a span that goes on, and none before it with this label")
        if label and not goes_on:
            found.append(Span(places[begun][0], places[number - 1][1], label))
            label = ""
        if own and not goes_on:
            label, begun = own, number
        if scheme == "BILOU" and letter in "LU":
            found.append(Span(places[begun][0], places[number][1], label))
            label = ""
    return tuple(found)


def _parts(tag: str) -> tuple[str, str]:
    """The letter of a tag, as BILOU has it, and its label."""
    letter, _, label = tag.partition("-")
    return _ONE.get(letter, letter), label


def _sentences(lines: Lines, *, tagged: bool, drop_empty: bool) -> Iterator[_Sentence]:
    sentence: _Sentence | None = None
    for line in lines:
        fields = line.text.split("\t") if "\t" in line.text else line.text.split()
        fields = [one.strip() for one in fields]
        if not any(fields) and line.problem is None:
            if sentence is not None:
                yield sentence
            sentence = None
            continue
        if fields and fields[0] == _DOCUMENT:
            continue
        if drop_empty and fields[:1] == [""] and fields[-1] == "O":
            continue
        if sentence is None:
            sentence = _Sentence(line.where)
        problem = line.problem or (_wrong(fields, line.where) if tagged else None)
        if problem is not None:
            sentence.problems.append(problem)
            continue
        sentence.words.append(fields[0])
        sentence.tags.append(fields[-1] if tagged else "O")
    if sentence is not None:
        yield sentence


def _wrong(fields: Iterable[str], where: str) -> Problem | None:
    word, *rest = fields
    expected = "a word, and in the last column its tag: O, or a letter, a dash and a label"
    if not rest:
        return Problem(where, "one column", expected, "Add the tag, or give the file as `unlabelled`.")
    if not word:
        todo = 'Add the word, or set `empty = "drop"` under [corpus]: outside of spans, such lines are then left out.'
        return Problem(where, "a tag without a word", expected, todo)
    letter, label = _parts(rest[-1])
    if (letter, label) != ("O", "") and not (letter in set("BILU") and label):
        return Problem(where, f"the tag `{rest[-1][:40]}`", expected, "Correct the line.")
    return None
