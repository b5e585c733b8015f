"""Family: how a system is judged. A metric is a function of sums over rows, so that any resample of rows can be scored.

`rows` gives statistics of each row, `[rows, k]`; `value` turns their sums, `[..., k]`, into the metric, `[...]`. The
bootstrap of a whole table is then one matrix product: weights `[resamples, rows]` times statistics `[rows, k]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import divergences
from stillroom.core.plugins import Member

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]


class Answered(ABC):
    """What one system said of the rows of a table, beside gold and what the teacher said, all in the same order."""

    labels: tuple[str, ...]
    named: bool
    """Whether the system only named what it names, and said nothing of how sure it is."""
    calibrated_by: ClassVar[str] = "texts"
    """Which have an answer each, and how probable it is: `texts`, or the `words` of them."""
    graded: ClassVar[bool] = False
    """Whether an answer is more or less good, rather than right or wrong as a whole."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> Self:
        """The same of these rows."""

    def part(self, answers: str) -> tuple[Any, NDArray[np.int64] | None] | None:
        """What of it metrics of such answers (`Metric.answers`) are about, and in which rows (None: in all).

        None: they are about nothing of it.
        """
        return self, None

    def by_row(self, statistics: Floats) -> Floats:
        """Statistics of what was answered, summed over each row: there is one answer a row."""
        return statistics

    @property
    @abstractmethod
    def right(self) -> NDArray[np.bool_] | None:
        """Where what it names is what gold names, nothing left out and nothing too much; None: it names nothing."""

    @property
    @abstractmethod
    def teacher_right(self) -> NDArray[np.bool_] | None:
        """The same of the teacher."""

    @property
    @abstractmethod
    def agrees(self) -> NDArray[np.bool_] | None:
        """Where it names what the teacher names; None: there is nothing of the kind to lay side by side."""

    @property
    @abstractmethod
    def confidence(self) -> Floats | None:
        """How sure it is of each row; None where it does not say."""

    @property
    def names(self) -> Sequence[str] | None:
        """The label that it gives each row; None: what it says has a text's words in it, which no document shows."""
        return None

    def shown(self, row: int, *, masked: Masked) -> str | None:
        """What it says of a row, for people; None: nothing that anybody could read.

        Each word that is a text's, or that it wrote itself, is put through `masked`.
        """
        return None

    def reliability(self) -> list[dict[str, Any]] | None:
        """How often it is right where it is so sure, a bin at a time; None where that can't be told."""
        return None

    def risk_coverage(self) -> list[dict[str, float]] | None:
        """How often it is wrong where it answers only what it is surest of; None where that can't be told."""
        return None

    def distributions(self) -> tuple[Floats, Floats] | None:
        """What the teacher and the system give each answer, `[rows, answers]` each; None where that is not told."""
        return None

    def row_divergences(self) -> Mapping[str, Floats] | None:
        """How far it is from the teacher in each row, by kind (`core.divergences`); None where that is not told.

        NaN in rows of which it can't be told.
        """
        pair = self.distributions()
        return None if pair is None else divergences.between(*pair)

    @property
    def chosen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The label that gold names for each row, and the one that the system does, as positions among `labels`.

        None where a row has more than one, or none.
        """
        return None

    @property
    def surprise(self) -> tuple[Floats, Floats] | None:
        """How improbable it finds each text itself, in nats, and up to which of its bytes; None: it does not say."""
        return None

    @abstractmethod
    def kinds(self) -> Mapping[str, Sequence[str]]:
        """What gold makes of each row, by the name of a family of slices; rows with "" are in no slice of it."""

    def parts(self) -> Iterator[tuple[str, str, NDArray[np.int64], Narrow]]:
        """Slices of what stands inside rows: family, name, the rows that have any of it, and what leaves that alone."""
        return iter(())

    @abstractmethod
    def told(self) -> dict[str, pa.Array]:
        """What the system said as columns of a file, by the start of their names."""

    @abstractmethod
    def told_gold(self) -> pa.Array:
        """Gold as a column of a file."""


#: What is said of rows, with all but a part of it left out.
Narrow = Callable[[Any], Any]
#: A text as it may be shown, as long as it was (`core.redaction`).
Masked = Callable[[str], str]


@final
@dataclass(frozen=True)
class Answers(Answered):
    """Answers that are one label a row.

    `probabilities` and `teacher` are `[rows, classes]`; `gold` is `[rows]`, positions of labels.
    """

    gold: NDArray[np.int64]
    probabilities: Floats
    teacher: Floats
    labels: tuple[str, ...] = ()
    named: bool = False

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: NDArray[np.int64]) -> Answers:
        """The same of these rows."""
        return replace(self, gold=self.gold[rows], probabilities=self.probabilities[rows], teacher=self.teacher[rows])

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the most probable label is the gold one (the first of equally probable ones counts)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.gold)

    @property
    def teacher_right(self) -> NDArray[np.bool_]:
        """The same of the teacher."""
        return np.asarray(self.teacher.argmax(axis=1) == self.gold)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where both name the same label."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.teacher.argmax(axis=1))

    @property
    def confidence(self) -> Floats | None:
        """The largest probability."""
        return None if self.named else self.highest

    @property
    def highest(self) -> Floats:
        """The largest probability."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def given(self) -> Floats:
        """How probable the gold label is."""
        return np.take_along_axis(self.probabilities, self.gold[:, None], axis=1)[:, 0].astype(np.float64)

    @property
    def distance(self) -> Floats:
        """The squared distance of the probabilities from gold."""
        gold = self.gold[:, None] == np.arange(self.probabilities.shape[1])
        return np.asarray(np.square(self.probabilities - gold).sum(axis=1, dtype=np.float64))

    @property
    def names(self) -> Sequence[str] | None:
        """The most probable label."""
        return [self.labels[code] for code in self.probabilities.argmax(axis=1).tolist()] if self.labels else None

    def shown(self, row: int, *, masked: Masked) -> str | None:
        """The most probable label, which is no word of a text."""
        return None if self.names is None else self.names[row]

    def reliability(self) -> list[dict[str, Any]] | None:
        """The bins of the expected calibration error."""
        from stillroom.metrics import ece

        return None if self.named else ece.reliability(self)

    def risk_coverage(self) -> list[dict[str, float]] | None:
        """The curve that `aurc` is the area under."""
        from stillroom.metrics import aurc

        return None if self.named else aurc.curve(self)

    def distributions(self) -> tuple[Floats, Floats] | None:
        """The probabilities of the labels."""
        return None if self.named else (self.teacher, self.probabilities)

    @property
    def chosen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Gold, and the most probable label."""
        return self.gold, np.asarray(self.probabilities.argmax(axis=1))

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """The gold label."""
        return {"class": [self.labels[code] for code in self.gold.tolist()]}

    def told(self) -> dict[str, pa.Array]:
        """Probabilities, or the label."""
        import pyarrow as pa

        if self.named:
            return {"label": pa.array([self.labels[code] for code in self.probabilities.argmax(axis=1).tolist()])}
        flat = pa.array(self.probabilities.astype(np.float32).ravel())
        fixed = pa.FixedSizeListArray.from_arrays(flat, self.probabilities.shape[1])
        return {"probabilities": fixed.cast(pa.list_(pa.float32()))}

    def told_gold(self) -> pa.Array:
        """The label."""
        import pyarrow as pa

        return pa.array([self.labels[code] for code in self.gold.tolist()])


class Metric(Member, ABC):
    """A figure of merit for the answers of one system."""

    answers: ClassVar[str] = "labels"
    """Of which answers it is: `labels`, one a text, `spans`, `vectors`, `texts`, `tokens`, or `corrections`."""
    higher_is_better: ClassVar[bool]
    low: ClassVar[float]
    high: ClassVar[float]
    min_rows: ClassVar[int]
    """With fewer rows the metric is not measurable."""
    against_teacher: ClassVar[bool]
    """Whether it compares with the teacher's answers: such a metric says nothing of the teacher itself."""
    share_of_rows: ClassVar[bool] = False
    """Whether it is a plain share, its statistics `[hit or not, 1]`: such a metric gets the exact binomial interval."""
    exact: ClassVar[bool] = True
    """Whether weighted sums are the metric of rows repeated so often; else they are to the first order."""
    needs_probabilities: ClassVar[bool] = False
    """Whether it asks how sure a system is: of one that only names labels it is not measurable."""
    of_parts: ClassVar[bool] = False
    """Whether it is told, beside the primary one, of slices of what stands inside rows."""
    formula: ClassVar[str]
    reference: ClassVar[str]
    """The implementation of another library that a test holds it to."""

    def counted(self, answers: Any) -> NDArray[np.int64] | None:
        """The positions of the rows that it is about; None: all of them."""
        return None

    def unsaid(self, answers: Any, *, who: str) -> str:
        """Why a system that says this can't be judged by it, `who` being what it is called; "": it can."""
        mute = self.needs_probabilities and answers.named
        return f"the {who} names a label and does not say how sure it is" if mute else ""

    def signature(self, answers: Any) -> str:
        """What else a figure depends on, as the library it is held to writes it; "": nothing is written of it."""
        return ""

    @abstractmethod
    def rows(self, answers: Any) -> Floats:
        """The statistics of each row that it is about, `[rows, k]`, from the `Answered` that its tasks give."""

    @abstractmethod
    def value(self, sums: Floats) -> Floats:
        """The metric from sums of statistics over rows, `[..., k]` to `[...]`; NaN where there are no rows."""

    def about(self, answers: Answered) -> tuple[Any, NDArray[np.int64] | None] | None:
        """What of it this is about, and in which rows (None: in all); None: it is about nothing of this."""
        found = answers.part(self.answers)
        if found is None:
            return None
        part, rows = found
        counted = self.counted(part)
        if rows is not None:
            counted = rows if counted is None else rows[counted]
        return part, counted

    def statistics(self, answers: Answered) -> tuple[NDArray[np.int64] | None, Floats] | None:
        """The rows that it is about (None: all), and the statistics of each; None: it is about nothing of this."""
        found = self.about(answers)
        if found is None:
            return None
        part, rows = found
        return rows, part.by_row(self.rows(part))

    def each(self, answers: Answered) -> tuple[NDArray[np.int64], Floats] | None:
        """The rows that it is about, and what it is on each of them alone; None: it is nothing of a single row."""
        found = self.statistics(answers) if self.exact else None
        if found is None:
            return None
        counted, rows = found
        return np.arange(len(answers)) if counted is None else counted, self.value(rows)

    def score(self, answers: Answered) -> float:
        """The metric of all rows, without an interval: to choose by, never to report."""
        return float(self.value(self.rows(answers).sum(axis=0)))


def share(hits: NDArray[np.bool_]) -> Floats:
    """The statistics of a metric that is a share of rows."""
    return np.stack([hits, np.ones_like(hits)], axis=1).astype(np.float64)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """A quotient that is NaN, without a warning, where there is nothing to divide by."""
    empty = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), np.nan)
    return np.asarray(np.divide(top, bottom, out=empty, where=np.asarray(bottom) != 0))
