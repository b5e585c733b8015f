"""Who learned by heart is told from who learned."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stillroom import gates, generalisation
from stillroom.gap import Side
from stillroom.tasks.classification import Classification
from tests.conftest import Travelled

TASK = Classification(labels=("bad", "good"))


def side(name: str, rows: int, right: float, seed: int) -> Side:
    """Rows on which the student agrees so often."""
    rng = np.random.default_rng(seed)
    its = rng.integers(2, size=rows)
    own = np.where(rng.random(rows) < right, its, 1 - its)
    ids = [f"{name}{number:05d}" for number in rng.permutation(rows)]
    teacher, student = (np.eye(2, dtype=np.float32)[one] for one in (its, own))
    return Side(ids, [f"text {one}" for one in ids], teacher, student)


def test_what_was_learned_by_heart_shows() -> None:
    found = generalisation.compare(side("a", 500, 1.0, 0), side("b", 900, 0.8, 1), task=TASK, confidence=0.95)
    assert found["seen"] == {"value": 1.0, "low": pytest.approx(0.9926, abs=1e-4), "high": 1.0, "n": 500}
    assert found["unseen"]["n"] == 500
    assert found["gap"]["low"] > 0.1


def test_who_learned_has_no_gap_more_often_than_the_level_says() -> None:
    shown = 0
    for seed in range(200):
        found = generalisation.compare(side("a", 300, 0.9, seed), side("b", 300, 0.9, 1000 + seed), task=TASK,
                                       confidence=0.95)  # fmt: skip
        shown += not found["gap"]["low"] <= 0 <= found["gap"]["high"]
    assert shown <= 18  # of 200, 10 expected: more than 18 is once in a hundred


def test_few_rows_are_no_figure() -> None:
    found = generalisation.compare(side("a", 300, 0.9, 0), side("b", 10, 0.9, 1), task=TASK, confidence=0.95)
    assert found["gap"]["value"] is None
    assert "10 rows" in found["gap"]["reason"]


def test_a_run_tells_it(travelled: Travelled) -> None:
    told = travelled.run.artifacts["evaluate"].read_json("evaluation.json")["generalisation"]
    assert told["seen"]["n"] == told["unseen"]["n"] >= 30
    assert set(generalisation.FIGURES) == set(told)
    assert {f"generalisation.{one}" for one in told} <= set(gates.vocabulary(["accuracy"]))
    assert "that it learned from" in (travelled.run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    json.dumps(told)
