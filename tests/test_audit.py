"""The stage that asks both what no test row asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillroom import fitness, gates, pipeline
from stillroom.core import recipe
from stillroom.core.errors import MismatchError, RecipeError
from tests.conftest import Travelled

PUT_OUT = {"probes": [{"kind": "robustness", "perturbations": ["typos", "casing"]}]}


def run(travelled: Travelled, name: str, **changes: Any) -> Any:
    built = {**travelled.recipe, "name": name, "gate": [], **changes}
    return pipeline.run(recipe.parse(built), work=travelled.work, until="audit")


def test_both_are_asked_once_and_a_rerun_asks_nothing(travelled: Travelled) -> None:
    found = travelled.run.artifacts["audit"].read_json("audit.json")["robustness"]
    assert found["metric"] == "accuracy"
    assert found["by"]["casing"]["rows"] > 0
    noted = {event.stage for event in travelled.events}
    assert "audit" in noted
    events: list[Any] = []
    built = recipe.parse({**travelled.recipe, "name": "again"})
    again = pipeline.run(built, work=travelled.work, until="audit", report=events.append)
    assert again.stages["audit"]["reused"]
    assert not [event for event in events if event.stage in ("transfer", "audit")]


def test_a_part_of_the_probes_asks_what_is_new_alone(travelled: Travelled) -> None:
    here = run(travelled, "part", audit={**PUT_OUT, "rows": 10}, evaluate={"resamples": 200, "min_slice_rows": 2})
    found = here.artifacts["audit"].read_json("audit.json")["robustness"]
    assert found["rows"] == 10
    assert set(found["by"]) == {"typos", "casing"}
    # Ten rows are fewer than accuracy needs, whatever a slice needs.
    assert "30 are needed" in found["by"]["casing"]["student"]["reason"]


def test_another_probe_has_nothing_asked_again(travelled: Travelled) -> None:
    def sets() -> set[str]:
        return {one.name for one in (travelled.work / "transfer").iterdir() if not one.name.startswith(".")}

    few = {"rows": 20, "probes": [{"kind": "robustness", "perturbations": ["ocr", "casing"]}]}
    alone = run(travelled, "one", audit=few)
    before = sets()
    both = run(travelled, "two", audit={**few, "probes": [{"kind": "attribution", "rows": 3}, *few["probes"]]})
    assert len(sets() - before) == 1
    told = [one.artifacts["audit"].read_json("audit.json") for one in (alone, both)]
    assert told[0]["robustness"] == told[1]["robustness"]


def test_a_teacher_that_is_not_to_be_asked_is_not(travelled: Travelled) -> None:
    here = run(travelled, "alone", audit={"ask_teacher": False})
    found = here.artifacts["audit"].read_json("audit.json")["robustness"]
    assert "as the recipe says" in found["teacher"]["reason"]
    assert "as the recipe says" in found["relative"]["reason"]
    assert found["by"]["casing"]["student"]["value"] is not None
    assert found["by"]["casing"]["teacher"]["value"] is None


def test_without_probes_nothing_is_asked(travelled: Travelled) -> None:
    here = run(travelled, "none", audit={"probes": []})
    assert here.artifacts["audit"].read_json("audit.json") == {}


def test_a_gate_may_name_a_figure_of_a_probe(travelled: Travelled) -> None:
    measure = "robustness.by.casing.student"
    built = {**travelled.recipe, "gate": [{"measure": measure, "at_least": 0.9}]}
    fitness.check(recipe.parse(built))
    (verdict,) = gates.judge(recipe.parse(built).gate, travelled.run.summary)
    assert verdict.value == travelled.run.summary["robustness"]["by"]["casing"]["student"]["value"]
    without = {**built, "audit": {"probes": []}}
    with pytest.raises(MismatchError, match="a figure of the summary"):
        fitness.check(recipe.parse(without))


@pytest.mark.parametrize(
    ("audit", "told"),
    [
        ({"probes": ["robustnes"]}, "robustness"),
        ({"probes": [{"kind": "robustness", "perturbations": ["typo"]}]}, "typos"),
        (
            {"probes": [{"kind": "robustness", "perturbations": [{"kind": "typos", "share": 2}]}]},
            "less than or equal to 1",
        ),
        ({"rows": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_in_the_recipe_is_told(travelled: Travelled, audit: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe.parse({**travelled.recipe, "audit": audit})


def test_a_recorded_teacher_can_not_be_made_to_answer(travelled: Travelled, tmp_path: Path) -> None:
    teacher = {"kind": "recorded", "outputs": str(tmp_path / "said.jsonl")}
    (tmp_path / "said.jsonl").write_text(json.dumps({"text": "x", "logits": [0, 1]}) + "\n", encoding="utf-8")
    built = {**travelled.recipe, "teacher": teacher, "audit": {"ask_teacher": True}}
    with pytest.raises(MismatchError, match=r"audit\.ask_teacher"):
        fitness.check(recipe.parse(built))


def test_the_report_shows_what_was_found(travelled: Travelled) -> None:
    page = (travelled.run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    card = (travelled.run.folder / "dossier" / "model_card.md").read_text(encoding="utf-8")
    for told in (page, card):
        assert "Robustness" in told
        assert "a neighbouring key instead of a letter" in told
    digest = travelled.run.artifacts["audit"].digest[:12]
    assert digest in page
    assert digest in card
