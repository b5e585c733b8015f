"""What mistakes people make and how often, measured on texts and on what people made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from stillroom.core import edit_tags, edits, proofs, spelling
from stillroom.core.english import Topic
from stillroom.core.proofs import Mark


@final
@dataclass(frozen=True)
class Habits:
    """How often mistakes of each kind stand in 1,000 words, and how many a word each text has."""

    rates: Mapping[Topic, float]
    shares: tuple[float, ...]
    """Of each text, in their order; 0 where nothing is wrong."""


def measured(pairs: Iterable[tuple[str, Sequence[str]]]) -> Habits:
    """The habits behind texts, each with what people made of it: several of a text count as so many texts.

    What was written anew, which no tag says, is no mistake; nor is what was changed right beside it, for where
    sentences are built otherwise, words that go and words that come are chunks of one and the same change.
    """
    counts: Counter[Topic] = Counter()
    shares: list[float] = []
    every = 0
    for text, corrected in pairs:
        words = sum(one.text[:1].isalnum() for one in edits.chunks(text))
        for one in corrected if words else ():
            topics = mistakes(text, one)
            counts.update(topics)
            shares.append(len(topics) / words)
            every += words
    return Habits({topic: 1000 * count / every for topic, count in sorted(counts.items())}, tuple(sorted(shares)))


def mistakes(text: str, corrected: str) -> list[Topic]:
    """What each mistake in a text is a matter of."""
    source = edits.chunks(text)
    marks = proofs.reference(text, corrected, is_word=spelling.dictionary().__contains__).marks
    number = {one.start: at for at, one in enumerate(source)}
    found: list[Topic] = []
    for some in _side_by_side(marks, number):
        if all(one.tag != edit_tags.OTHER for one in some):
            found += [edit_tags.topic_of(one.tag, source[number[one.at]].text) for one in some]
    return found


def _side_by_side(marks: Sequence[Mark], number: Mapping[int, int]) -> list[list[Mark]]:
    """Marks in groups: in each, those on chunks that are neighbours."""
    found: list[list[Mark]] = []
    for one in marks:
        if found and number[one.at] - number[found[-1][-1].at] <= 1:
            found[-1].append(one)
        else:
            found.append([one])
    return found
