"""What two evaluations were both tested on: the same rows, and the same slices of them, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillroom import intervals
from stillroom.core.errors import InputError, Problem
from stillroom.metrics import Floats, Metric
from stillroom.slices import Rows
from stillroom.table import STUDENT
from stillroom.written_slices import Slices, Written

_FEWEST = 0.5
"""The share of the larger test that both must have: below it, two tests are compared and not two students."""


@final
class Paired:
    """The rows that both have been tested on, in one order, and what each side's metrics need of them."""

    def __init__(self, before: pa.Table, after: pa.Table, *, where: tuple[Path, Path]) -> None:
        ids = [table["id"].to_pylist() for table in (before, after)]
        places = {one: place for place, one in enumerate(ids[1])}
        both = [(place, places[one]) for place, one in enumerate(ids[0]) if one in places]
        self.alone = len(ids[0]) - len(both), len(ids[1]) - len(both)
        self.names = [name for name in after.column_names if name != "id" and name in before.column_names]
        problems = []
        if len(both) < _FEWEST * max(len(ids[0]), len(ids[1]), 1):
            found = f"{len(both):,} test rows in common, of {len(ids[0]):,} and {len(ids[1]):,}"
            problems.append(Problem(f"{where[0]}, {where[1]}", found, "the same test", "Evaluate both on one corpus."))
        if not any(name.startswith(f"{STUDENT}.") for name in self.names):
            found = "no metric that both were judged by"
            problems.append(Problem(f"{where[0]}, {where[1]}", found, "runs of one task", "Compare others."))
        if problems:
            raise InputError(*problems)
        self.ids = [ids[0][place] for place, _ in both]
        self._tables = tuple(
            table.take(pa.array([pair[side] for pair in both])) for side, table in enumerate((before, after))
        )
        self._places = [np.full(len(some), -1, dtype=np.int64) for some in ids]
        for side, mine in enumerate(self._places):
            mine[[pair[side] for pair in both]] = np.arange(len(both))

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, side: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where test rows of a side, 0 or 1, stand among those of both; −1: the other has not been tested on it."""
        return self._places[side][rows]

    def counts(self, metric: Metric) -> int:
        """How many rows a metric counts on both sides."""
        return len(self.statistics(f"{STUDENT}.{metric.kind}")[0])

    def statistics(self, name: str) -> tuple[NDArray[np.int64], Floats, Floats]:
        """The rows that a metric counts on both sides, and what it needs of them before and after."""
        columns = [table[name].combine_chunks() for table in self._tables]
        counted = np.flatnonzero(np.logical_and(*(one.is_valid().to_numpy(zero_copy_only=False) for one in columns)))
        taken = [one.take(pa.array(counted)) for one in columns]
        found = [
            one.flatten().to_numpy(zero_copy_only=False).astype(np.float64).reshape(len(counted), one.type.list_size)
            for one in taken
        ]
        return counted, found[0], found[1]


@final
@dataclass(frozen=True, eq=False)
class Part:
    """A slice with the rows of it that count on both sides, and what the metric needs of them before and after.

    `why` tells of a slice without such rows.
    """

    family: str
    name: str
    rows: Rows
    statistics: tuple[Floats, Floats]
    why: str = ""

    @classmethod
    def none(cls, part: Written, why: str) -> Part:
        """A slice without rows."""
        return cls(part.family, part.name, np.empty(0, dtype=np.int64), (np.empty((0, 0)), np.empty((0, 0))), why)


def parts(metric: Metric, rows: Paired, before: Slices, after: Slices) -> Iterator[Part]:
    """The slices of the later run with the rows that both have and the metric counts.

    Of what stands inside rows each side has told the statistics of its own, by the metric that it was judged by.
    """
    counted, *whole = rows.statistics(f"{STUDENT}.{metric.kind}")
    earlier = {(one.family, one.name): one for one in before.each}
    strange = {when: one.metric for when, one in (("earlier", before), ("later", after)) if one.metric != metric.kind}
    for part in after.each:
        which, its = f"{part.family} “{part.name}”", earlier.get((part.family, part.name))
        if part.statistics is None:
            own = rows.places(1, part.rows)
            there = np.searchsorted(counted, np.intersect1d(own, counted))
            why = intervals.not_about(metric, which) if (own >= 0).any() else _apart(which)
            found = Part(part.family, part.name, counted[there], (whole[0][there], whole[1][there]), why)
        elif strange:
            told = " and ".join(f"the {when} run by `{kind}`" for when, kind in strange.items())
            found = Part.none(part, f"what stands inside rows was judged otherwise than by `{metric.kind}`: {told}")
        elif its is None or its.statistics is None:
            found = Part.none(part, f"the earlier run has no {which}")
        else:
            found = _inside(
                part, its.statistics, part.statistics, first=rows.places(0, its.rows), then=rows.places(1, part.rows)
            )
        yield found


def _inside(part: Written, before: Floats, after: Floats, *, first: Rows, then: Rows) -> Part:
    """A part of what stands inside rows: those where either run has any of it.

    Where the other has none it has nothing that counts: sums of its rows go on as they are.
    """
    either = np.union1d(first, then)
    either = either[either >= 0]
    sides = []
    for places, statistics in ((first, before), (then, after)):
        told = np.zeros((len(either), statistics.shape[1]))
        here = places >= 0
        told[np.searchsorted(either, places[here])] = statistics[here]
        sides.append(told)
    return Part(part.family, part.name, either, (sides[0], sides[1]), _apart(f"{part.family} “{part.name}”"))


def _apart(which: str) -> str:
    return f"no row of {which} is in both tests"
