"""Proofs of texts: what people made of a text, and what a proofreader marks in it, each mark a tag on a chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import edit_tags, edits
from stillroom.core.edits import Chunk, Edit
from stillroom.core.words import EndToEnd

_BESIDE = ("before:", "after:")
#: The references of each row: an array of tuples of `Reference`, None where a row has none.
Golds = NDArray[np.object_]


@final
@dataclass(frozen=True, order=True)
class Mark:
    """A tag on the chunk that begins at a character."""

    at: int
    tag: str


@final
@dataclass(frozen=True)
class Reference:
    """A text as somebody thinks that it should be, and the marks that make it so: by these two are told apart."""

    text: str = field(compare=False)
    marks: tuple[Mark, ...]


def reference(text: str, corrected: str, *, is_word: Callable[[str], bool]) -> Reference:
    """What was made of a text, with its marks; `edit_tags.OTHER` where no tag says a change."""
    source = [replace(one, text=edits.plain(one.text)) for one in edits.chunks(text)]
    target = [edits.plain(one.text) for one in edits.chunks(corrected)]
    marks = []
    for change in edits.changes([one.text for one in source], target) if source else ():
        tag, at = edit_tags.tag_of(source, change, is_word=is_word)
        marks.append(Mark(source[at].start, tag))
    return Reference(corrected, tuple(marks))


def on_words(
    golds: Sequence[tuple[Mark, ...]], places: NDArray[np.int32], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The position of the tag of each word among `edit_tags.TAGS`, `[words]`: a word that begins a chunk has its mark.

    Of several marks on a chunk the one that changes it counts, before what is put in beside it.
    """
    numbers = {tag: number for number, tag in enumerate(edit_tags.TAGS)}
    found = np.zeros(len(places), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    for row, marks in enumerate(golds):
        first, last = starts[row], starts[row + 1]
        for mark in marks:
            word = first + int(np.searchsorted(places[first:last, 0], mark.at, side="right")) - 1
            here = mark.tag in numbers and first <= word < last and places[word, 0] == mark.at
            if here and (not found[word] or not mark.tag.startswith(_BESIDE)):
                found[word] = numbers[mark.tag]
    return found


def of_words(tags: NDArray[np.int64], said: EndToEnd, places: NDArray[np.int32]) -> list[tuple[Mark, ...]]:
    """The marks of each text from the tags of its words."""
    rows: list[list[Mark]] = [[] for _ in range(len(said))]
    some = np.flatnonzero(tags > 0)
    for row, at, tag in zip(said.owners[some].tolist(), places[some, 0].tolist(), tags[some].tolist(), strict=True):
        rows[row].append(Mark(at, edit_tags.TAGS[tag]))
    return [tuple(one) for one in rows]


@final
@dataclass(frozen=True)
class Made:
    """An edit that a mark makes, on which word, and how sure its maker was."""

    edit: Edit
    mark: Mark
    word: str
    score: float


def made(text: str, marks: Sequence[tuple[Mark, float]], *, spell: edit_tags.Speller) -> list[Made]:
    """The edits that marks make of a text, from left to right; of those that overlap, the surest.

    Of a word that stands twice and is marked twice to be taken out, one is.
    """
    source = edits.chunks(text)
    number = {one.start: place for place, one in enumerate(source)}
    found: list[Made] = []
    for mark, score in sorted(marks, key=lambda one: -one[1]):
        if mark.at not in number:  # a token inside a chunk
            continue
        at = number[mark.at]
        edit = edit_tags.edit_of(mark.tag, source, at, text=text, spell=spell)
        if edit and all(_apart(edit, one.edit) for one in found) and not _twice(mark, source, at, found):
            found.append(Made(edit, mark, source[at].text, score))
    return sorted(found, key=lambda one: one.edit)


def _apart(one: Edit, other: Edit) -> bool:
    """Whether both can be made: they share no character, and do not begin at one place."""
    return one.start != other.start and (one.end <= other.start or other.end <= one.start)


def _twice(mark: Mark, source: Sequence[Chunk], at: int, found: Sequence[Made]) -> bool:
    beside = [source[place] for place in (at - 1, at + 1) if 0 <= place < len(source)]
    same = {one.start for one in beside if one.text.lower() == source[at].text.lower()}
    return mark.tag == edit_tags.DELETE and any(one.mark.tag == mark.tag and one.mark.at in same for one in found)
