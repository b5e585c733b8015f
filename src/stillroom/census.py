"""What the rows of a corpus are like: counts, labels, lengths, domains, and what twins did. It holds no text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillroom.duplicates import PRECEDENCE, SETTINGS, Fates, Role
from stillroom.tasks import Task

_FEW_DEV = 100
_FEW_TEST = 500
_MANY = 0.1


@final
class Census:
    """Counts the rows that are kept while they are written, and reads the rest off their fates."""

    def __init__(self, fates: Fates, *, task: Task) -> None:
        self._fates, self._task, self._labels = fates, task, task.names
        self.rows: dict[Role, int] = dict.fromkeys(PRECEDENCE, 0)
        self._label_counts = {role: np.zeros(len(self._labels), np.int64) for role in PRECEDENCE}
        self._with_gold = dict.fromkeys(PRECEDENCE, 0)
        self._lengths: dict[Role, Counter[int]] = {role: Counter() for role in PRECEDENCE}
        self._domains: dict[Role, Counter[str]] = {role: Counter() for role in PRECEDENCE}
        self._conflicts: list[dict[str, Any]] = [{"id": "", "where": []} for _ in fates.examples]
        self._watched = {row: number for number, rows in enumerate(fates.examples) for row in rows}

    def place(self, batch: pa.RecordBatch, *, first: int) -> None:
        """Note where the rows stand whose text has several labels; `first` is the number of the batch's first row."""
        for row in self._watched.keys() & set(range(first, first + len(batch))):
            conflict = self._conflicts[self._watched[row]]
            conflict["id"] = batch.column("id")[row - first].as_py()
            conflict["where"].append((row, batch.column("where")[row - first].as_py()))

    def count(self, role: Role, batch: pa.RecordBatch) -> None:
        """Take rows that are kept."""
        self.rows[role] += len(batch)
        self._label_counts[role] += self._task.tally(batch.column("label").drop_null())
        self._with_gold[role] += len(batch) - batch.column("label").null_count
        lengths, counts = np.unique(pc.utf8_length(batch.column("text")).to_numpy(), return_counts=True)
        self._lengths[role].update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
        for pair in pc.value_counts(batch.column("domain")).to_pylist():
            self._domains[role][pair["values"]] += pair["counts"]

    def report(self, *, empty: Mapping[Role, int]) -> dict[str, Any]:
        """Everything that was counted, as it is written down."""
        return {
            "rows": self.rows,
            "labels": {
                role: dict(zip(self._labels, self._label_counts[role].tolist(), strict=True))
                for role in PRECEDENCE
                if role != "unlabelled"
            },
            "characters": {role: _quantiles(self._lengths[role]) for role in PRECEDENCE if self.rows[role]},
            "domains": {role: dict(sorted(self._domains[role].items())) for role in PRECEDENCE},
            "duplicates": self._duplicates(),
            "dropped_empty": dict(empty),
            "notes": self._notes(empty),
        }

    def why_none(self, role: Role) -> str:
        """What to do where a split has no rows."""
        dropped = self._fates.sizes[PRECEDENCE.index(role)]
        if dropped:
            return f"All of its {dropped:,} rows have a twin in a split that comes before: give other rows."
        shares = "" if role == "train" else f", or raise `{role}_share`"
        return f"Give `{role}` rows, or more `labelled` ones{shares}, under [corpus]."

    def _duplicates(self) -> dict[str, Any]:
        inside: dict[str, int] = {}
        near_inside: dict[str, int] = {}
        dropped: dict[str, Any] = {}
        starts = self._fates.starts
        for rank, role in enumerate(PRECEDENCE):
            cause = self._fates.cause[starts[rank] : starts[rank + 1]]
            near = self._fates.near[starts[rank] : starts[rank + 1]]
            repeats = sum(1 for row in self._fates.repeats if starts[rank] <= row < starts[rank + 1])
            inside[role] = repeats + int(((cause == 1 + rank) & ~near).sum())
            near_inside[role] = int((near & ((cause == 0) | (cause == 1 + rank))).sum())
            if role in ("test", "outside"):
                continue
            dropped[role] = {
                sort: {
                    PRECEDENCE[other]: int(((cause == 1 + other) & (near == (sort == "near"))).sum())
                    for other in range(rank)
                    if sort == "exact" or PRECEDENCE[other] != "train"
                }
                for sort in ("exact", "near")
            }
        return {
            "exact_inside": inside,
            "near_inside": near_inside,
            "dropped": dropped,
            "conflicting_labels": {"texts": self._fates.conflicts, "examples": self._examples()},
            "search": {**SETTINGS, "crowded_buckets": self._fates.crowded},
        }

    def _examples(self) -> list[dict[str, Any]]:
        return [{"id": found["id"], "where": [w for _, w in sorted(found["where"])]} for found in self._conflicts]

    def _notes(self, empty: Mapping[Role, int]) -> list[str]:
        notes = []
        if not self.rows["train"]:
            notes.append("No labelled rows to train on: the student has only the teacher's words.")
        else:
            absent = [n for n, c in zip(self._labels, self._label_counts["train"], strict=True) if not c]
            notes += [f"The label `{name}` does not occur in train." for name in absent]
        limits: dict[Role, int] = {"dev": _FEW_DEV, "test": _FEW_TEST}
        for role, few in limits.items():
            count = self.rows[role]
            if not count:
                notes.append(f"The split {role} has no rows: nothing is measured on it.")
                continue
            if not self._with_gold[role]:
                notes.append(f"No row of {role} has a label: what the teacher says stands for it.")
                continue
            absent = [n for n, c in zip(self._labels, self._label_counts[role], strict=True) if not c]
            notes += [f"The label `{name}` does not occur in {role}." for name in absent]
            if count < few:
                notes.append(f"The split {role} has only {count:,} rows: differences of a few points drown in chance.")
        if self._fates.conflicts:
            notes.append(f"Texts that stand under more than one label: {self._fates.conflicts:,}.")
        notes += [note for role in PRECEDENCE for note in self._twins(role)]
        total = sum(empty.values())
        return notes + ([f"Rows dropped because their text is empty: {total:,}."] if total else [])

    def _twins(self, role: Role) -> list[str]:
        """A note where so many rows went because of twins that the files may overlap by mistake."""
        rank = PRECEDENCE.index(role)
        starts = self._fates.starts
        cause = self._fates.cause[starts[rank] : starts[rank + 1]]
        gone = int(((cause > 0) & (cause < 1 + rank)).sum())
        if gone <= _MANY * len(cause):
            return []
        return [f"Of the {len(cause):,} rows of {role}, {gone:,} were dropped as twins of rows in splits before it."]


def _quantiles(lengths: Counter[int]) -> dict[str, int]:
    """The least, middle, 95th-percentile (nearest rank) and greatest length, in characters."""
    values = np.array(sorted(lengths))
    reached = np.cumsum([lengths[value] for value in values.tolist()])

    def at(part: float) -> int:
        return int(values[np.searchsorted(reached, np.ceil(part * reached[-1]))])

    return {"min": int(values[0]), "median": at(0.5), "p95": at(0.95), "max": int(values[-1])}
