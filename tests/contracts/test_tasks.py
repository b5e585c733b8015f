"""Every task, found by itself: what it says of its rows, its outputs and its judges holds together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins
from stillroom.core.errors import RecipeError
from stillroom.tasks import Task

#: Settings that a task can't do without; a new one adds its line.
SETTINGS: dict[str, dict[str, Any]] = {"classification": {"labels": ("no", "perhaps", "yes")}}
NAMES = plugins.names("tasks")


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    assert request.param in SETTINGS, f"SETTINGS has no line for `{request.param}`"
    found: Task = plugins.build("tasks", {"kind": request.param, **SETTINGS[request.param]})
    return found


def logits(task: Task, rows: int, *, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(rows, len(task.outputs))).astype(np.float32) * 4


def test_there_are_members() -> None:
    assert "classification" in NAMES


def test_is_its_own_settings(task: Task) -> None:
    assert type(task).__doc__
    assert plugins.build("tasks", task.model_dump(mode="json")) == task
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("tasks", {**task.model_dump(mode="json"), "nonsense": 1})


def test_its_metrics_and_objectives_are_there_and_need_no_more_than_it_offers(task: Task) -> None:
    assert task.metrics
    for name in task.metrics:
        plugins.build("metrics", name)
    mixture = [plugins.build("objectives", one) for one in task.objectives()]
    assert sum(one.weight for one in mixture) > 0
    for one in mixture:
        assert one.needs <= task.signals | {"gold"}


def test_labels_and_outputs_are_one_code(task: Task) -> None:
    assert len(set(task.outputs)) == len(task.outputs) > 1
    assert [task.code(name) for name in task.outputs] == list(range(len(task.outputs)))
    assert task.code("a label that nobody gave") is None


def test_its_toy_rows_are_rows_of_it(task: Task) -> None:
    rows = task.toy()
    codes = {task.code(row.label) for row in rows}
    assert None not in codes
    assert len(codes) == len(task.outputs), "every output occurs"
    assert all(row.text.strip() for row in rows)
    assert len({row.text for row in rows}) == len(rows)
    assert rows == task.toy()


def test_predictions_are_probabilities_in_order(task: Task) -> None:
    raw = logits(task, 20)
    found = task.decode(raw)
    assert len(found) == 20
    for row, one in zip(raw, found, strict=True):
        assert tuple(one.scores) == task.outputs
        assert sum(one.scores.values()) == pytest.approx(1, abs=1e-6)
        assert one.label == task.outputs[int(row.argmax())]
        assert one.score == max(one.scores.values()) == one.scores[one.label]
        assert one.as_dict() == {"label": one.label, "score": one.score, "scores": dict(one.scores)}


def test_a_prediction_knows_neither_its_neighbours_nor_a_shift(task: Task) -> None:
    raw = logits(task, 5)
    for row, one in zip(raw, task.decode(raw), strict=True):
        assert task.decode(row[None])[0] == one
        shifted = task.decode(row[None] + 3)[0]
        assert shifted.label == one.label
        assert shifted.score == pytest.approx(one.score, rel=1e-5)


def test_outputs_of_any_size_stay_numbers(task: Task) -> None:
    raw = np.zeros((2, len(task.outputs)), dtype=np.float32)
    raw[:, 0] = (6e4, -6e4)
    for one in task.decode(raw):
        assert np.isfinite(list(one.scores.values())).all()
    assert task.decode(raw[:0]) == []
