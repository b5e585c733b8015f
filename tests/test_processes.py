"""A launcher starts several processes: what is made once is made once, a fit is shared, and one of them speaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillroom import pipeline, search
from stillroom.core import artifact, processes, recipe
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, OutsideError
from tests.conftest import write_toml

#: The command line, with a note of every weight after every step beside it, a file a process.
NOTING = """
import hashlib, os
from stillroom import cli
from stillroom.learner import Learner

plain = Learner.take_step

def take_step(learner, loss, *, rate):
    plain(learner, loss, rate=rate)
    found = hashlib.sha256(b"".join(one.detach().numpy().tobytes() for one in learner.trained))
    with open(f"noted.{os.environ['RANK']}", "a") as file:
        file.write(found.hexdigest() + "\\n")

Learner.take_step = take_step
cli.main()
"""


def launched(folder: Path, *what: str, count: int = 2) -> subprocess.CompletedProcess[str]:
    """So many processes of it, as torchrun starts them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    clean = {"ACCELERATE_USE_CPU": "true"} | {
        name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    }
    return subprocess.run(
        [*launcher, *what], cwd=folder, env=clean, capture_output=True, text=True, timeout=120, check=False
    )


def quick(toy: dict[str, Any]) -> dict[str, Any]:
    """The toy recipe with few steps and no noise; its last batch of an epoch is a single row."""
    toy["teacher"] |= {"epochs": 2, "batch_size": 109}
    toy["student"] |= {"epochs": 4, "batch_size": 109, "dropout": 0.0, "token_dropout": 0.0}
    return toy


@pytest.mark.slow
def test_two_processes_travel_to_the_end_and_come_to_what_one_comes_to(toy: dict[str, Any], tmp_path: Path) -> None:
    write_toml(tmp_path / "toy.toml", quick(toy))
    (tmp_path / "noting.py").write_text(NOTING, encoding="utf-8")
    done = launched(tmp_path, "noting.py", "run", "toy.toml", "--work", "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("teacher and student") == 1, "one of them speaks"
    assert done.stderr.count("corpus: rows") == 1
    assert (tmp_path / "two" / "runs" / "toy" / "dossier" / "report.html").is_file()
    assert not [*(tmp_path / "two").rglob(".draft-*")]

    noted = [(tmp_path / f"noted.{rank}").read_text(encoding="utf-8").splitlines() for rank in (0, 1)]
    assert noted[0] == noted[1]
    assert len(noted[0]) == len(set(noted[0])) > 10

    run = pipeline.run(recipe.parse(toy), work=tmp_path / "one", until="evaluate")
    kept = json.loads((tmp_path / "two" / "runs" / "toy" / "run.json").read_text(encoding="utf-8"))["stages"]
    one = pq.read_table(run.artifacts["evaluate"].folder / "table.parquet")
    two = pq.read_table(tmp_path / "two" / "evaluation" / kept["evaluate"]["key"] / "table.parquet")
    # What they say is held, not their weights: the gradient of a key's bias is nothing but rounding, and Adam makes
    # steps of it. By rounding, these differ by 2e-4; where the gradient of one process counts alone, by 5e-3 or more.
    for whose in ("teacher", "student", "undistilled"):
        name = f"probabilities.{whose}"
        np.testing.assert_allclose(two[name].to_pylist(), one[name].to_pylist(), rtol=0, atol=1e-3, err_msg=whose)
    facts = run.artifacts["train"].manifest["facts"]
    assert facts["rows"] % 109 == 1, "one of two has nothing of the last batch"


@pytest.mark.slow
def test_what_goes_wrong_ends_all_and_is_told_once(toy: dict[str, Any], tmp_path: Path) -> None:
    """Once where the main process alone comes upon it, and once where all do."""
    write_toml(tmp_path / "toy.toml", quick(toy))
    table = Path(toy["corpus"]["labelled"])
    table.write_text(f"{table.read_text(encoding='utf-8')}a text,nonsense\n", encoding="utf-8")
    done = launched(tmp_path, "-m", "stillroom.cli", "corpus", "toy.toml")
    assert done.returncode != 0
    assert done.stderr.count("the label `nonsense`") == 1
    assert "Traceback" not in done.stderr.partition("ChildFailedError")[0].partition("closing signal")[0]
    done = launched(tmp_path, "-m", "stillroom.cli", "corpus", "toy.toml", "--set", "nonsense=1")
    assert done.returncode != 0
    assert done.stderr.count("a key that nothing reads") == 1


@pytest.mark.parametrize(
    ("there", "main", "count"),
    [
        ({}, True, 1),
        ({"RANK": "0", "WORLD_SIZE": "1"}, True, 1),
        ({"RANK": "0", "WORLD_SIZE": "3"}, True, 3),
        ({"RANK": "2", "WORLD_SIZE": "3"}, False, 3),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, False, 2),
    ],
)
def test_which_of_them_this_is(there: dict[str, str], main: bool, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    assert (processes.is_main(), processes.count()) == (main, count)


def test_a_search_wants_to_be_alone(toy: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="without a launcher"):
        search.explore(recipe.parse(toy), work=tmp_path)


def test_a_work_folder_that_is_not_shared_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main process said that it made something, and nothing is to be seen."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(processes, "hear", lambda: False)
    monkeypatch.setattr(artifact, "_SEEN_SECONDS", 0.0)
    with pytest.raises(OutsideError, match="all hosts see it"):
        Store(tmp_path).obtain("corpus", settings={}, inputs={}, make=lambda draft: None)
