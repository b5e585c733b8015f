"""Family: how a system is judged. A metric is a function of sums over rows, so that any resample of rows can be scored.

`rows` gives statistics of each row, `[rows, k]`; `value` turns their sums, `[..., k]`, into the metric, `[...]`. The
bootstrap of a whole table is then one matrix product: weights `[resamples, rows]` times statistics `[rows, k]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.plugins import Member

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Answers:
    """What one system said of the rows of a table, beside gold and what the teacher said, all in the same order.

    `probabilities` and `teacher` are `[rows, classes]`; `gold` is `[rows]`, positions of labels.
    """

    gold: NDArray[np.int64]
    probabilities: Floats
    teacher: Floats

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where the most probable label is the gold one (the first of equally probable ones counts)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.gold)

    @property
    def teacher_right(self) -> NDArray[np.bool_]:
        """The same of the teacher."""
        return np.asarray(self.teacher.argmax(axis=1) == self.gold)


class Metric(Member, ABC):
    """A figure of merit for the answers of one system."""

    higher_is_better: ClassVar[bool]
    low: ClassVar[float]
    high: ClassVar[float]
    min_rows: ClassVar[int]
    """With fewer rows the metric is not measurable."""
    against_teacher: ClassVar[bool]
    """Whether it compares with the teacher's answers: such a metric says nothing of the teacher itself."""
    share_of_rows: ClassVar[bool] = False
    """Whether it is a plain share, its statistics `[hit or not, 1]`: such a metric gets the exact binomial interval."""
    needs_probabilities: ClassVar[bool] = False
    """Whether it asks how sure a system is: of one that only names labels it is not measurable."""
    formula: ClassVar[str]
    reference: ClassVar[str]
    """The implementation of another library that a test holds it to."""

    @abstractmethod
    def rows(self, answers: Answers) -> Floats:
        """The statistics of each row, `[rows, k]`."""

    @abstractmethod
    def value(self, sums: Floats) -> Floats:
        """The metric from sums of statistics over rows, `[..., k]` to `[...]`; NaN where there are no rows."""

    def score(self, answers: Answers) -> float:
        """The metric of all rows, without an interval: to choose by, never to report."""
        return float(self.value(self.rows(answers).sum(axis=0)))


def share(hits: NDArray[np.bool_]) -> Floats:
    """The statistics of a metric that is a share of rows."""
    return np.stack([hits, np.ones_like(hits)], axis=1).astype(np.float64)


def ratio(top: Floats, bottom: Floats) -> Floats:
    """A quotient that is NaN, without a warning, where there is nothing to divide by."""
    empty = np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), np.nan)
    return np.asarray(np.divide(top, bottom, out=empty, where=np.asarray(bottom) != 0))
