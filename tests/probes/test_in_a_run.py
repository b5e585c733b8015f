"""Probes in a real run: groups of all test rows, in the summary, the gates and the documents."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from stillroom import pipeline
from stillroom.core import recipe
from tests.conftest import make_toy, sentences


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
