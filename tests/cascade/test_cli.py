"""`stillroom cascade`: the same as in Python, with an exit code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stillroom import cascade, runtime
from stillroom.cascade import traffic
from stillroom.cli import app
from tests.cascade.scenes import EPSILON, copied
from tests.conftest import Travelled, sentences


@pytest.fixture
def run(travelled: Travelled, tmp_path: Path) -> Path:
    return copied(travelled, tmp_path)


def test_what_is_certified_is_told_and_kept(run: Path) -> None:
    said = CliRunner().invoke(app, ["cascade", str(run), "--epsilon", str(EPSILON), "--json"])
    assert said.exit_code == 0
    found = cascade.certify(run, epsilon=EPSILON)
    assert found.bundle is not None
    kept = {"page": str(found.page), "bundle": str(found.bundle.folder)}
    assert json.loads(said.stdout) == {**json.loads(json.dumps(found.told)), **kept}
    shown = CliRunner().invoke(app, ["cascade", str(run), "--epsilon", str(EPSILON)])
    assert shown.exit_code == 0
    assert "Certified with 95% confidence" in shown.stdout
    assert "exchangeable" in shown.stdout


def test_what_can_t_be_certified_is_exit_code_1(run: Path) -> None:
    said = CliRunner().invoke(app, ["cascade", str(run), "--epsilon", "0.01"])
    assert said.exit_code == 1
    assert "Cannot certify" in said.stdout
    assert not (run / runtime.CASCADE).exists()


def test_other_texts(run: Path, tmp_path: Path) -> None:
    cascade.certify(run, epsilon=EPSILON)
    texts = [text.upper() for text, _ in sentences()[::4]]
    path = tmp_path / "new.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "answer"), *((text, "positive") for text in texts)])
    said = CliRunner().invoke(app, ["cascade", str(run), "--rows", str(path), "--json"])
    assert said.exit_code == 0
    assert json.loads(said.stdout) == json.loads(json.dumps(traffic.judge(run, path)))
    always = CliRunner().invoke(app, ["cascade", str(run), "--rows", str(path), "--teacher", "answer"])
    assert always.exit_code == 1, "who says the same of everything is another teacher"
    assert "Cannot certify" in always.stdout
