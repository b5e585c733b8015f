"""Tables of rows as tests read them, and what every refusal of one promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillroom import corpus
from stillroom.core.artifact import Store
from stillroom.core.errors import CorpusError, Problem
from stillroom.corpora import Row
from stillroom.corpora.table import Table
from tests.corpora.examples import TASK

PAIRS = [('it is, "so to speak", fine', "positive"), ("dull\tand long", "negative"), ("naïve – café", "positive")]


def read(table: Table, split: str = "labelled") -> list[Row | Problem]:
    return [row for stream in table.streams(TASK) if stream.split == split for row in stream.rows]


def rows(table: Table, split: str = "labelled") -> list[Row]:
    found = read(table, split)
    assert not [row for row in found if isinstance(row, Problem)]
    return [row for row in found if isinstance(row, Row)]


def refused(tmp_path: Path, **settings: Any) -> CorpusError:
    """The error of a load that can't work, after checking what all of them promise."""
    store = tmp_path / "work"
    with pytest.raises(CorpusError) as caught:
        corpus.load(Table(**settings), task=TASK, store=Store(store))
    error = caught.value
    assert error.exit_code == 2
    assert [path for path in store.rglob("*") if path.name != "corpus" and ".locks" not in path.parts] == []
    for problem in error.problems:
        assert all((problem.where, problem.found, problem.expected, problem.todo)), problem
    return error


def one(error: CorpusError) -> Problem:
    assert len(error.problems) == 1, error
    return error.problems[0]


def write(path: Path, data: str | bytes) -> str:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)
