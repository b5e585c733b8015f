"""The recipes that have no journey on real rows: each to its evaluation, on made-up rows and with a tiny network."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import recipe
from stillroom.journey import Run
from tests.conftest import LABELS, sentences
from tests.teachers.endpoint.servers import PRICES, serving

pytestmark = pytest.mark.slow
TESTED = 60


def rows(*, labels: tuple[str, str] | None) -> list[dict[str, Any]]:
    """Sentences that one word decides; without labels text alone."""
    every = sentences()[::2]
    names = dict(zip(LABELS, labels or LABELS, strict=True))
    made = [{"text": text, **({"label": names[label], "source": "made"} if labels else {})} for text, label in every]
    return [made[at] for at in np.random.default_rng(1).permutation(len(made))]


def travel(name: str, folder: Path, *, labels: tuple[str, str] | None = LABELS, **laid: dict[str, Any]) -> Run:
    """A shipped recipe on such rows, with these settings laid over its own."""
    found = rows(labels=labels)
    parts = {"test": found[:TESTED], "dev": found[TESTED:90], "train" if labels else "unlabelled": found[90:]}
    corpus: dict[str, Any] = {"kind": "table", "label": "label" if labels else "", "near_twins": "keep"}
    for split, own in parts.items():
        corpus[split] = str(folder / f"{split}.jsonl")
        Path(corpus[split]).write_text("\n".join(map(json.dumps, own)), encoding="utf-8")
    asked = tomllib.loads(Path(f"recipes/{name}.toml").read_text(encoding="utf-8"))
    asked |= {"corpus": corpus, "evaluate": {"resamples": 200, "min_slice_rows": 20}}
    for key, settings in laid.items():
        asked[key] = {**asked.get(key, {}), **settings}
    return pipeline.run(recipe.parse(asked), work=folder / "work", until="evaluate")


def right(run: Run, *, labels: tuple[str, str] = LABELS) -> float:
    """How much of the test its bundle has right."""
    tested = rows(labels=labels)[:TESTED]
    found = stillroom.load(run.artifacts["export"].folder, verify=True).predict([row["text"] for row in tested])
    assert "systems" in run.artifacts["evaluate"].read_json("evaluation.json")
    return float(np.mean([one.label == row["label"] for one, row in zip(found, tested, strict=True)]))


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("reviews-cnn", {"channels": 16, "dimensions": 16, "epochs": 12, "learning_rate": 1e-2}),
        ("reviews-transformer", {"layers": 2, "epochs": 12, "learning_rate": 3e-3}),
    ],
)
def test_students_that_mind_the_order_of_words(
    name: str, student: dict[str, Any], encoder_folder: Path, tmp_path: Path
) -> None:
    teacher = {"base": str(encoder_folder), "learning_rates": [3e-3], "epochs": 8}
    run = travel(name, tmp_path, teacher=teacher, student=student)
    assert right(run) > 0.85


def test_reviews_by_a_model_behind_an_api(tmp_path: Path) -> None:
    with serving() as server:
        paid = {"base_url": server.url, "max_spend": 1.0, **PRICES}
        run = travel("reviews-endpoint", tmp_path, teacher=paid, student={"epochs": 20})
        assert 0 < server.billed < 1
    assert right(run) > 0.85
    assert run.artifacts["transfer"].manifest["facts"]["teacher"]["answers"] == "logits"


def test_names_by_a_model_behind_an_api(tmp_path: Path, encoder_folder: Path) -> None:
    with serving() as server:
        paid = {"base_url": server.url, "max_spend": 1.0, **PRICES}
        student = {"start": str(encoder_folder), "dimensions": 16, "units": 16, "epochs": 20, "batch_size": 8,
                   "learning_rate": 1e-2}  # fmt: skip
        run = travel("entities-endpoint", tmp_path, labels=None, task={"labels": list(LABELS)}, teacher=paid,
                     student=student)  # fmt: skip
        assert len(server.bodies) == len(rows(labels=None))
    assert run.artifacts["transfer"].manifest["facts"]["tally"]["quoted"] > 20
    (found,) = stillroom.load(run.artifacts["export"].folder).predict(["the plot is warm from start to end"])
    assert [(one.text, one.label) for one in found.spans] == [("warm", LABELS[1])]


def test_instructions_by_gold(tmp_path: Path, encoder_folder: Path) -> None:
    labels = ("text", "instruction")
    said = [{"text": row["text"], "label": row["label"]} for row in rows(labels=labels)]
    (tmp_path / "said.jsonl").write_text("\n".join(map(json.dumps, said)), encoding="utf-8")
    student = {"start": str(encoder_folder), "channels": 16, "dimensions": 16, "epochs": 12, "learning_rate": 1e-2}
    run = travel("instructions", tmp_path, labels=labels, teacher={"outputs": str(tmp_path / "said.jsonl")},
                 student=student)  # fmt: skip
    assert right(run, labels=labels) > 0.85


def test_proofreading_of_made_and_of_real_mistakes(tmp_path: Path, encoder_folder: Path) -> None:
    """Teacher and student are fitted to both: clean text with mistakes in it, and what people corrected, twice each."""
    clean, real = tmp_path / "clean.jsonl", tmp_path / "real.jsonl"
    texts = [row["text"] for row in rows(labels=None)]
    clean.write_text("\n".join(json.dumps({"text": f"{one.capitalize()} ."}) for one in texts[:120]), encoding="utf-8")
    pairs = {f"{one} ,": [f"{one.capitalize()} .", f"{one} ."] for one in texts[120:]}
    real.write_text("\n".join(json.dumps({"text": one, "label": some}) for one, some in pairs.items()),
                    encoding="utf-8")  # fmt: skip
    corrected = {"kind": "table", "labelled": str(real), "near_twins": "keep"}
    asked = tomllib.loads(Path("recipes/proofread.toml").read_text(encoding="utf-8"))
    asked["corpus"] |= {"clean": {"kind": "table", "labelled": str(clean), "label": ""}, "real": corrected,
                        "corrections": corrected, "learn_corrections": True, "near_twins": "keep"}  # fmt: skip
    asked["teacher"] |= {"base": str(encoder_folder), "learning_rates": [3e-3], "epochs": 3}
    asked["student"] |= {"layers": 1, "epochs": 2, "learning_rate": 3e-3}
    run = pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="train")
    parts = {one: set(pq.read_table(run.artifacts["corpus"].folder / f"{one}.parquet")["text"].to_pylist())
             for one in ("train", "dev", "test")}  # fmt: skip
    assert parts["test"] < pairs.keys(), "what people wrote alone"
    assert len(parts["train"] & pairs.keys()) > len(pairs) / 2
    assert len(parts["train"] - pairs.keys()) > 60
    asked_about = {text for shard in run.artifacts["transfer"].folder.glob("*.parquet")
                   for text in pq.read_table(shard)["text"].to_pylist()}  # fmt: skip
    assert parts["train"] <= asked_about
    assert not parts["test"] & asked_about
