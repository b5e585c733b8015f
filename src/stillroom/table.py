"""The one aligned table: each row's gold label beside what every system said of it, joined by id and by nothing else.

Every score is a function of this table. Rows that are missing, doubled or unequal are refused, not dropped: a score on
other rows than its neighbour's compares nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core.errors import InputError, Problem, translating_full_disk
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers

SYSTEMS = ("teacher", "student", "undistilled", "baseline")
TEACHER, STUDENT, UNDISTILLED, BASELINE = SYSTEMS
_NEEDED = ("id", "text", "label", "domain", "role")
_COLUMN = "column."
_REDO = "Remove the evaluation's inputs and run again: each system answers each row once."


@final
@dataclass(frozen=True)
class Table:
    """Rows in one order for all systems. `logits` are `[rows, labels]` each, `gold` positions of labels.

    `outside` rows are of another domain than the task's: they have slices of their own and count in no headline.
    `lengths` are characters. `columns` are what else the corpus says of a row, to slice by; "" where it says nothing.
    """

    ids: tuple[str, ...]
    gold: NDArray[np.int64]
    domain: tuple[str, ...]
    outside: NDArray[np.bool_]
    lengths: NDArray[np.int64]
    logits: Mapping[str, NDArray[np.float32]]
    labels: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    named: frozenset[str] = frozenset()
    """The systems that only named a label: their logits say which, and nothing of how sure they were."""

    def __post_init__(self) -> None:
        sizes = {
            "gold": len(self.gold),
            "domain": len(self.domain),
            "outside": len(self.outside),
            "lengths": len(self.lengths),
            **{f"logits of the {system}": len(logits) for system, logits in self.logits.items()},
            **{f"column {name}": len(values) for name, values in self.columns.items()},
        }
        problems = [
            Problem(f"table, {name}", _rows(size), _rows(len(self.ids)), "Give as many as there are ids.")
            for name, size in sizes.items()
            if size != len(self.ids)
        ]
        problems += _doubled("table, ids", self.ids)
        if problems:
            raise InputError(*problems)

    @property
    def test(self) -> NDArray[np.int64]:
        """The positions of the rows that the headline counts."""
        return np.flatnonzero(~self.outside)

    def answers(self, rows: NDArray[np.int64], systems: Iterable[str]) -> dict[str, Answers]:
        """What some systems (the teacher among them) said of some rows, as metrics take it."""
        said = {system: softmax(self.logits[system][rows]) for system in systems}
        return {system: Answers(self.gold[rows], said[system], said[TEACHER]) for system in said}


def align(
    rows: pa.Table,
    answers: Mapping[str, tuple[Sequence[str], NDArray[Any]]],
    *,
    labels: Sequence[str],
    named: frozenset[str] = frozenset(),
) -> Table:
    """The table made from rows and from each system's `(ids, logits)`, whatever order those are in.

    `rows` has the columns id, text, label (a name or its position in `labels`), domain and role ("test" or "outside");
    its columns that begin with "column." become columns to slice by.

    Raises:
        InputError: rows without gold, or systems that did not answer exactly these rows; all problems at once.
    """
    absent = [name for name in _NEEDED if name not in rows.column_names]
    if absent:
        found = f"columns {', '.join(rows.column_names)}"
        raise InputError(Problem("rows", found, f"also {', '.join(absent)}", "Load the corpus again."))
    ids = tuple(str(value) for value in rows["id"].to_pylist())
    gold, problems = _gold(rows["label"], ids, labels)
    problems += _doubled("rows", ids) + _roles(rows["role"].to_pylist(), ids)
    for system, (said, logits) in answers.items():
        problems += _fits(f"answers of the {system}", said, np.asarray(logits), ids=ids, classes=len(labels))
    if problems:
        raise InputError(*problems)
    return Table(
        ids=ids,
        gold=gold,
        domain=tuple(value or "" for value in rows["domain"].to_pylist()),
        outside=np.array([role == "outside" for role in rows["role"].to_pylist()], dtype=np.bool_),
        lengths=pc.utf8_length(rows["text"]).fill_null(0).to_numpy().astype(np.int64),
        logits={system: _ordered(ids, said, logits) for system, (said, logits) in answers.items()},
        labels=tuple(labels),
        columns={
            name.removeprefix(_COLUMN): tuple("" if value is None else str(value) for value in rows[name].to_pylist())
            for name in rows.column_names
            if name.startswith(_COLUMN)
        },
        named=named,
    )


def write_table(table: Table, path: Path) -> None:
    """Write the table as Parquet, without texts: gold label, slices, and each system's probabilities (or label)."""
    columns: dict[str, pa.Array] = {
        "id": pa.array(table.ids),
        "gold": pa.array([table.labels[code] for code in table.gold.tolist()]),
        "domain": pa.array(table.domain),
        "outside": pa.array(table.outside),
        "length": pa.array(table.lengths),
    }
    columns |= {f"{_COLUMN}{name}": pa.array(values) for name, values in table.columns.items()}
    for system, logits in table.logits.items():
        if system in table.named:
            columns[f"label.{system}"] = pa.array([table.labels[code] for code in logits.argmax(axis=1).tolist()])
            continue
        flat = pa.array(softmax(logits).astype(np.float32).ravel())
        fixed = pa.FixedSizeListArray.from_arrays(flat, len(table.labels))
        columns[f"probabilities.{system}"] = fixed.cast(pa.list_(pa.float32()))
    told = pa.table(columns).replace_schema_metadata({"labels": json.dumps(table.labels, ensure_ascii=False)})
    with translating_full_disk(path.parent):
        pq.write_table(told, path, compression="zstd")


