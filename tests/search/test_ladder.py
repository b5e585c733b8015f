"""Who is tried: unlike students that fit, with what may be moved."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stillroom.core import plugins, recipe
from stillroom.search.ladder import climb


def test_who_does_not_fit_is_left_out_with_the_reason(toy: dict[str, Any]) -> None:
    fit, unfit = climb(recipe.parse(toy), teacher_layers=3)
    assert {one.family for one in fit} >= {"bag", "static"}
    assert all("export" not in one for one in fit[0].name)
    assert unfit["transformer layers=1"].startswith("nothing, not a format")


def test_a_ladder_is_of_unlike_students_within_the_teacher(toy: dict[str, Any]) -> None:
    fit, _ = climb(recipe.parse({**toy, "export": {"formats": ["onnx"]}}), teacher_layers=3)
    names = [one.name for one in fit]
    assert len(names) == len(set(names))
    depths = [one.student.model_dump()["layers"] for one in fit if one.family == "transformer"]
    assert depths == [1, 2, 2], "always fewer than the teacher has; two of them also for longer"


def test_vectors_join_the_mixture_of_those_that_show_them_unless_the_recipe_names_one(toy: dict[str, Any]) -> None:
    fit, _ = climb(recipe.parse(toy), teacher_layers=3)
    told = {one.family: [objective.kind for objective in one.objectives] for one in fit}
    assert told["static"] == [*told["bag"], "contrastive"]
    fit, _ = climb(recipe.parse({**toy, "objective": [{"kind": "logit_mse"}]}), teacher_layers=3)
    assert {tuple(objective.kind for objective in one.objectives) for one in fit} == {("logit_mse",)}


@pytest.mark.parametrize("kind", plugins.names("students"))
def test_every_student_offers_rungs_and_names_what_may_be_moved(kind: str) -> None:
    member: Any = plugins.member("students", kind)
    rungs = member.ladder(teacher_layers=6)
    assert rungs
    assert len({json.dumps(one.resolved(), sort_keys=True) for one in rungs}) == len(rungs)
    for one in rungs:
        assert isinstance(one, member)
        for name, span in one.spans().items():
            assert span.low < span.high
            for end in (span.low, span.high):
                value = round(end) if span.whole else end
                assert member.model_validate({**one.model_dump(), name: value}), f"{name} can't be {value}"
