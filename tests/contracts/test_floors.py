"""What every floor promises, held over every member; that each learns its task's toy is in the contract of tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from stillroom.core import plugins
from stillroom.core.errors import InputError
from stillroom.floors import Floor, of
from stillroom.tasks import Task
from tests.contracts.test_tasks import SETTINGS, toy

NAMES = plugins.names("floors")


def tasks(floor: str) -> list[Task]:
    """The tasks that name it."""
    made = [plugins.build("tasks", {"kind": kind, **settings}) for kind, settings in SETTINGS.items()]
    return [task for task in made if task.floor == floor]


@pytest.mark.parametrize("name", NAMES)
def test_some_task_names_it_and_people_can_read_what_it_is(name: str) -> None:
    found: Floor = plugins.build("floors", name)
    assert type(found).__doc__
    assert found.name
    assert [of(task).kind for task in tasks(name)] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_says_the_same_of_texts_in_any_number(name: str) -> None:
    for task in tasks(name):
        texts, table = toy(task)
        floor: Any = plugins.build("floors", name)
        first, second = (floor.say(table, texts, task=task, seed=3) for _ in range(2))
        assert task.form.gap(first, second) == 0.0
        assert task.form.unfit(first, texts=len(texts), outputs=len(task.outputs)) is None
        assert len(floor.say(table, [], task=task, seed=3)) == 0
        odd = floor.say(table, ["", "…"], task=task, seed=3)
        assert task.form.finite(odd).all()
        assert len(odd) == 2


@pytest.mark.parametrize("name", NAMES)
def test_rows_without_gold_do_not_count_and_none_at_all_is_refused(name: str) -> None:
    for task in tasks(name):
        texts, table = toy(task)
        floor: Any = plugins.build("floors", name)
        if not floor.needs_gold:
            plain = table.set_column(1, "label", pa.array([None] * len(texts), type=task.gold_type()))
            if floor.kind == "lead":  # it asks gold for one thing, how long it is
                continue
            assert task.form.gap(*(floor.say(one, texts, task=task, seed=3) for one in (table, plain))) == 0.0
            continue
        more = pa.table({"text": ["something else"], "label": pa.array([None], type=task.gold_type())})
        alone, both = (floor.say(one, texts, task=task, seed=3) for one in (table, pa.concat_tables([table, more])))
        np.testing.assert_array_equal(task.form.values(alone), task.form.values(both))
        with pytest.raises(InputError, match="train"):
            floor.say(more, texts, task=task, seed=3)
