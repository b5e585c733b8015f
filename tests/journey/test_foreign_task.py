"""A task that no stage has ever heard of, found by its entry point: it travels to the end, and its bundle predicts."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import plugins, recipe
from stillroom.tasks import classification
from tests.conftest import Travelled

METADATA = "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n"
POINTS = "[stillroom.tasks]\nsorting = stranger_sorting:Sorting\n"


def _forget() -> None:
    for remembered in (plugins.names, plugins.member):
        remembered.cache_clear()


@pytest.fixture
def sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The task of labels under a name of its own, in a package of its own, as somebody else would ship one."""
    text = inspect.getsource(classification)
    text = text.replace('Literal["classification"] = "classification"', 'Literal["sorting"] = "sorting"')
    text = text.replace("class Classification(", "class Sorting(").replace("Classification", "Sorting")
    (tmp_path / "stranger_sorting.py").write_text(text, encoding="utf-8")
    known = tmp_path / "stranger-1.0.dist-info"
    known.mkdir()
    (known / "METADATA").write_text(METADATA, encoding="utf-8")
    (known / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)  # costs are measured in another process
    _forget()
    yield "sorting"
    _forget()


def test_it_travels_as_those_that_ship_do(sorting: str, travelled: Travelled, tmp_path: Path) -> None:
    """To the letter as the task that it is a copy of: whoever asked for a task's name would tell them apart."""
    asked: dict[str, Any] = {**travelled.recipe, "task": {**travelled.recipe["task"], "kind": sorting}}
    asked["audit"] = {"probes": ["robustness"]}
    run = pipeline.run(recipe.parse(asked), work=tmp_path / "work")
    assert set(run.artifacts) == set(travelled.run.artifacts)
    for side in ("teacher", "student", "undistilled", "baseline"):
        own, its = (one.summary[side]["scores"] for one in (run, travelled.run))
        assert {name: one["value"] for name, one in own.items()} == {name: one["value"] for name, one in its.items()}
    assert [one["measure"] for one in run.summary["gates"]] == [
        one["measure"] for one in travelled.run.summary["gates"]
    ]
    assert run.summary["retention"].keys() == travelled.run.summary["retention"].keys()
    both = [stillroom.load(one.folder).predict(["a fine warm day", "nothing of it"]) for one in (run, travelled.run)]
    assert json.dumps([one.as_dict() for one in both[0]]) == json.dumps([one.as_dict() for one in both[1]])
    report = (run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert run.summary["verdict"]["sentence"][:30] in report
