"""The whole journey on a tiny corpus with tiny real parts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import gates, pipeline
from stillroom.core import recipe
from stillroom.core.errors import ArtifactError
from stillroom.journey import Run
from tests.conftest import Travelled


@pytest.fixture
def work(travelled: Travelled) -> Path:
    return travelled.work


@pytest.fixture
def built(travelled: Travelled) -> dict[str, Any]:
    return travelled.recipe


@pytest.fixture
def first(travelled: Travelled) -> Run:
    return travelled.run


def test_every_stage_leaves_its_artifact_and_the_summary_cites_it(first: Run) -> None:
    summary = json.loads((first.folder / "summary.json").read_text(encoding="utf-8"))
    assert set(summary["stages"]) == set(pipeline.STAGES)
    for stage, found in first.artifacts.items():
        assert summary["stages"][stage]["digest"] == found.digest
    for side in ("teacher", "student", "undistilled", "baseline"):
        assert set(summary[side]["scores"]["accuracy"]) >= {"value", "low", "high", "n"}
    for side in ("teacher", "student"):
        cost = summary[side]["cost"]
        assert cost["texts_per_second"] > 0
        assert set(cost["latency_ms"]) == {"p50", "p95", "p99", "n"}
        assert cost["resident_mb"] > 0
        assert cost["disk_mb"] > 0
        assert cost["parameters"] > 0
    licences = first.artifacts["transfer"].circumstances["licences"]
    assert licences == {"teacher": None, "texts": "CC0-1.0"}
    assert summary["speedup"]["value"] > 1
    assert summary["gates"][0]["state"] in ("pass", "inconclusive")
    assert (first.folder / "dossier" / "report.html").is_file()
    assert (first.folder / "dossier" / "model_card.md").is_file()


def test_every_measure_that_a_gate_may_name_is_there(first: Run, built: dict[str, Any]) -> None:
    task = recipe.parse(built).task
    missing = set(gates.vocabulary(task.metrics)) - set(gates.measures(first.summary))
    unmeasured = {one for one in missing if not one.startswith(("worst_slice", "difference", "gap"))}
    assert not unmeasured


def test_of_a_teacher_that_is_fitted_here_it_is_known_what_it_saw(first: Run) -> None:
    told = first.summary["contamination"]
    assert told["teacher_rows_shared"] == {"value": 0, "n": first.summary["rows"]["test"]}
    assert "fitted here" in told["sentences"][1]
    assert "is not known" in told["sentences"][1], "what its base was trained on nobody here knows"
    assert told["scores"]["clean"] == told["scores"]["all"]
    assert told["scores"]["contaminated"]["student"]["reason"] == "no test row is contaminated"


def test_the_toy_is_learned(first: Run) -> None:
    assert first.summary["teacher"]["scores"]["accuracy"]["value"] > 0.9
    assert first.summary["student"]["scores"]["accuracy"]["value"] > 0.9


def test_again_reuses_everything(first: Run, built: dict[str, Any], work: Path) -> None:
    again = pipeline.run(recipe.parse(built), work=work)
    assert {name for name, one in again.stages.items() if not one["reused"]} <= {"gates"}
    assert {name: one["digest"] for name, one in again.stages.items()} == {
        name: one["digest"] for name, one in first.stages.items()
    }


def test_another_student_shares_corpus_teacher_and_transfer(first: Run, built: dict[str, Any], work: Path) -> None:
    other = {**built, "name": "other", "student": {"kind": "bag", "features": {"kind": "ngrams", "bits": 12}}}
    run = pipeline.run(recipe.parse(other), work=work, until="train")
    assert [run.stages[one]["reused"] for one in ("corpus", "teacher", "transfer", "train")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.slow
def test_same_recipe_elsewhere_gives_the_same_digests(first: Run, built: dict[str, Any], tmp_path: Path) -> None:
    elsewhere = pipeline.run(recipe.parse(built), work=tmp_path / "work", until="evaluate")
    for stage in ("corpus", "teacher", "transfer", "train", "export", "evaluate"):
        assert elsewhere.stages[stage]["digest"] == first.stages[stage]["digest"], stage


def test_the_bundle_predicts_and_stands_by_its_golden_answers(first: Run) -> None:
    predictor = stillroom.load(first.folder, verify=True)
    found = predictor.predict(["the film was great today", "we found it dull as ever"])
    assert [one.label for one in found] == ["positive", "negative"]
    assert all(sum(one.scores.values()) == pytest.approx(1, abs=1e-5) for one in found)
    assert predictor.predict([]) == []


def test_a_gate_that_says_no_is_told(built: dict[str, Any], work: Path, first: Run) -> None:
    strict = {**built, "name": "strict", "gate": [{"measure": "negative_flips", "at_most": 0.0}]}
    run = pipeline.run(recipe.parse(strict), work=work)
    assert not run.passed


def test_a_damaged_bundle_is_refused(first: Run, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(first.artifacts["export"].folder, copy)
    weights = copy / "static.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ArtifactError, match=r"static\.safetensors"):
        stillroom.load(copy)


def test_it_is_as_sure_as_dev_shows_it_to_be_right(first: Run) -> None:
    predictor = stillroom.load(first.folder)
    told = first.summary["student"]["calibration"]
    described = json.loads((predictor.folder / "bundle.json").read_text(encoding="utf-8"))
    assert described["temperature"] == predictor.temperature == (told or {"temperature": 1.0})["temperature"]
    texts = ["the film was great today", "we found it dull as ever"]
    predictor.temperature = 4.0
    softer = predictor.predict(texts)
    np.testing.assert_array_equal(predictor.calibrated(texts), predictor.outputs(texts) / 4.0)
    predictor.temperature = 1.0
    for plain, soft in zip(predictor.predict(texts), softer, strict=True):
        assert plain.label == soft.label
        assert plain.score > soft.score


def test_golden_answers_catch_other_weights(first: Run, tmp_path: Path) -> None:
    """Weights that are whole but not those that were exported, under a manifest made to fit them."""
    import shutil

    from safetensors.numpy import load_file, save_file

    from stillroom.core import artifact

    copy = tmp_path / "bundle"
    shutil.copytree(first.artifacts["export"].folder, copy)
    weights = load_file(copy / "static.safetensors")
    save_file({**weights, "head": -weights["head"]}, copy / "static.safetensors")
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["static.safetensors"] = artifact.file_sha256(copy / "static.safetensors")
    body = {"files": manifest["files"], "facts": manifest["facts"], "stage": manifest["stage"]}
    manifest["digest"] = artifact.sha256(artifact.canonical(body))
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    stillroom.load(copy)
    with pytest.raises(ArtifactError, match="golden"):
        stillroom.load(copy, verify=True)


def test_a_partial_run_under_another_recipe_leaves_no_strangers_figures(travelled: Travelled, tmp_path: Path) -> None:
    """`show` would tell of the run before, while `load` serves what this one made."""
    work = tmp_path / "work"
    shutil.copytree(travelled.work, work)
    assert (work / "runs" / "toy" / "summary.json").is_file()
    pipeline.run(recipe.parse(travelled.recipe), work=work, until="corpus")
    assert (work / "runs" / "toy" / "summary.json").is_file(), "the same recipe's figures stay"
    pipeline.run(recipe.parse({**travelled.recipe, "seed": 99}), work=work, until="corpus")
    assert not (work / "runs" / "toy" / "summary.json").exists()
    assert not (work / "runs" / "toy" / "dossier").exists()