def _gold(column: Any, ids: Sequence[str], labels: Sequence[str]) -> tuple[NDArray[np.int64], list[Problem]]:
    positions: dict[Any, int] = {label: code for code, label in enumerate(labels)}
    positions |= {code: code for code in range(len(labels))}
    codes = [positions.get(value, -1) for value in column.to_pylist()]
    unknown = [row for row, code in zip(ids, codes, strict=True) if code < 0]
    found = f"no known label in {_rows(len(unknown))} ({_few(unknown)})"
    problem = Problem("rows, label", found, "one of the task's labels", "Only rows with gold can be scored.")
    return np.array(codes, dtype=np.int64), [problem] if unknown else []


def _roles(roles: Sequence[Any], ids: Sequence[str]) -> list[Problem]:
    strange = [row for row, role in zip(ids, roles, strict=True) if role not in ("test", "outside")]
    if strange:
        found = f"neither in {_rows(len(strange))} ({_few(strange)})"
        return [Problem("rows, role", found, "`test` or `outside`", "Only these rows are evaluated.")]
    if "test" not in roles:
        return [Problem("rows, role", "no `test` row", "at least one", "Give the corpus a test split.")]
    return []


def _fits(where: str, said: Sequence[str], logits: NDArray[Any], *, ids: Sequence[str], classes: int) -> list[Problem]:
    """What keeps one system's answers from being joined to the rows."""
    problems = _doubled(where, said)
    missing = sorted(set(ids) - set(said))
    strange = sorted(set(said) - set(ids))
    if missing:
        found = f"nothing on {_rows(len(missing))} ({_few(missing)})"
        problems.append(Problem(where, found, f"an answer to each of {_rows(len(ids))}", _REDO))
    if strange:
        found = f"answers to {_rows(len(strange))} not among them ({_few(strange)})"
        problems.append(Problem(where, found, "answers to the rows only", _REDO))
    if logits.shape != (len(said), classes):
        expected = f"[{len(said)}, {classes}]: one row an id, one column a label"
        problems.append(Problem(where, f"logits of shape {list(logits.shape)}", expected, _REDO))
    elif not np.isfinite(logits).all():
        bad = [row for row, fine in zip(said, np.isfinite(logits).all(axis=1).tolist(), strict=True) if not fine]
        found = f"NaN or infinity in {_rows(len(bad))} ({_few(bad)})"
        problems.append(Problem(where, found, "finite logits", "Its training or its export went wrong: look there."))
    return problems


def _ordered(ids: Sequence[str], said: Sequence[str], logits: NDArray[Any]) -> NDArray[np.float32]:
    place = {row: number for number, row in enumerate(said)}
    return np.asarray(logits, dtype=np.float32)[[place[row] for row in ids]]


def _doubled(where: str, ids: Iterable[str]) -> list[Problem]:
    doubled = sorted(row for row, count in Counter(ids).items() if count > 1)
    found = f"{len(doubled)} id{'' if len(doubled) == 1 else 's'} more than once ({_few(doubled)})"
    return [Problem(where, found, "each id once", _REDO)] if doubled else []


def _few(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
