"""Measures what teacher and student cost to run: time, memory, disk and money, side by side in one run.

Each measurement is a process of its own with one thread, so that neither side's libraries weigh on the other, and
the two sides take turns, round by round and text by text, so that a machine that slows down slows both.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from stillroom import corpus as corpora
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import InputError, OutsideError, Problem
from stillroom.core.progress import Event, Report, silent
from stillroom.cost_worker import STEP
from stillroom.tasks import Task
from stillroom.teachers import LoadedTeacher, Teacher
from stillroom.transfer_set import TransferSet

STAGE = "cost"
FILE = "cost.json"
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
    "RAYON_RS_NUM_THREADS",
)
_TIMED_TEXTS = 50_000
_FEW_TEXTS, _FEW_ROUNDS, _FEW_A_ROUND = 1024, 3, 16  # for a search, where many points are timed
_SECONDS_PER_HOUR = 3600.0
_PATIENCE, _PATIENCE_A_TEXT = 600.0, 30.0  # seconds that a measurement may take before it counts as hung


def measure(
    *,
    teacher: Teacher,
    teacher_artifact: Artifact,
    loaded: LoadedTeacher,
    bundle: Artifact,
    student: Artifact,
    corpus: corpora.Corpus,
    said: TransferSet,
    task: Task,
    settings: recipe.Cost,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Measure both sides, or find that they were measured. The texts are training rows: speed needs no test."""

    def make(draft: Draft) -> None:
        report(Event(STAGE, note="timing teacher and student, one thread each, in turn"))
        measured = _run_workers(teacher, teacher_artifact, bundle, corpus, task, settings, report)
        measured["teacher"] |= _teacher_facts(teacher, loaded)
        measured["student"] |= _student_facts(student, bundle)
        costs = _money(measured, settings=settings, said=said, student=student, teacher=teacher_artifact)
        artifact.write_json(draft.folder / FILE, {**measured, **costs, "machine": machine()})
        draft.facts["reproducible"] = "no: it holds measurements of time"

    described = {
        **settings.model_dump(mode="json"),
        "teacher": teacher.resolved(),
        "task": task.model_dump(mode="json"),
    }
    inputs = {"teacher": teacher_artifact.digest, "bundle": bundle.digest}
    inputs |= {part.role: part.digest for part in (corpus.train, corpus.unlabelled)}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def machine() -> dict[str, Any]:
    """What the measurements were made on."""
    cpu, flags = platform.processor(), ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                cpu = value.strip()
            if name.strip() == "flags":
                flags = value
    except OSError:
        flags = ""
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    return {"cpu": cpu, "cores": os.cpu_count(), "flags": [one for one in wanted if one in flags.split()]}


