"""A finished search on the toy corpus, and searches of hand-made candidates that show every step they take."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from stillroom import export, loop, search
from stillroom.core import recipe
from stillroom.core.progress import Event
from stillroom.search.bench import Bench
from stillroom.search.explorer import Explorer
from stillroom.search.journal import Journal
from stillroom.search.ladder import Candidate, climb
from tests.conftest import make_toy

FAMILIES = ["bag", "static"]


def asked(table: Path, encoder: Path, **limits: Any) -> dict[str, Any]:
    toy = make_toy(table, encoder)
    toy["search"] = {"families": FAMILIES, "minutes": 20, "rungs": 3, "proposals": 1, **limits}
    return toy


class Searched:
    """A finished search, with everything that was told on the way and what was read before the confirmation."""

    def __init__(self, toy: dict[str, Any], work: Path) -> None:
        self.toy, self.work, self.events = toy, work, list[Event]()
        self.found = search.explore(recipe.parse(toy), work=work, report=self.events.append)


def fits(work: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in work.glob("student/*/manifest.json")}


class Ground:
    """A small search of hand-made candidates, on what another search had prepared, with every step that it takes."""

    def __init__(self, searched: Searched, work: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        for stage in ("corpus", "teacher", "transfer", "studied"):
            shutil.copytree(searched.work / stage, work / stage)
        budget = {"families": ["bag"], "minutes": 20, "rungs": 1, "proposals": 0, **settings}
        self.recipe, self.work = recipe.parse({**searched.toy, "search": budget}), work
        self.rung = climb(self.recipe, teacher_layers=3)[0][0]
        self.steps: list[tuple[Path, int]] = []
        take, look = loop.Loop._step, export.in_torch

        def counted(one: loop.Loop, rows: Any) -> None:
            if "stillroom-pace-" not in str(one.folder):
                self.steps.append((one.folder, one.step))
            take(one, rows)

        monkeypatch.setattr(loop.Loop, "_step", counted)
        # Which of two students of a size is the quicker in torch hangs on the moment.
        monkeypatch.setattr(export, "in_torch", lambda *told, **named: (look(*told, **named)[0], 1000.0))

    def named(self, name: str, **settings: Any) -> Candidate:
        return Candidate(name, self.rung.student.model_copy(update=settings), self.rung.objectives)

    def explored(self, *candidates: Candidate) -> Explorer:
        bench = Bench(self.recipe, work=self.work, report=lambda _: None)
        bench.ask(candidates)
        explorer = Explorer(bench, Journal(self.work / "journal.jsonl", clock=time.monotonic), report=lambda _: None)
        explorer.explore(candidates)
        return explorer
