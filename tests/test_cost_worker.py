"""The process in which something is measured: heard while it works, told where it fails, and gone with who asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from stillroom import cost, cost_worker
from stillroom.core.errors import OutsideError
from stillroom.core.progress import Event
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS


def test_what_a_worker_writes_beside_its_steps_is_kept_for_a_message() -> None:
    events: list[Event] = []
    lines = (f"{cost_worker.STEP} 0 2\n", "a warning\n", "\n", f"{cost_worker.STEP} 1 2\n")
    assert cost._heard(lines, events.append) == "a warning"
    assert [(event.done, event.total) for event in events] == [(0, 2), (1, 2)]


def test_a_worker_that_fails_is_told(tmp_path: Path) -> None:
    job = {"what": "memory", "texts": str(tmp_path / "none.json")}
    with pytest.raises(OutsideError, match=r"none\.json"):
        cost._worker(job)


@pytest.mark.slow
def test_a_worker_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for texts that nobody ever writes."""
    os.mkfifo(tmp_path / "texts.json")
    monkeypatch.setattr(cost, "_PATIENCE", 0.4)
    monkeypatch.setattr(cost, "_PATIENCE_A_TEXT", 0.1)
    with pytest.raises(OutsideError, match=r"did not end in 0\.8 seconds"):
        cost._worker({"what": "memory", "texts": str(tmp_path / "texts.json"), "per_round": 4})


def test_a_worker_ends_with_who_asked(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "texts.json")
    job = {"what": "memory", "texts": str(tmp_path / "texts.json")}
    code = f"from stillroom import cost; cost._worker({job!r})"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as asking:
        pipe = os.open(tmp_path / "texts.json", os.O_WRONLY)  # once this is open, the worker is there and reads
        try:
            os.kill(asking.pid, signal.SIGKILL)
            with pytest.raises(BrokenPipeError):
                _write_on(pipe, seconds=10)
        finally:
            os.close(pipe)


def _write_on(pipe: int, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        os.write(pipe, b" ")
        time.sleep(0.05)


def test_one_thread_is_what_a_worker_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}

    def begin(*arguments: Any, env: dict[str, str], **options: Any) -> Any:
        seen.update(env)
        raise ChildProcessError

    monkeypatch.setattr("subprocess.Popen", begin)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(ChildProcessError):
        cost._worker({"what": "speed"})
    assert {seen[name] for name in cost._ONE_THREAD} == {"1"}


def test_no_torch_is_loaded_for_a_teacher_that_needs_none(proofreader_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text(json.dumps(["we recieved it", "a fine day"] * 8), encoding="utf-8")
    job = {"texts": str(tmp_path / "texts.json"), "bundle": str(proofreader_folder), "teacher": {"kind": "harper"},
           "teacher_folder": str(tmp_path), "task": {"kind": "proofreading"}, "teacher_computes": True,
           "rounds": 3, "per_round": 2}  # fmt: skip
    code = (
        "import json, sys; sys.modules['torch'] = None; from stillroom import cost_worker; "
        f"print(json.dumps(cost_worker.speed({job!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert all(len(found[side]["rounds"]) == 3 for side in ("teacher", "student"))
    assert found["teacher"]["flops_per_text"] is None


def test_of_texts_that_are_longer_than_a_teacher_reads_its_work_is_that_of_the_longest(classifier_folder: Path) -> None:
    task = Classification(labels=LABELS)
    loaded = Checkpoint(classifier_folder, name="tiny", task=task)
    job = {"teacher": {"kind": "huggingface", "model": str(classifier_folder)}}
    most = int(loaded.network().config.max_position_embeddings)
    whole, longer, short = (cost_worker._flops(job, ["dull " * words], loaded=loaded)
                            for words in (2 * most, 9 * most, 1))  # fmt: skip
    assert whole is not None
    assert short is not None
    assert longer == whole > 4 * short
