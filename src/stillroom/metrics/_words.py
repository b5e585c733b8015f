"""How probable each answer to each word is: what calibration and divergence are of, where answers stand inside rows.

Each word is one answer. Intervals resample rows, for the words of a row are not independent: what a metric needs of
them is summed over each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import divergences, probabilities
from stillroom.core.tagging import Tagged
from stillroom.metrics import Floats

if TYPE_CHECKING:
    from stillroom.tasks import Task

_AT_ONCE = 4096  # words whose probabilities are held together


@final
@dataclass(frozen=True)
class Words:
    """The answers to words: how sure a system is of each, and what that is beside gold. Words without gold are out."""

    owners: NDArray[np.int64]
    """The row of each word, in ascending order."""
    highest: Floats
    """How probable the likeliest answer is, `[words]`."""
    given: Floats
    """How probable the gold one is."""
    distance: Floats
    """The squared distance of all probabilities from gold."""
    right: NDArray[np.bool_]
    """Whether the likeliest answer is gold's."""

    def __len__(self) -> int:
        return len(self.owners)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The rows that have a word."""
        return np.unique(self.owners)

    def take(self, rows: NDArray[np.int64]) -> Words:
        """Those of these rows, which are numbered anew."""
        first = np.searchsorted(self.owners, rows)
        counts = np.searchsorted(self.owners, rows, side="right") - first
        owners = np.repeat(np.arange(len(rows)), counts)
        some = np.arange(len(owners)) + np.repeat(first + counts - np.cumsum(counts), counts)
        return Words(owners, self.highest[some], self.given[some], self.distance[some], self.right[some])

    def by_row(self, statistics: Floats) -> Floats:
        """The sums over the words of each of `rows`, `[words, k]` to `[rows, k]`."""
        first = np.searchsorted(self.owners, self.rows)
        return np.add.reduceat(statistics, first, axis=0) if len(first) else statistics[:0]


@final
@dataclass(frozen=True)
class Posteriors:
    """What a system and its teacher said of the words of rows, beside the rows' gold, as the task places it on them.

    A row of probabilities a word is much: it is read once, however many rows are taken, and nothing of it is copied.
    """

    said: Tagged
    teacher: Tagged
    gold: NDArray[Any]
    task: Task

    def take(self, rows: NDArray[np.int64]) -> Taken:
        """The same of these rows."""
        return Taken(self, rows)

    @cached_property
    def words(self) -> Words:
        """The words as the system reads them."""
        gold = self.task.place(self.gold, self.task.form.words(self.said))
        known = np.flatnonzero(gold >= 0)
        highest, given, distance = (np.empty(len(known)) for _ in range(3))
        right = np.empty(len(known), dtype=np.bool_)
        for part in _parts(len(known)):
            some = known[part]
            table, own = probabilities.softmax(self.said.values[some]), gold[some]
            given[part] = np.take_along_axis(table, own[:, None], axis=1)[:, 0]
            highest[part], right[part] = table.max(axis=1), table.argmax(axis=1) == own
            distance[part] = np.square(table).sum(axis=1) - 2 * given[part] + 1
        return Words(self.said.owners[known], highest, given, np.maximum(distance, 0.0), right)

    @cached_property
    def divergences(self) -> Mapping[str, Floats] | None:
        """How far both are apart, by kind, `[rows]`: the mean over the words that both tell of; NaN where none is.

        The teacher's words are laid on the system's. None: the teacher only named what it names.
        """
        if self.teacher.values.ndim < 2:
            return None
        theirs = self.task.form.laid(self.teacher, self.said).values
        known = np.flatnonzero(np.isfinite(theirs).all(axis=1))
        sums = {kind: np.zeros(len(self.said)) for kind in divergences.KINDS}
        owners = self.said.owners[known]
        for part in _parts(len(known)):
            pair = (probabilities.softmax(one[known[part]]) for one in (theirs, self.said.values))
            for kind, apart in divergences.between(*pair).items():
                sums[kind] += np.bincount(owners[part], weights=apart, minlength=len(self.said))
        count = np.bincount(owners, minlength=len(self.said)).astype(np.float64)
        return {kind: np.divide(one, count, out=np.full_like(one, np.nan), where=count > 0)
                for kind, one in sums.items()}  # fmt: skip


@final
@dataclass(frozen=True)
class Taken:
    """Some rows of posteriors."""

    whole: Posteriors
    rows: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Taken:
        """The same of these of them."""
        return Taken(self.whole, self.rows[rows])

    @cached_property
    def words(self) -> Words:
        """The words of these rows."""
        return self.whole.words.take(self.rows)

    @property
    def divergences(self) -> Mapping[str, Floats] | None:
        """How far both are apart on these rows."""
        found = self.whole.divergences
        return None if found is None else {kind: one[self.rows] for kind, one in found.items()}


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE))
