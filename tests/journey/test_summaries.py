"""The journey of a student that picks sentences, on a toy of made-up texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stillroom
from stillroom import pipeline
from stillroom.core import recipe
from stillroom.journey import Run
from tests.conftest import sentences

pytestmark = pytest.mark.slow  # all of it is one run, of a quarter of a minute


def toy(folder: Path, model: Path) -> dict[str, Any]:
    """Texts of five sentences, one of them with `great` in it, which is the summary."""
    rng = np.random.default_rng(0)
    every = [f"{text.capitalize()}." for text, _ in sentences()]
    great, others = ([one for one in every if ("great" in one) == wanted] for wanted in (True, False))
    rows = []
    for _ in range(240):
        own = [*rng.choice(others, 4), str(rng.choice(great))]
        rows.append({"text": " ".join(rng.permutation(own)), "label": own[-1]})
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    return {
        "name": "summaries",
        "seed": 3,
        "task": {"kind": "text_to_text", "goal": "summary", "shortest_ratio": 0},
        "corpus": {"kind": "table", "labelled": str(folder / "rows.jsonl"), "dev_share": 0.15, "test_share": 0.2},
        "teacher": {"kind": "salience", "model": str(model), "fitted": True},
        "student": {"kind": "extractive", "dimensions": 16, "epochs": 6, "learning_rate": 2e-2},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
    }


@pytest.fixture(scope="module")
def run(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("summaries")
    return pipeline.run(recipe.parse(toy(folder, embedder_folder)), work=folder / "work", until="evaluate")


def test_the_toy_is_learned(run: Run) -> None:
    judged = run.artifacts["evaluate"].read_json("evaluation.json")["systems"]
    scores = {side: judged[side]["scores"]["rouge1"] for side in ("teacher", "student", "baseline")}
    assert scores["student"]["low"] > scores["baseline"]["high"]
    assert scores["student"]["value"] > 0.8 * scores["teacher"]["value"]
    assert judged["student"]["scores"]["copied"]["value"] == pytest.approx(1.0)
    assert judged["student"]["scores"]["unfounded"]["value"] == 0


def test_its_bundle_picks_without_torch(run: Run) -> None:
    predictor = stillroom.load(run.folder, verify=True)
    text = "We found it dull today. The film was great today. I call this weak at last."
    found = predictor.predict([text, "", "One sentence alone"])
    assert [one.text for one in found] == ["The film was great today.", "", "One sentence alone"]
    assert predictor.runner == "extractive"
