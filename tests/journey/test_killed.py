"""`kill -9` at random moments, one after the other: in the end there are the digests of an undisturbed run."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import random
import shutil
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_toy, sentences, write_csv

_MOMENTS = 3
_PATIENCE_SECONDS = 60
_LATER_SECONDS = 0.02  # a few steps or a shard: in the middle of whatever comes next


def travel(toy: dict[str, Any], work: Path) -> None:
    """The journey up to the student, in a process of its own."""
    from stillroom import pipeline
    from stillroom.core import recipe

    pipeline.run(recipe.parse(toy), work=work, until="train")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that have the heavy imports behind them, so that a test waits for work and not for starts."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "stillroom.pipeline",
            "torch",
            "transformers",
            "transformers.models.bert.modeling_bert",  # `transformers` loads what it is asked for, and not before
            "transformers.core_model_loading",
            "accelerate",
            "sklearn.linear_model",
        ]
    )
    return context


@pytest.fixture(scope="module")
def calm(
    processes: ForkServerContext, encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path]:
    """A recipe whose transfer and training take a little while, and the work of an undisturbed run."""
    folder = tmp_path_factory.mktemp("killed")
    table = write_csv(folder / "toy.csv", sentences())
    toy = make_toy(table, encoder_folder)
    toy["transfer"] = {"shard_rows": 16}
    toy["train"] = {"checkpoint_seconds": 0.0}
    toy["student"]["batch_size"] = 8
    assert finished(processes, toy, folder / "calm") == 0
    return toy, folder / "calm"


def started(processes: ForkServerContext, toy: dict[str, Any], work: Path) -> ForkServerProcess:
    process = processes.Process(target=travel, args=(toy, work))
    process.start()
    return process


def finished(processes: ForkServerContext, toy: dict[str, Any], work: Path) -> int | None:
    process = started(processes, toy, work)
    process.join()
    return process.exitcode


def digests(work: Path) -> dict[str, str]:
    run = json.loads((work / "runs" / "toy" / "run.json").read_text(encoding="utf-8"))
    return {stage: found["digest"] for stage, found in run["stages"].items()}


def killed_when(process: ForkServerProcess, sign: Callable[[], bool]) -> bool:
    """Kill a process a moment, drawn by chance, after something can be seen; whether it was still running."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until and process.is_alive():
        if sign():
            time.sleep(random.uniform(0.0, _LATER_SECONDS))
            process.kill()
            process.join()
            return process.exitcode == -9
        time.sleep(0.0005)
    process.join()
    return False


def counted(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def asked(work: Path, pattern: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in work.glob(pattern)}


@pytest.mark.slow
def test_killed_while_asking(processes: ForkServerContext, calm: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    toy, before = calm
    work = tmp_path / "work"
    shutil.copytree(before, work)
    for stage in ("transfer", "studied", "student"):
        shutil.rmtree(work / stage)
    drafts = "transfer/.draft-*/shard-*.parquet"
    kept: dict[str, int] = {}

    def reached(aim: int) -> bool:
        return counted(work, drafts) >= aim

    for wanted in sorted(random.sample(range(1, 13), _MOMENTS)):
        aim = max(wanted, len(kept) + 1)
        assert killed_when(started(processes, toy, work), partial(reached, aim)), "over too soon"
        found = asked(work, drafts)
        assert len(found) >= aim
        assert kept.items() <= found.items(), "a finished shard was asked for again"
        kept = found
    assert finished(processes, toy, work) == 0
    assert digests(work) == digests(before)
    assert kept.items() <= asked(work, "transfer/*/shard-*.parquet").items(), "a finished shard was asked for again"
    manifest = json.loads(next(work.glob("transfer/*/manifest.json")).read_text(encoding="utf-8"))
    shards = [line["shard"] for line in manifest["circumstances"]["ledger"]["shards"]]
    assert len(shards) == len(set(shards))


@pytest.mark.slow
def test_killed_while_training(processes: ForkServerContext, calm: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    toy, before = calm
    work = tmp_path / "work"
    shutil.copytree(before, work)
    shutil.rmtree(work / "student")

    def step() -> int:
        """How far the checkpoint is; while one replaces another, either of them may be the whole one."""
        found = [0]
        for path in work.glob("student/.draft-*/fit/checkpoint*/state.json"):
            with contextlib.suppress(OSError, ValueError):
                found.append(int(json.loads(path.read_text(encoding="utf-8"))["step"]))
        return max(found)

    def past(aim: int) -> bool:
        return step() >= aim

    reached = 0
    for wanted in sorted(random.sample(range(1, 101), _MOMENTS)):
        aim = max(wanted, reached + 1)
        assert killed_when(started(processes, toy, work), partial(past, aim)), "over too soon"
        assert step() >= aim, "it began anew"
        reached = step()
    assert finished(processes, toy, work) == 0
    assert digests(work) == digests(before)
