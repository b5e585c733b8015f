"""Probes in a real run: groups of all test rows, in the summary, the gates and the documents."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from stillroom import pipeline
from stillroom.core import recipe
from tests.conftest import make_toy, phrases, sentences


@pytest.mark.slow
def test_groups_of_all_test_rows(tmp_path: Path, encoder_folder: Path) -> None:
    table = tmp_path / "toy.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "who"])
        writer.writerows((text, label, ("a", "b")[number % 2]) for number, (text, label) in enumerate(sentences()))
    toy: dict[str, Any] = make_toy(table, encoder_folder)
    toy["corpus"]["columns"] = ["who"]
    # The rows to begin with are fewer than a group needs: who is judged by groups is judged on all.
    probes = [{"kind": "groups", "columns": ["who"], "favourable": ["positive"]}]
    toy["audit"] = {"probes": probes, "rows": 10}
    toy["gate"] = [{"measure": "groups.gap_growth", "at_most": 0.5}]
    run = pipeline.run(recipe.parse(toy), work=tmp_path / "work")
    told = run.summary["groups"]
    assert told["rows"] > 100
    assert {one["group"] for one in told["by"]["who"]["groups"]} == {"a", "b"}
    assert told["gap_growth"]["value"] is not None
    assert run.summary["gates"][0]["state"] == "pass"
    page = (run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert "Each who beside all others" in page


@pytest.mark.slow
def test_pairs_of_a_generator(tmp_path: Path, speaker_folder: Path) -> None:
    for name, texts in (("train", phrases()[40:]), ("dev", phrases()[:16]), ("test", phrases()[16:40])):
        lines = [json.dumps({"text": one}) for one in texts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    paths = {part: str(tmp_path / f"{name}.jsonl") for part, name in
             (("unlabelled", "train"), ("dev", "dev"), ("test", "test"))}  # fmt: skip
    told = {
        "name": "pairs",
        "seed": 3,
        "task": {"kind": "generation", "kept": 8, "writes": 0},
        "corpus": {"kind": "table", "label": "", "near_twins": "keep", **paths},
        "teacher": {"kind": "huggingface", "model": str(speaker_folder)},
        "student": {"kind": "decoder", "layers": 2, "epochs": 2, "batch_size": 16, "learning_rate": 1e-2},
        "export": {"formats": ["onnx_causal"]},
        "transfer": {"precision": "fp32"},
        "evaluate": {"resamples": 200, "min_slice_rows": 2},
        "audit": {"probes": [{"kind": "pairs", "file": str(Path(__file__).parent / "pairs.csv")}]},
        "gate": [{"measure": "pairs.lean.growth", "at_most": 1e6}],
    }
    run = pipeline.run(recipe.parse(told), work=tmp_path / "work", until="audit")
    found = run.artifacts["audit"].read_json("audit.json")["pairs"]
    assert found["pairs"] == found["share"]["growth"]["n"] == 3  # both read every byte
    assert all(found["lean"][side]["value"] is not None for side in ("teacher", "student", "growth"))
