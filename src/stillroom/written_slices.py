"""The slices of an evaluation as a file: which test rows each has, and what stands inside them, for whoever compares.

`evaluate` cuts them (`slices.cut`), by all that the task knows of its answers; another run on the same rows is held
against it on the very same parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core.errors import translating_full_disk
from stillroom.metrics import Floats, Metric
from stillroom.slices import Rows, Slice, cut
from stillroom.table import STUDENT, Table

_METRIC = b"metric"


@final
@dataclass(frozen=True, eq=False)
class Written:
    """A slice: its test rows by their places among all test rows, and the student's statistics on it.

    Where it is of whole rows these are the rows' own, and None here.
    """

    family: str
    name: str
    rows: Rows
    statistics: Floats | None = None


@final
@dataclass(frozen=True, eq=False)
class Slices:
    """The slices of an evaluation, and the metric that those inside rows tell the statistics of."""

    metric: str
    each: tuple[Written, ...]


def write(table: Table, metric: Metric, path: Path) -> None:
    """Write the slices of a table's test rows; a family of which they all are in one slice is left out."""
    found = list(_of_test(table, metric))
    families = [one.family for one in found]
    kept = [one for one in found if families.count(one.family) > 1]
    told = [None if one.statistics is None else one.statistics.astype(np.float32).ravel() for one in kept]
    columns = {
        "family": pa.array([one.family for one in kept], type=pa.string()),
        "name": pa.array([one.name for one in kept], type=pa.string()),
        "rows": pa.array([one.rows for one in kept], type=pa.list_(pa.int32())),
        "statistics": pa.array(told, type=pa.list_(pa.float32())),
    }
    with translating_full_disk(path.parent):
        pq.write_table(pa.table(columns).replace_schema_metadata({_METRIC: metric.kind}), path, compression="zstd")


def read(told: pa.Table) -> Slices:
    """The slices that a file tells of."""
    rows = told["rows"].to_pylist()
    numbers = [None if one is None else np.array(one, dtype=np.float64) for one in told["statistics"].to_pylist()]
    every = zip(told["family"].to_pylist(), told["name"].to_pylist(), rows, numbers, strict=True)
    found = (
        Written(family, name, np.array(some, dtype=np.int64), None if one is None else one.reshape(len(some), -1))
        for family, name, some, one in every
    )
    return Slices((told.schema.metadata or {}).get(_METRIC, b"").decode(), tuple(found))


def _of_test(table: Table, metric: Metric) -> Iterator[Written]:
    test = table.test
    for part in cut(table):
        rows = part.members[np.isin(part.members, test)]
        statistics = None
        if part.narrow is not None:
            found = _inside(table, part, rows, metric)
            if found is None:
                continue
            rows, statistics = found
        if len(rows):
            yield Written(part.family, part.name, np.searchsorted(test, rows), statistics)


def _inside(table: Table, part: Slice, rows: Rows, metric: Metric) -> tuple[NDArray[np.int64], Floats] | None:
    """The rows in which a metric is about something of a part, and what it needs of the student's; None: nowhere."""
    found = metric.statistics(part.of(table.answers(rows, (STUDENT,)))[STUDENT])
    if found is None:
        return None
    counted, statistics = found
    return rows if counted is None else rows[counted], statistics
