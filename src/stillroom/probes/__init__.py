"""Family: what teacher and student are asked beyond the test, to see what a score on the test does not show.

A probe makes further texts out of test rows, or brings its own; both are asked about all of them, once; then it
measures, or has them asked about more of what it hears. It knows no stage and no file: `audit` asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import seeds
from stillroom.core.errors import Problem
from stillroom.core.plugins import Member
from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Answered, Metric
from stillroom.shapes import Outputs
from stillroom.students import Inside
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows, Task

SIDES = (TEACHER, STUDENT)
SECOND = "second_teacher"
"""The teacher fitted with another seed, where there is one: what both say alike is the most that a student can."""


@final
@dataclass(frozen=True)
class Sitting:
    """The test rows that a probe begins with, and what both said of them.

    `rows` are those that are judged, all of the test's or some drawn by chance, and beside them those that gold speaks
    of; `judged` are the positions of the former, and everything that is counted by row is counted along them.
    """

    task: Task
    rows: Rows
    gold: NDArray[Any]
    judged: NDArray[np.int64]
    said: Mapping[str, Outputs]
    """By side, and by the second teacher where there is one."""
    metric: Metric
    """The first of the task's that is about these rows and can be retained."""
    named: Collection[str]
    """The sides that name something and do not say how sure they are."""
    columns: Mapping[str, Sequence[str]]
    """What else the corpus says of each of `rows`."""
    confidence: float
    resamples: int
    min_rows: int
    seed: int
    look: Mapping[str, Callable[[], Inside | None]] = field(default_factory=dict)
    """By side and second teacher: opens its network to be looked into; None: it has none that can be."""
    most: int = 200
    """With how many rows to begin where each is asked about in other forms."""

    @property
    def texts(self) -> list[str]:
        """The texts that are judged."""
        return [self.rows.texts[row] for row in self.judged.tolist()]

    def rng(self, *path: str) -> np.random.Generator:
        """Chance for one purpose."""
        return seeds.generator(self.seed, "/".join(("audit", *path)))

    def drawn(self) -> Resamples:
        """The resamples of the judged rows: the same for every probe."""
        return Resamples(len(self.judged), count=self.resamples, rng=self.rng("rows"))

    def answered(self, side: str, *, said: Outputs | None = None, gold: NDArray[Any] | None = None) -> Answered:
        """What a side said of all rows, as metrics take it; or what it `said` of them otherwise, with other gold."""
        own = self.said[side] if said is None else said
        return self.task.answered(self.gold if gold is None else gold, own, self.said[TEACHER],
                                  named=side in self.named, rows=self.rows)  # fmt: skip

    def instead(self, side: str, rows: NDArray[np.int64], said: Outputs, gold: Sequence[Any]) -> Answered:
        """What a side said of all rows, with what it `said` in place of some, positions among those judged."""
        places, changed = self.judged[rows], self.gold.copy()
        for row, one in zip(places.tolist(), gold, strict=True):
            changed[row] = one
        order = np.arange(len(self.rows.texts))
        order[places] = len(order) + np.arange(len(places))
        both = self.task.form.join([self.said[side], said], outputs=len(self.task.outputs))
        return self.answered(side, said=self.task.form.take(both, order), gold=changed)

    def sample(self, answered: Answered, rows: NDArray[np.int64] | None = None) -> Sample:
        """What the metric is made of: of all judged rows, or of some, as positions among them."""
        found = self.metric.statistics(answered if rows is None else answered.take(rows))
        if found is None:
            return Sample(np.zeros((0, 1)), self.metric.value, np.zeros(0, dtype=np.int64))
        counted, statistics = found
        members = rows if counted is None else counted if rows is None else rows[counted]
        return Sample(statistics, self.metric.value, members)


@final
@dataclass(frozen=True)
class Heard:
    """What both said of texts that they were asked beyond the test."""

    task: Task
    places: Mapping[str, Mapping[str, int]]
    """By side: where in its outputs a text stands; one that is not there has no answer."""
    outputs: Mapping[str, Outputs]
    """By side, and by the second teacher where it was asked; who was not asked is not there."""
    unasked: str = ""
    """Why the teacher was not asked; "": it was."""

    def known(self, side: str, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these a side has answered."""
        places = self.places.get(side, {})
        return np.array([text in places for text in texts], dtype=np.bool_)

    def of(self, side: str, texts: Sequence[str]) -> Outputs:
        """What a side said of texts that it answered."""
        places = self.places[side]
        return self.task.form.take(self.outputs[side], np.array([places[text] for text in texts], dtype=np.int64))


#: A cell of a table: words, a count, or a figure as `Interval.as_dict` gives it.
Shown = str | int | Mapping[str, Any]


@final
@dataclass(frozen=True)
class Exhibit:
    """A table of what was found, for documents."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Shown, ...], ...]
    unit: Literal["percent", "points", "plain", "signed"] = "percent"
    """What its figures are in."""
    note: str = ""


@final
@dataclass(frozen=True)
class Reading:
    """How one side reads a text: what it names, and what each part weighs, from −1 (against it) to 1 (for it)."""

    side: str
    named: str
    weights: Sequence[float]


@final
@dataclass(frozen=True)
class MarkedText:
    """A text with what each part of it weighs to each side, for documents; nothing in it that may not be shown."""

    caption: str
    parts: tuple[str, ...]
    """End to end they are the text."""
    readings: tuple[Reading, ...]


class Probe(Member, ABC):
    """Something that both are put to."""

    title: ClassVar[str]
    """Its name, as people read it."""
    lead: ClassVar[str]
    """What it looks at, in a sentence."""
    interactive: ClassVar[bool] = False
    """Whether there is something to ask that depends on what was answered."""
    whole: ClassVar[bool] = False
    """Whether it begins with all rows of the test and draws its own, if any, or else with some that were drawn."""
    asks_second: ClassVar[bool] = False
    """Whether its first texts go to a second teacher too, where there is one."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed for it, beyond what evaluating takes: nothing."""
        return ()

    def sources(self) -> dict[str, str]:
        """The digests of what it reads: nothing."""
        return {}

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """What keeps it from being put to those who do this task: nothing."""
        return []

    def brings(self, task: Task) -> Sequence[str]:
        """The texts that it brings along, which are made of no row of a corpus: none."""
        return ()

    @abstractmethod
    def texts(self, sitting: Sitting) -> Sequence[str]:
        """The texts that both are to be asked about, in any order, some perhaps twice."""

    def further(self, sitting: Sitting, heard: Heard) -> Mapping[str, Sequence[str]]:
        """What a side is to be asked about when this was heard, until that is nothing new: nothing.

        Some of what was asked may have no answer, and is not asked again.
        """
        return {}

    @abstractmethod
    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """What was found, as JSON can hold it; figures as `Interval.as_dict` gives them."""

    @abstractmethod
    def nothing(self, reason: str) -> dict[str, Any]:
        """The same where there is no row to begin with."""

    @property
    @abstractmethod
    def paths(self) -> tuple[str, ...]:
        """The figures that a gate may name, without its own name before them."""

    @classmethod
    @abstractmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """What it `measure`d, for documents."""

    @classmethod
    def marked(cls, found: Mapping[str, Any]) -> Sequence[MarkedText]:
        """Texts of what it `measure`d with their words weighed, for documents: none."""
        return ()
