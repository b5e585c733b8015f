"""When what happens in a fit: told of every step before one is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins
from stillroom.objectives import Objective
from stillroom.teachers._fitting import Examples, Plan
from stillroom.timetable import Timetable

SURE = np.array([[0.5, 0.0], [4.0, 0.0], [0.0, 3.0], [0.1, 0.0], [0.0, 2.0], [1.0, 0.0]] * 10, dtype=np.float32)
ROWS = Examples([np.arange(1 + row % 5, dtype=np.int32) for row in range(60)], np.zeros(60, dtype=np.int64), SURE)


def timetable(*objectives: Objective, **plan: Any) -> Timetable:
    settings: dict[str, Any] = {"epochs": 5, "batch_size": 8, "learning_rate": 1e-2, "patience": 1, "seed": 3}
    return Timetable(Plan(**{**settings, **plan, "bf16": False}), ROWS, objectives)


def test_every_epoch_brings_every_row_once_in_an_order_of_its_own() -> None:
    epochs = [np.concatenate(timetable().order(epoch)).tolist() for epoch in range(5)]
    assert all(sorted(rows) == list(range(60)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 5
    assert timetable().per_epoch == len(timetable().order(0)) == 8


def test_a_curriculum_takes_in_the_unsure_rows_little_by_little() -> None:
    surest = np.argsort(-np.abs(SURE[:, 0] - SURE[:, 1]), kind="stable").tolist()
    seen = [set(np.concatenate(timetable(curriculum=0.6).order(epoch)).tolist()) for epoch in range(5)]
    assert [len(rows) for rows in seen] == [18, 32, 46, 60, 60]
    assert all(rows == set(surest[: len(rows)]) for rows in seen[:3])


def test_the_rate_rises_then_falls_and_never_to_nothing() -> None:
    table = timetable(epochs=20)
    rates = [table.rate(step) for step in range(table.steps)]
    peak = int(np.argmax(rates))
    assert 0 < peak < 0.1 * table.steps
    assert rates[peak] == pytest.approx(1.0)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak + 1 :]) <= 0).all()
    assert min(rates) >= 0.02


def test_a_pilot_ends_early_on_the_schedule_of_the_whole() -> None:
    pilot, whole = timetable(steps=7), timetable()
    assert (pilot.steps, whole.steps) == (7, 40)
    assert [pilot.rate(step) for step in range(7)] == [whole.rate(step) for step in range(7)]


def test_strata_thaw_until_all_are_trained() -> None:
    table = timetable(unfreeze=0.5)
    assert [table.thawed(step) for step in (0, 10, 20, 39)] == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert timetable().thawed(0) == 1.0


def test_rounding_comes_last_and_for_one_epoch_at_least() -> None:
    assert [timetable(quantization_aware=0.4).rounds(epoch) for epoch in range(5)] == [False] * 3 + [True] * 2
    assert [timetable(quantization_aware=0.01).rounds(epoch) for epoch in range(5)] == [False] * 4 + [True]
    assert not any(timetable().rounds(epoch) for epoch in range(5))


@pytest.mark.parametrize("later", ["starts", "unfreeze", "curriculum", "quantization_aware"])
def test_what_is_still_to_come_is_waited_for(later: str) -> None:
    staged = (plugins.build("objectives", {"kind": "forward_kl", "starts": 0.5}),) if later == "starts" else ()
    table = timetable(*staged, **({} if later == "starts" else {later: 0.5}))
    waits = [table.more_to_come(epoch=epoch, step=(epoch + 1) * 8) for epoch in range(5)]
    assert waits[0]
    assert not waits[-1]
    assert waits == sorted(waits, reverse=True)
    assert not timetable().more_to_come(epoch=0, step=8)