def _run_workers(
    teacher: Teacher,
    teacher_artifact: Artifact,
    bundle: Artifact,
    corpus: corpora.Corpus,
    task: Task,
    settings: recipe.Cost,
    report: Report,
) -> dict[str, Any]:
    rounds = settings.repeats
    texts = _texts((corpus.train, corpus.unlabelled), most=_TIMED_TEXTS)
    with tempfile.TemporaryDirectory(prefix="stillroom-cost-") as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        job = {
            "texts": str(path),
            "bundle": str(bundle.folder),
            "teacher": teacher.resolved(),
            "teacher_folder": str(teacher_artifact.folder),
            "task": task.model_dump(mode="json"),
            "teacher_computes": teacher.computes,
            "rounds": rounds,
            "per_round": max(1, settings.texts // rounds),
        }
        both = _worker({**job, "what": "speed"}, report)
        both["student"] |= _worker({**job, "what": "memory"})
    return both


def lightly(
    teacher: Teacher,
    teacher_artifact: Artifact,
    bundle: Artifact,
    parts: Sequence[corpora.Rows[Any]],
    *,
    task: Task,
    beside: bool,
) -> dict[str, Any]:
    """Speed and latency of a bundle on a few texts of these parts, `beside` its teacher or alone: for a search.

    Raises:
        TypeError: there are rows of the test among them.
        InputError: there is no text in them.
    """
    for one in parts:
        corpora.refuse_test(one)
    texts = _texts(parts, most=_FEW_TEXTS)
    with tempfile.TemporaryDirectory(prefix="stillroom-cost-") as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        job = {
            "what": "lightly",
            "texts": str(path),
            "bundle": str(bundle.folder),
            "teacher": teacher.resolved(),
            "teacher_folder": str(teacher_artifact.folder),
            "task": task.model_dump(mode="json"),
            "teacher_computes": teacher.computes and beside,
            "rounds": _FEW_ROUNDS,
            "per_round": _FEW_A_ROUND,
        }
        return _worker(job)


def _texts(parts: Sequence[corpora.Rows[Any]], *, most: int) -> list[str]:
    texts = list(islice(chain.from_iterable(part.texts() for part in parts), most))
    if not texts:
        found, expected = "no text to time teacher and student on", "a training text, with a label or without"
        raise InputError(Problem("corpus", found, expected, "Add `train`, `labelled` or `unlabelled`."))
    return texts


def _worker(job: Mapping[str, Any], report: Report = silent) -> dict[str, Any]:
    """Run one measurement in a process of its own, with one thread, which ends when this process does.

    Raises:
        OutsideError: it failed, or it took far longer than any measurement does.
    """
    environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-m", "stillroom.cost_worker"]
    told = json.dumps({**job, "parent": os.getpid()})
    patience = _PATIENCE + _PATIENCE_A_TEXT * job.get("rounds", 1) * job.get("per_round", 1)
    began = time.monotonic()
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answer:
        asked.write(told.encode())
        asked.seek(0)
        with subprocess.Popen(
            command, stdin=asked, stdout=answer, stderr=subprocess.PIPE, text=True, errors="replace", env=environment
        ) as working:
            timer = threading.Timer(patience, working.kill)
            timer.start()
            try:
                last = _heard(working.stderr or (), report)
                working.wait()
            except BaseException:
                working.kill()
                raise
            finally:
                timer.cancel()
        answer.seek(0)
        said = answer.read().decode()
    if working.returncode != 0 and time.monotonic() - began >= patience:
        found, todo = f"a measuring process that did not end in {patience:g} seconds", "Time fewer texts: `cost.texts`."
        raise OutsideError(Problem("cost", found, "a measurement", todo))
    if working.returncode != 0:
        todo = "Run the stage again; if it goes on, report it with the message."
        raise OutsideError(Problem("cost", f"a measuring process that failed: {last[:200]}", "a measurement", todo))
    measured: dict[str, Any] = json.loads(said.splitlines()[-1])
    return measured


def _heard(lines: Iterable[str], report: Report) -> str:
    """Tell how far a worker is while it writes, and give the last other line that it wrote."""
    last = "no message"
    for line in lines:
        if line.startswith(STEP):
            done, total = line.removeprefix(STEP).split()
            report(Event(STAGE, int(done), int(total), "rounds"))
        else:
            last = line.strip() or last
    return last


def _teacher_facts(teacher: Teacher, loaded: LoadedTeacher) -> dict[str, Any]:
    size = _visible(loaded) if teacher.is_its_network else {"parameters": None, "disk_mb": None}
    return {**size, "price_asked_per_million_texts": loaded.identify().price_per_million_texts}


def _visible(loaded: LoadedTeacher) -> dict[str, Any]:
    """Parameters and disk of a teacher whose network can be seen; nothing of one whose can't."""
    from stillroom.core.errors import MismatchError

    try:
        network = loaded.network()
    except MismatchError:
        return {"parameters": None, "disk_mb": None}
    parameters = list(network.parameters())
    size = sum(one.numel() * one.element_size() for one in parameters)
    return {
        "parameters": sum(one.numel() for one in parameters),
        "disk_mb": (size + len(loaded.tokenizer_json())) / 1e6,
    }


def _student_facts(student: Artifact, bundle: Artifact) -> dict[str, Any]:
    facts = student.manifest["facts"]
    return {
        "parameters": facts["parameters"],
        "flops_per_text": facts["flops_per_text"],
        "disk_mb": disk_mb(bundle),
    }


def disk_mb(bundle: Artifact) -> float:
    """The size of the files that serve a bundle's default runner."""
    described = bundle.read_json("bundle.json")
    names = described["runners"][described["default"]]["files"]
    return float(sum((bundle.folder / name).stat().st_size for name in names)) / 1e6


def _money(
    measured: Mapping[str, Any], *, settings: recipe.Cost, said: TransferSet, student: Artifact, teacher: Artifact
) -> dict[str, Any]:
    """Price per million texts, and the number of texts after which the student has paid for itself."""
    per_second = settings.price_per_vcpu_hour / _SECONDS_PER_HOUR / settings.utilisation
    ledger = said.artifact.circumstances["ledger"]
    billed = ledger["spend"] / ledger["texts"] * 1e6 if ledger["texts"] else None
    asked = measured["teacher"].get("price_asked_per_million_texts") or billed or None
    teacher_price, student_price = (
        price_per_million(measured[side].get("texts_per_second"), settings) for side in ("teacher", "student")
    )
    teacher_price = asked or teacher_price
    seconds = {
        "teacher": float(teacher.circumstances["seconds"]),
        "transfer": float(ledger["seconds"]),
        "train": float(student.circumstances["seconds"]),
    }
    cores = os.cpu_count() or 1
    # The teacher's own fitting is not in it: without a student it would have been fitted all the same.
    spent = (seconds["transfer"] + seconds["train"]) * cores * per_second * settings.utilisation + ledger["spend"]
    saved = None if teacher_price is None or student_price is None else (teacher_price - student_price) / 1e6
    sides = {
        "teacher": {**measured["teacher"], "price_per_million_texts": teacher_price},
        "student": {**measured["student"], "price_per_million_texts": student_price},
    }
    return {
        **sides,
        "price": {
            "per_vcpu_hour": settings.price_per_vcpu_hour,
            "currency": settings.currency,
            "utilisation": settings.utilisation,
        },
        "hidden": {"seconds": seconds, "cores": cores, "spend": spent},
        "break_even_texts": None if saved is None or saved <= 0 else spent / saved,
    }


def price_per_million(texts_per_second: float | None, settings: recipe.Cost) -> float | None:
    """What a million texts cost at such a speed; None where it is not known."""
    per_second = settings.price_per_vcpu_hour / _SECONDS_PER_HOUR / settings.utilisation
    return 1e6 / texts_per_second * per_second if texts_per_second else None


def speedup(rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How many times the teacher's texts per second the student does: the median round, and the lowest and highest."""
    ratios = np.array(rounds["student"]) / np.array(rounds["teacher"])
    return {
        "value": float(np.median(ratios)),
        "low": float(ratios.min()),
        "high": float(ratios.max()),
        "n": len(ratios),
    }
