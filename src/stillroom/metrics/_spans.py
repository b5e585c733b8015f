"""Answers that are spans of each text, and what their metrics share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects
from stillroom.core.tagging import Span
from stillroom.metrics import Floats, Masked, Metric, Narrow, ratio
from stillroom.metrics._of_words import OfWords
from stillroom.metrics._words import Posteriors, Taken

if TYPE_CHECKING:
    import pyarrow as pa

#: The spans of each row: an array of tuples of `Span`.
Rows = NDArray[np.object_]
_LENGTHS = ("1 word", "2 words", "3 words", "4 words or more")


@final
@dataclass(frozen=True)
class Spans(OfWords):
    """Answers that are spans of each text, beside gold and the teacher's, each an array of tuples of `Span`."""

    gold: Rows
    said: Rows
    teacher: Rows
    labels: tuple[str, ...] = ()
    named: bool = False
    sure: Floats | None = None
    """How sure the system is of each row: the mean over its words of the highest probability."""
    texts: Sequence[str] = ()
    seen: Collection[str] = frozenset()
    """What spans of training rows look like, in lower case: for slices."""
    posteriors: Posteriors | Taken | None = None
    """How probable each tag of each word is; None: the system does not say."""

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: NDArray[np.int64]) -> Spans:
        """The same of these rows."""
        return replace(
            self,
            gold=self.gold[rows],
            said=self.said[rows],
            teacher=self.teacher[rows],
            sure=None if self.sure is None else self.sure[rows],
            texts=[self.texts[row] for row in rows.tolist()] if len(self.texts) else (),
            posteriors=None if self.posteriors is None else self.posteriors.take(rows),
        )

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where all spans of gold are named, and no other."""
        return _same(self.said, self.gold)

    @property
    def teacher_right(self) -> NDArray[np.bool_]:
        """The same of the teacher."""
        return _same(self.teacher, self.gold)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where both name the same spans."""
        return _same(self.said, self.teacher)

    def shown(self, row: int, *, masked: Masked) -> str:
        """Each span with its label, as far as the texts are there; else the labels."""
        # The text is masked as a whole: part of an address does not look like one.
        text = masked(self.texts[row]) if len(self.texts) else ""
        told = [f"{text[one.start : one.end]}: {one.label}" if text else one.label for one in sorted(self.said[row])]
        return "; ".join(told) or "no span"

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """Rows with spans and rows without."""
        return {"spans": ["some" if one else "none" for one in self.gold]}

    def parts(self) -> Iterator[tuple[str, str, NDArray[np.int64], Narrow]]:
        """The spans of each label, of each length in words, and those that look like some in training or like none."""
        for label in self.labels:
            yield from self._part("label", label, partial(_is, label=label))
        if len(self.texts):
            for number, name in enumerate(_LENGTHS, start=1):
                yield from self._part("span_length", name, partial(_is_long, words=number))
        if self.seen:
            for name, known in (("seen in training", True), ("new", False)):
                yield from self._part("surface", name, partial(_looks, seen=self.seen, known=known))

    def _part(
        self, family: str, name: str, keep: Callable[[str, Span], bool]
    ) -> Iterator[tuple[str, str, NDArray[np.int64], Narrow]]:
        texts = self.texts if len(self.texts) else [""] * len(self)
        rows = [
            row
            for row, (text, *every) in enumerate(zip(texts, self.gold, self.said, self.teacher, strict=True))
            if any(keep(text, span) for some in every for span in some)
        ]
        if rows:
            yield family, name, np.array(rows, dtype=np.int64), partial(_narrowed, keep=keep)

    def told(self) -> dict[str, pa.Array]:
        """The spans."""
        return {"spans": _column(self.said)}

    def told_gold(self) -> pa.Array:
        """The spans."""
        return _column(self.gold)


def _narrowed(answers: Spans, *, keep: Callable[[str, Span], bool]) -> Spans:
    """The same with these spans alone, of gold, of the system and of the teacher."""
    texts = answers.texts if len(answers.texts) else [""] * len(answers)

    def kept(rows: Rows) -> Rows:
        return objects.array(
            [tuple(span for span in some if keep(text, span)) for text, some in zip(texts, rows, strict=True)]
        )

    return replace(answers, gold=kept(answers.gold), said=kept(answers.said), teacher=kept(answers.teacher))


def _is(text: str, span: Span, *, label: str) -> bool:
    return span.label == label


def _is_long(text: str, span: Span, *, words: int) -> bool:
    return min(len(text[span.start : span.end].split()), len(_LENGTHS)) == words


def _looks(text: str, span: Span, *, seen: Collection[str], known: bool) -> bool:
    return (text[span.start : span.end].lower() in seen) == known


def _same(one: Rows, other: Rows) -> NDArray[np.bool_]:
    return np.array([set(a) == set(b) for a, b in zip(one, other, strict=True)], dtype=np.bool_)


def _column(rows: Rows) -> pa.Array:
    import pyarrow as pa

    kept = [[{"start": one.start, "end": one.end, "label": one.label} for one in some] for some in rows]
    fields = [("start", pa.int32()), ("end", pa.int32()), ("label", pa.string())]
    return pa.array(kept, type=pa.list_(pa.struct(fields)))


class SpanMetric(Metric, ABC):
    """F1 over all spans of all rows: `2·credit / (gold + said)`."""

    answers: ClassVar[str] = "spans"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False

    @abstractmethod
    def credit(self, gold: set[Span], said: set[Span]) -> float:
        """What the spans of one row count that were found: at most one a span."""

    def rows(self, answers: Spans) -> Floats:
        """Of each row: what was found, and spans of gold and of the system together."""
        pairs = ((set(gold), set(said)) for gold, said in zip(answers.gold, answers.said, strict=True))
        counts = [(self.credit(gold, said), len(gold) + len(said)) for gold, said in pairs]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """F1; NaN where there is no span at all."""
        return ratio(2.0 * sums[..., 0], sums[..., 1])
