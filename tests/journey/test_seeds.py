"""A student of several seeds: the first ships as it did alone, the others are made once, and a list is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stillroom import fitness, pipeline, train
from stillroom.core import artifact, recipe
from stillroom.core.errors import MismatchError
from stillroom.emphasis import FILE
from stillroom.journey import Run
from tests.conftest import Travelled


@pytest.fixture(scope="module")
def asked(travelled: Travelled) -> dict[str, Any]:
    return {
        **travelled.recipe,
        "name": "seeds",
        "train": {"seeds": 3},
        "evaluate": {**travelled.recipe["evaluate"], "teachers": 2},
    }


@pytest.fixture(scope="module")
def run(travelled: Travelled, asked: dict[str, Any]) -> Run:
    return pipeline.run(recipe.parse(asked), work=travelled.work)


def fitted(work: Path) -> set[str]:
    return {one.name for one in (work / "student").iterdir() if not one.name.startswith(".")}


def test_the_first_seed_ships_as_if_it_were_alone(run: Run, travelled: Travelled) -> None:
    for stage in ("transfer", "train", "export"):
        assert run.artifacts[stage].digest == travelled.run.artifacts[stage].digest
    told, alone = run.summary, travelled.run.summary
    assert told["student"]["scores"] == alone["student"]["scores"]
    assert told["agreement"] == alone["agreement"]
    assert (told["forgotten"]["seeds"], alone["forgotten"]["seeds"]) == (3, 1)
    assert (told["forgotten"]["called"], alone["forgotten"]["called"]) == ("forgotten", "disagreement")
    assert alone["forgotten"]["rate"]["value"] == pytest.approx(1 - alone["agreement"]["value"])


def test_every_figure_is_measured(run: Run) -> None:
    told = run.summary["forgotten"]
    for name in ("rate", "null", "excess", "learned", "spread"):
        assert told[name]["low"] <= told[name]["value"] <= told[name]["high"]
    assert len(told["null"]["each"]) == told["spread"]["n"] == 3
    assert told["teachers"] == 2
    for both in ("student_student", "teacher_teacher"):
        assert run.summary["ceiling"][both]["value"] > 0.9
    assert told["learned"]["n"] == run.summary["corpus"]["rows"]["train"]


def test_two_teachers_are_the_ceiling_of_reasons(run: Run, travelled: Travelled) -> None:
    """The second is asked what the first is by the probe that wants it, and by no other."""
    asked = run.artifacts["audit"].manifest["inputs"]
    lots = [name for name in asked if name.startswith("answers")]
    assert [name for name in asked if name.startswith("seconds")] == ["seconds"]
    assert len(lots) > 1
    assert "second" in asked
    assert asked["seconds"] != asked["answers"]
    told, alone = run.summary["attribution"], travelled.run.summary["attribution"]
    assert told["teachers"]["spearman"]["low"] <= told["teachers"]["spearman"]["value"] <= 1
    assert told["over_teachers"]["n"] <= told["rows"]
    assert "evaluate.teachers = 2" in alone["teachers"]["spearman"]["reason"]
    assert {name: told[name] for name in ("spearman", "ceiling", "floor")} == {
        name: alone[name] for name in ("spearman", "ceiling", "floor")
    }


def test_what_was_forgotten_is_kept_for_the_next_recipe_without_a_row_of_the_test(
    run: Run, travelled: Travelled
) -> None:
    kept = artifact.load(run.folder / "forgotten")
    assert kept.digest == run.artifacts["evaluate"].manifest["inputs"]["lost"]
    assert kept.manifest["facts"]["seeds"] == 3
    listed = pq.read_table(kept.folder / FILE)["id"].to_pylist()
    corpus = run.artifacts["corpus"].folder
    held = {one for name in ("test", "dev") for one in pq.read_table(corpus / f"{name}.parquet")["id"].to_pylist()}
    assert not held & set(listed)
    assert not (travelled.run.folder / "forgotten").exists(), "one seed alone would take as long to answer all of it"


def test_the_others_are_made_once_and_one_that_is_gone_alone_is_made_again(
    run: Run, asked: dict[str, Any], travelled: Travelled
) -> None:
    before = fitted(travelled.work)
    wanted = train.seeds_of(run.recipe.seed, 3)
    manifests = [json.loads((travelled.work / "student" / one / "manifest.json").read_text()) for one in sorted(before)]
    others = [one for one in manifests if one["settings"]["seed"] in wanted[1:]]
    assert len(others) == 2
    assert {one["settings"]["seed"] for one in others} == set(wanted[1:])
    shutil.rmtree(travelled.work / "student" / others[0]["key"])
    times = {one: (travelled.work / "student" / one).stat().st_mtime_ns for one in before - {others[0]["key"]}}
    again = pipeline.run(recipe.parse(asked), work=travelled.work)
    assert fitted(travelled.work) == before
    assert {one: (travelled.work / "student" / one).stat().st_mtime_ns for one in times} == times
    assert artifact.load(travelled.work / "student" / others[0]["key"]).digest == others[0]["digest"]
    assert all(one["reused"] for name, one in again.stages.items() if name != "gates")


def test_it_is_told_of_in_report_and_card(run: Run) -> None:
    page, card = (
        (run.folder / "dossier" / name).read_text(encoding="utf-8") for name in ("report.html", "model_card.md")
    )
    assert '<section id="forgotten">' in page
    for told in (page, card):
        assert "Most of 3 students, alike but for their seeds" in told
        assert "The student that ships is one of 3 seeds" in told
        assert "One training run with one seed" not in told


def test_a_teacher_that_no_seed_changes_is_refused(asked: dict[str, Any], travelled: Travelled) -> None:
    teacher = {"kind": "huggingface", "model": str(travelled.run.artifacts["teacher"].folder)}
    with pytest.raises(MismatchError, match=r"evaluate\.teachers"):
        fitness.check(recipe.parse({**asked, "teacher": teacher}))
