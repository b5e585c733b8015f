"""Answers that are corrections of each text, and what their metrics share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import edit_tags, edits, objects, proofs, spelling
from stillroom.core.edits import Edit
from stillroom.core.english import Topic
from stillroom.core.proofs import Mark
from stillroom.core.redaction import veiled
from stillroom.metrics import Floats, Masked, Narrow
from stillroom.metrics._of_words import OfWords
from stillroom.metrics._words import Posteriors, Taken

if TYPE_CHECKING:
    import pyarrow as pa

#: The marks of each row, each with how probable it is: an array of lists of pairs.
Rows = NDArray[np.object_]


@final
@dataclass(frozen=True)
class Corrected(OfWords):
    """Answers that are marks in each text, beside the references of people and the teacher's marks.

    Without `texts` only marks can be compared; with them, the texts that the marks make.
    """

    gold: Rows
    said: Rows
    teacher: Rows
    texts: Rows | None = None
    named: bool = False
    sure: Floats | None = None
    """How sure the system is of each row."""
    pipeline: str = ""
    """The spaCy pipeline that ERRANT works with."""
    posteriors: Posteriors | Taken | None = None
    """How probable each tag of each word is; None: the system does not say."""
    labels: tuple[str, ...] = field(default=(), init=False)

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: NDArray[np.int64]) -> Corrected:
        """The same of these rows."""
        return replace(self, gold=self.gold[rows], said=self.said[rows], teacher=self.teacher[rows],
                       texts=None if self.texts is None else self.texts[rows],
                       sure=None if self.sure is None else self.sure[rows],
                       posteriors=None if self.posteriors is None else self.posteriors.take(rows))  # fmt: skip

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the marks are those of a reference."""
        return _right(self.said, self.gold)

    @property
    def teacher_right(self) -> NDArray[np.bool_]:
        """The same of the teacher."""
        return _right(self.teacher, self.gold)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where both make the same marks."""
        return np.array([_marks(a) == _marks(b) for a, b in zip(self.said, self.teacher, strict=True)], dtype=np.bool_)

    @cached_property
    def sources(self) -> Sequence[str]:
        """The texts as they were.

        Raises:
            ValueError: they are not given.
        """
        if self.texts is None:
            raise ValueError("what marks make of texts can't be told without the texts")
        return list(self.texts)

    @cached_property
    def written(self) -> Sequence[str]:
        """The texts as the system has them corrected."""
        return [edits.applied(text, _edits(text, marks)) for text, marks in zip(self.sources, self.said, strict=True)]

    def shown(self, row: int, *, masked: Masked) -> str | None:
        """What each mark makes of which words, where the texts are there."""
        if self.texts is None:
            return None
        source, found = self.sources[row], _edits(self.sources[row], self.said[row])
        # Both texts are masked as a whole: part of an address does not look like one.
        text, corrected, moved, told = masked(source), masked(edits.applied(source, found)), 0, []
        for one in found:
            before, first = text[one.start : one.end], one.start + moved
            after = corrected[first : first + len(one.replacement)]
            if before != source[one.start : one.end]:
                after = veiled(after)
            told.append(f"{before or '∅'} → {after or '∅'}")
            moved += len(one.replacement) - (one.end - one.start)
        return "; ".join(told) or "no correction"

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """Rows with something to correct, and rows that are right as they are."""
        return {"errors": ["none" if clean(some) else "some" for some in self.gold]}

    def parts(self) -> Iterator[tuple[str, str, NDArray[np.int64], Narrow]]:
        """The marks of each topic."""
        if self.texts is None:
            return
        topics = [_topics(text, [mark for one in gold for mark in one.marks] + [mark for mark, _ in said])
                  for text, gold, said in zip(self.texts, self.gold, self.said, strict=True)]  # fmt: skip
        for topic in sorted({topic for some in topics for topic in some.values()}):
            rows = [row for row, some in enumerate(topics) if topic in some.values()]
            yield "topic", topic, np.array(rows, dtype=np.int64), partial(_about, topic=topic)

    def told(self) -> dict[str, pa.Array]:
        """The corrected text, or the tags where that can't be told."""
        import pyarrow as pa

        if self.texts is not None:
            return {"corrected": pa.array(self.written, type=pa.string())}
        return {"tags": pa.array([[mark.tag for mark, _ in some] for some in self.said], type=pa.list_(pa.string()))}

    def told_gold(self) -> pa.Array:
        """The corrected texts of people."""
        import pyarrow as pa

        return pa.array([[one.text for one in some] for some in self.gold], type=pa.list_(pa.string()))


def _edits(text: str, marks: Sequence[tuple[Mark, float]]) -> list[Edit]:
    """What marks make of a text, from left to right."""
    return [one.edit for one in proofs.made(text, marks, spell=spelling.dictionary().meant)]


def best(gold: Rows, said: Rows) -> Floats:
    """Of each row: hits, marks of the system, marks of the reference that they are nearest to.

    Nearest: most hits, then fewest marks.
    """
    found = np.zeros((len(gold), 3))
    for row, (references, marks) in enumerate(zip(gold, said, strict=True)):
        own = _marks(marks)
        sides = [(len(own & set(one.marks)), -len(set(one.marks))) for one in references]
        hits, missing = max(sides, default=(0, 0))
        found[row] = hits, len(own), -missing
    return found


def _marks(some: Sequence[tuple[Mark, float]]) -> set[Mark]:
    return {mark for mark, _ in some}


def _right(said: Rows, gold: Rows) -> NDArray[np.bool_]:
    return np.array([any(_marks(marks) == set(one.marks) for one in references)
                     for marks, references in zip(said, gold, strict=True)], dtype=np.bool_)  # fmt: skip


def clean(references: Sequence[proofs.Reference]) -> bool:
    """Whether somebody would leave the text as it is."""
    return any(not one.marks for one in references)


def _topics(text: str, marks: Sequence[Mark]) -> dict[Mark, Topic]:
    words = {one.start: one.text for one in edits.chunks(text)}
    return {mark: edit_tags.topic_of(mark.tag, words.get(mark.at, "")) for mark in marks}


def _about(answers: Corrected, *, topic: Topic) -> Corrected:
    """The same with the marks of a topic alone."""
    gold, said, teacher = [], [], []
    for text, references, own, its in zip(answers.sources, answers.gold, answers.said, answers.teacher, strict=True):
        every = [mark for one in references for mark in one.marks] + [mark for mark, _ in (*own, *its)]
        topics = _topics(text, every)
        gold.append(tuple(replace(one, marks=tuple(mark for mark in one.marks if topics[mark] == topic))
                          for one in references))  # fmt: skip
        said.append([(mark, score) for mark, score in own if topics[mark] == topic])
        teacher.append([(mark, score) for mark, score in its if topics[mark] == topic])
    return replace(answers, gold=objects.array(gold), said=objects.array(said), teacher=objects.array(teacher))
