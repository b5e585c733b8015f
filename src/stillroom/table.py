"""The one aligned table: each row's gold label beside what every system said of it, joined by id and by nothing else.

Every score is a function of this table. Rows that are missing, doubled or unequal are refused, not dropped: a score on
other rows than its neighbour's compares nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core.errors import InputError, Problem, translating_full_disk
from stillroom.metrics import Answered, Metric
from stillroom.tasks import Rows as About
from stillroom.tasks import Task

SYSTEMS = ("teacher", "student", "undistilled", "baseline")
TEACHER, STUDENT, UNDISTILLED, BASELINE = SYSTEMS
BESIDE = "beside"
TABLE, STATISTICS, SLICES = "table.parquet", "statistics.parquet", "slices.parquet"
_NEEDED = ("id", "text", "label", "domain", "role")
_COLUMN, _ASPECT = "column.", "aspect."
_REDO = "Remove the evaluation's inputs and run again: each system answers each row once."


@final
@dataclass(frozen=True)
class Table:
    """Rows in one order for all systems, and what each of them said.

    `outside` rows are of another domain than the task's: they have slices of their own and count in no headline.
    `aspects` are numbers of each text (family `aspects`). `columns` are what else the corpus says of a row, to slice
    by; "" where it says nothing.
    """

    ids: tuple[str, ...]
    domain: tuple[str, ...]
    outside: NDArray[np.bool_]
    aspects: Mapping[str, NDArray[np.float64]]
    said: Mapping[str, Answered]
    columns: Mapping[str, tuple[str, ...]]
    has_gold: bool = True
    """Whether gold is the corpus's; False: no row has any, and what the teacher named stands for it."""

    def __post_init__(self) -> None:
        sizes = {
            "domain": len(self.domain),
            "outside": len(self.outside),
            **{f"aspect {name}": len(amounts) for name, amounts in self.aspects.items()},
            **{f"answers of the {system}": len(said) for system, said in self.said.items()},
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

    def answers(self, rows: NDArray[np.int64], systems: Iterable[str]) -> dict[str, Answered]:
        """What some systems said of some rows, as metrics take it."""
        return {system: self.said[system].take(rows) for system in systems}


def align(
    rows: pa.Table,
    answers: Mapping[str, tuple[Sequence[str], Any]],
    *,
    task: Task,
    named: frozenset[str] = frozenset(),
    familiar: Collection[str] = frozenset(),
    aspects: Callable[[Sequence[str]], Mapping[str, NDArray[np.float64]]] = lambda texts: {},
) -> Table:
    """The table made from rows and from each system's `(ids, outputs)`, whatever order those are in.

    `rows` has the columns id, text, label, domain and role ("test", "outside", or "beside" where gold only speaks of
    them: those are answered, not judged); its columns that begin with "column."
    become columns to slice by. `named` are the systems whose outputs say what they name and nothing of how sure they
    are. The teacher is among the systems. `familiar` is what the task knows from training rows;
    `aspects` gives each text of judged rows its numbers. Where no row at all has gold, what the teacher named stands
    for it.

    Raises:
        InputError: some rows without gold, or systems that did not answer exactly these rows; all problems at once.
    """
    absent = [name for name in _NEEDED if name not in rows.column_names]
    if absent:
        found = f"columns {', '.join(rows.column_names)}"
        raise InputError(Problem("rows", found, f"also {', '.join(absent)}", "Load the corpus again."))
    ids = tuple(str(value) for value in rows["id"].to_pylist())
    roles = rows["role"].to_pylist()
    gold = task.gold(rows["label"])
    known, asked = task.known(gold), task.asked(gold)
    problems = (_unknown(known | ~asked, ids) if known.any() else []) + _doubled("rows", ids) + _roles(roles, ids)
    for system, (said, outputs) in answers.items():
        problems += _fits(f"answers of the {system}", said, outputs, ids=ids, task=task)
    if problems:
        raise InputError(*problems)
    form = task.form
    ordered = {system: form.take(outputs, _places(ids, said)) for system, (said, outputs) in answers.items()}
    gold = gold if known.any() else task.named(ordered[TEACHER])
    domains = tuple(value or "" for value in rows["domain"].to_pylist())
    outside = np.array([role == "outside" for role in roles], dtype=np.bool_)
    about = About(rows["text"].to_pylist(), ids, domains, outside)
    answered = {
        system: task.answered(gold, outputs, ordered[TEACHER], named=system in named, rows=about, familiar=familiar)
        for system, outputs in ordered.items()
    }
    judged = np.flatnonzero(asked)
    rows = rows.take(judged)
    return Table(
        ids=tuple(ids[row] for row in judged.tolist()),
        domain=tuple(domains[row] for row in judged.tolist()),
        outside=outside[judged],
        aspects=aspects([text or "" for text in rows["text"].to_pylist()]),
        said=answered,
        columns={
            name.removeprefix(_COLUMN): tuple("" if value is None else str(value) for value in rows[name].to_pylist())
            for name in rows.column_names
            if name.startswith(_COLUMN)
        },
        has_gold=bool(known.any()),
    )


def write_table(table: Table, path: Path) -> None:
    """Write the table as Parquet, without texts: gold, slices, and what each system said of how probable what is."""
    first = next(iter(table.said.values()))
    columns: dict[str, pa.Array] = {
        "id": pa.array(table.ids),
        "gold": first.told_gold(),
        "domain": pa.array(table.domain),
        "outside": pa.array(table.outside),
    }
    columns |= {f"{_ASPECT}{name}": pa.array(amounts) for name, amounts in table.aspects.items()}
    columns |= {f"{_COLUMN}{name}": pa.array(values) for name, values in table.columns.items()}
    for system, said in table.said.items():
        columns |= {f"{name}.{system}": column for name, column in said.told().items()}
    told = pa.table(columns).replace_schema_metadata({"labels": json.dumps(first.labels, ensure_ascii=False)})
    with translating_full_disk(path.parent):
        pq.write_table(told, path, compression="zstd")


def write_statistics(table: Table, metrics: Sequence[Metric], path: Path) -> None:
    """Write what each metric needs of each test row, by system: another run on these rows can be compared by it.

    A row that a metric is not about has null. Half a bin's count or a mean needs no more than four bytes.
    """
    test = table.test
    columns: dict[str, pa.Array] = {"id": pa.array([table.ids[row] for row in test.tolist()])}
    for system in (TEACHER, STUDENT):
        said = table.said[system].take(test)
        for metric in metrics:
            mute = metric.unsaid(said, who=system) or (metric.against_teacher and system == TEACHER)
            found = None if mute else metric.statistics(said)
            if found is None:
                continue
            counted, rows = found
            places = np.arange(len(test)) if counted is None else counted
            known = np.zeros(len(test), dtype=np.bool_)
            known[places] = True
            full = np.zeros((len(test), rows.shape[1]), dtype=np.float32)
            full[places] = rows
            columns[f"{system}.{metric.kind}"] = pa.FixedSizeListArray.from_arrays(
                pa.array(full.ravel()), rows.shape[1], mask=pa.array(~known)
            )
    with translating_full_disk(path.parent):
        pq.write_table(pa.table(columns), path, compression="zstd")


def _unknown(known: NDArray[np.bool_], ids: Sequence[str]) -> list[Problem]:
    unknown = [row for row, fine in zip(ids, known.tolist(), strict=True) if not fine]
    found = f"no known label in {_rows(len(unknown))} ({_few(unknown)})"
    problem = Problem("rows, label", found, "one of the task's labels", "Only rows with gold can be scored.")
    return [problem] if unknown else []


def _roles(roles: Sequence[Any], ids: Sequence[str]) -> list[Problem]:
    strange = [row for row, role in zip(ids, roles, strict=True) if role not in ("test", "outside", BESIDE)]
    if strange:
        found = f"neither in {_rows(len(strange))} ({_few(strange)})"
        return [Problem("rows, role", found, "`test`, `outside` or `beside`", "Only these rows are evaluated.")]
    if "test" not in roles:
        return [Problem("rows, role", "no `test` row", "at least one", "Give the corpus a test split.")]
    return []


def _fits(where: str, said: Sequence[str], outputs: Any, *, ids: Sequence[str], task: Task) -> list[Problem]:
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
    if unfit := task.form.unfit(outputs, texts=len(said), outputs=len(task.outputs)):
        problems.append(Problem(where, *unfit, _REDO))
    else:
        fine = task.form.finite(outputs)
        bad = [row for row, good in zip(said, fine.tolist(), strict=True) if not good]
        found = f"NaN or infinity in {_rows(len(bad))} ({_few(bad)})"
        todo = "Its training or its export went wrong: look there."
        problems += [Problem(where, found, "finite logits", todo)] if bad else []
    return problems


def _places(ids: Sequence[str], said: Sequence[str]) -> NDArray[np.int64]:
    """Where in what a system said each row stands."""
    place = {row: number for number, row in enumerate(said)}
    return np.array([place[row] for row in ids], dtype=np.int64)


def _doubled(where: str, ids: Iterable[str]) -> list[Problem]:
    doubled = sorted(row for row, count in Counter(ids).items() if count > 1)
    found = f"{len(doubled)} id{'' if len(doubled) == 1 else 's'} more than once ({_few(doubled)})"
    return [Problem(where, found, "each id once", _REDO)] if doubled else []


def _few(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
