"""Files of columns, read a batch at a time: Parquet, and the Arrow streams that the `datasets` library writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from stillroom.core.errors import Problem
from stillroom.corpora import Row
from stillroom.corpora.table.columns import Wanted

_BATCH = 4096
_BUFFER = 1 << 20


def parquet(file: BinaryIO, *, name: str, wanted: Wanted) -> Iterator[Row | Problem]:
    """The rows of a Parquet file."""
    try:
        # With a buffer, a column is read page by page and not a row group at a time.
        table = pq.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
        names = list(table.schema_arrow.names)
        if problems := wanted.missing(names, where=name):
            yield from problems
            return
        batches = table.iter_batches(batch_size=_BATCH, columns=wanted.present(names))
        yield from _rows(batches, name=name, wanted=wanted, classes={})
    except (pa.ArrowException, OSError) as error:
        yield _damaged(name, "a Parquet file", error)


def arrow(
    file: BinaryIO, *, name: str, wanted: Wanted, classes: Mapping[str, Sequence[str]]
) -> Iterator[Row | Problem]:
    """The rows of an Arrow stream; `classes` names the classes of columns that hold them as numbers."""
    try:
        with pa.ipc.open_stream(file) as batches:
            if problems := wanted.missing(list(batches.schema.names), where=name):
                yield from problems
                return
            yield from _rows(batches, name=name, wanted=wanted, classes=classes)
    except (pa.ArrowException, OSError) as error:
        yield _damaged(name, "an Arrow stream", error)


def _rows(
    batches: Iterable[Any], *, name: str, wanted: Wanted, classes: Mapping[str, Sequence[str]]
) -> Iterator[Row | Problem]:
    number = 0
    for batch in batches:
        names = wanted.present(batch.schema.names)
        lists = [_named(batch.column(n).to_pylist(), classes.get(n)) for n in names]
        for values in zip(*lists, strict=True):
            number += 1
            yield wanted.row(dict(zip(names, values, strict=True)), where=f"{name}, row {number}")


def _named(values: list[Any], classes: Sequence[str] | None) -> list[Any]:
    """Class numbers as class names; −1 is how `datasets` says that there is no label."""
    if classes is None:
        return values
    return [
        None if v is None or v == -1 else classes[v] if isinstance(v, int) and 0 <= v < len(classes) else v
        for v in values
    ]


def _damaged(name: str, expected: str, error: Exception) -> Problem:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return Problem(name, f"data that can't be read ({reason})", expected, "Write or copy the file again.")
