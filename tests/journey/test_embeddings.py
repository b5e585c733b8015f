"""The journey of a student that embeds texts, with tiny parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import corpus, gates, pipeline, search
from stillroom.core import recipe
from stillroom.core.artifact import Store
from stillroom.journey import Run
from tests.conftest import needs_captum, sentences
from tests.corpora.examples import write_beir

STUDENTS: dict[str, dict[str, Any]] = {
    "static": {"kind": "static", "dimensions": 32, "epochs": 12, "batch_size": 32, "learning_rate": 1e-2},
    "transformer": {"kind": "transformer", "layers": 2, "epochs": 6, "batch_size": 16, "learning_rate": 2e-3},
}


def texts() -> list[str]:
    return [text for text, _ in sentences()[::2]]


def pairs(path: Path, some: list[str], likeness: Any) -> str:
    """Each text with another one, and how near a model finds them."""
    others = some[7:] + some[:7]
    lines = [
        json.dumps({"text": one, "other": other, "label": round(float(near), 3)})
        for one, other, near in zip(some, others, likeness(some, others), strict=True)
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def toy(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("vectors")
    model = SentenceTransformer(str(embedder_folder), device="cpu", local_files_only=True)

    def likeness(some: list[str], others: list[str]) -> Any:
        return np.einsum("tw,tw->t", model.encode(some), model.encode(others))

    every = texts()
    held = {"dev": every[::8], "test": [*every[1::8], *every[2::8]]}
    more = [one for place, one in enumerate(every) if place % 8 > 2]
    (folder / "more.jsonl").write_text("\n".join(json.dumps({"text": one}) for one in more), encoding="utf-8")
    paths = {name: pairs(folder / f"{name}.jsonl", some, likeness) for name, some in held.items()}
    return {
        "name": "vectors",
        "seed": 3,
        "task": {"kind": "embeddings", "dimensions": 24, "prefixes": [8]},
        "corpus": {
            "kind": "beir",
            "folder": str(write_beir(folder / "beir")),
            "beside": {"kind": "table", **paths, "unlabelled": str(folder / "more.jsonl"), "other": "other"},
        },
        "teacher": {"kind": "sentence_transformer", "model": str(embedder_folder)},
        "student": STUDENTS["static"],
        "transfer": {"shard_rows": 64},
        "export": {"layouts": ["model2vec"]},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"texts": 102, "repeats": 3},
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def run(toy: dict[str, Any], work: Path) -> Run:
    return pipeline.run(recipe.parse(toy), work=work)


def test_the_toy_is_learned_and_everything_is_measured(run: Run, toy: dict[str, Any]) -> None:
    scores = {side: run.summary[side]["scores"]["spearman"] for side in ("teacher", "student", "baseline")}
    assert scores["teacher"]["value"] > 0.99, "the grades are its own, rounded"
    # Vectors of an encoder that nobody trained turn on where words stand, which a sum of rows can't know.
    assert scores["student"]["low"] > 0.4
    assert scores["baseline"]["value"] > 0.4
    assert scores["student"]["n"] > 30
    assert run.summary["student"]["scores"]["ndcg"]["reason"] == "4 rows for ndcg; 30 are needed: 26 more"
    assert run.summary["student"]["scores"]["neighbours"]["n"] == scores["student"]["n"] + 4
    assert run.summary["negative_flips"]["value"] is None
    assert run.summary["negative_flips"]["reason"]
    missing = set(gates.vocabulary(recipe.parse(toy).task.metrics)) - set(gates.measures(run.summary))
    assert not {one for one in missing if not one.startswith(("worst_slice", "difference", "undistilled", "gap"))}
    judged = run.artifacts["evaluate"].read_json("evaluation.json")
    families = {one["family"]: one for one in judged["slices"]}
    assert {"dimensions", "judged", "length"} <= set(families) | {"dimensions"}
    assert judged["rows"]["test"] == scores["student"]["n"] + 4
    assert "TF-IDF with a truncated SVD" in judged["verdict"]["sentence"]
    assert (run.folder / "dossier" / "report.html").is_file()


@needs_captum
def test_both_networks_are_looked_into_each_in_its_own_space(run: Run, toy: dict[str, Any], work: Path) -> None:
    asked = {**toy, "name": "inside", "audit": {"probes": [{"kind": "integrated_gradients", "steps": 20}]}}
    found = pipeline.run(recipe.parse(asked), work=work, until="audit").artifacts["audit"].read_json("audit.json")
    told = found["integrated_gradients"]
    assert told["rows"] == told["named_same"] > 30
    assert told["spearman"]["low"] > told["floor"]["spearman"]["high"]
    assert min(told["complete"][side]["value"] for side in ("teacher", "student")) > 0.9


def test_documents_are_learned_from_and_answered_and_no_text_of_the_test_is(run: Run) -> None:
    corpus, said, held = (run.artifacts[name] for name in ("corpus", "transfer", "evaluate"))
    assert corpus.read_json("report.json")["rows"]["unlabelled"] > 7
    manifest = said.manifest["facts"]["signals"]
    assert manifest["embedding"]["axes"] == ["row", "width"]
    assert manifest["embedding"]["storage"] == "parquet"
    assert not list(said.folder.glob("*.safetensors"))
    assert held.manifest["inputs"]["said"] == said.digest


def test_its_vectors_find_test_rows_that_mean_what_was_learned(run: Run, toy: dict[str, Any], work: Path) -> None:
    rows = corpus.load(recipe.parse(toy).corpus, task=recipe.parse(toy).task, store=Store(work))
    student = stillroom.load(run.folder)
    learned = [student.outputs(list(part.texts())) for part in (rows.train, rows.unlabelled, rows.dev) if part.count]
    nearest = np.sort((student.outputs(list(rows.test.texts())) @ np.concatenate(learned).T).max(axis=1))
    place = len(nearest) - 15 + int(np.diff(nearest[-15:-3]).argmax())
    least = float(nearest[place : place + 2].mean())
    told = run.artifacts["evaluate"].read_json("evaluation.json")["contamination"]
    assert "evaluate.embedder" in told["test_rows_alike"]["reason"]
    evaluate = {**toy["evaluate"], "embedder": str(run.folder), "least_cosine": least}
    again = pipeline.run(recipe.parse({**toy, "name": "alike", "evaluate": evaluate}), work=work, until="evaluate")
    alike = again.artifacts["evaluate"].read_json("evaluation.json")["contamination"]
    assert alike["test_rows_alike"] == {"value": len(nearest) - place - 1, "n": rows.test.count}
    assert alike["test_rows_shared"] == told["test_rows_shared"], "what is only alike was not seen"
    assert all("meaning" in one for one in alike["pairs"])


def test_its_bundle_embeds_without_torch_and_so_does_model2vec(run: Run) -> None:
    from model2vec import StaticModel

    predictor = stillroom.load(run.folder, verify=True)
    some = ["The film was GREAT, as ever!", "rivers in winter"]
    found = predictor.outputs(some)
    assert found.shape == (2, 24)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert predictor.predict(some)[0].as_dict()["vector"] == pytest.approx(found[0].tolist(), abs=1e-6)
    assert "24 dimensions" in predictor.predict(some)[1].as_line()
    other = StaticModel.from_pretrained(predictor.folder / "layouts" / "model2vec").encode(some)
    np.testing.assert_allclose(other, found, atol=1e-5)


def test_again_reuses_everything(run: Run, toy: dict[str, Any], work: Path) -> None:
    again = pipeline.run(recipe.parse(toy), work=work)
    assert {stage: one.digest for stage, one in again.artifacts.items()} == {
        stage: one.digest for stage, one in run.artifacts.items()
    }


@pytest.mark.slow
def test_a_transformer_too_in_eight_bits_as_well(toy: dict[str, Any], work: Path) -> None:
    first = pipeline.run(recipe.parse(toy), work=work, until="transfer")
    formats = [{"kind": "onnx"}, {"kind": "onnx_int8", "min_speed": 1.0, "max_loss": 1.0}]
    settings = {**toy, "name": "layers", "student": STUDENTS["transformer"], "export": {"formats": formats}}
    found = pipeline.run(recipe.parse(settings), work=work, until="evaluate")
    assert found.artifacts["transfer"].key == first.artifacts["transfer"].key
    judged = found.artifacts["evaluate"].read_json("evaluation.json")["systems"]
    assert judged["student"]["scores"]["spearman"]["value"] > 0.8, "it knows where words stand"
    for runner in found.artifacts["export"].read_json("bundle.json")["runners"]:
        stillroom.load(found.folder, verify=True, runner=runner)


@pytest.mark.slow
def test_a_search_among_students_of_vectors(toy: dict[str, Any], tmp_path: Path) -> None:
    """Kinds that answer with labels are left aside, and so are settings that give no vectors."""
    asked = {**toy, "name": "searched", "export": {"formats": ["onnx"]}, "search": {"minutes": 0.5, "proposals": 0}}
    told = search.explore(recipe.parse(asked), work=tmp_path).told
    assert told["metric"] == "spearman"
    assert {one["student"]["kind"] for one in told["points"]} <= set(STUDENTS)
    assert told["points"]
