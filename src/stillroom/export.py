"""Makes the bundle that people ship: the student's own weights, the formats asked for, and what they were checked on.

What is measured afterwards is this bundle, through the same runner that serves it. Only dev rows are used here.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pyarrow as pa

from stillroom import layouts, runtime
from stillroom.core import artifact, batches, plugins, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import OutsideError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Dev, Rows
from stillroom.documents import Evidence
from stillroom.documents.model_card import ModelCard
from stillroom.formats import Checks
from stillroom.metrics import Metric
from stillroom.runtime.runners import Runner, Serve
from stillroom.shapes import Outputs, Shape
from stillroom.students import Network, Student
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

STAGE = "bundle"
CHECKED = 1000  # dev texts that an export is checked on, at most
_ROUNDS = 3
_ENOUGH_SECONDS = 20.0  # of answers, after which no further round is timed: a student that writes takes minutes for one
_NATIVE_PARITY = 2e-2  # of a logit: weights are kept in half precision, sums run in another order
_OWN = {"log.jsonl"}  # of the student's folder, what a bundle does not need


@final
@dataclass(frozen=True)
class _Candidate:
    """A way to serve the student, and what was seen of it."""

    name: str
    runner: Runner
    files: tuple[str, ...]
    checks: Checks
    texts_per_second: float
    objection: str
    off: float
    """By how much a logit differs as it is served, with what dev chose."""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """What dev chose about it."""


def bundle(
    student: Student,
    trained: Artifact,
    *,
    task: Task,
    dev: Rows[Dev],
    settings: recipe.Export,
    said: TransferSet,
    rights: Mapping[str, Any],
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Write the bundle of a trained student, or find it.

    On dev, what the teacher said stands for gold where there is none. Its model card tells of the teacher and of
    `rights`, those in the corpus.

    Raises:
        OutsideError: no way to serve it passed its checks.
    """
    described = {"student": student.resolved(), "task": task.model_dump(mode="json"), "export": _plain(settings)}
    made_of = {
        "teacher": {name: said.teacher.get(name) for name in ("name", "licence", "weights")},
        "rights": {name: value for name, value in rights.items() if name != "inputs"},
    }
    described |= {"made_of": made_of}
    inputs = {"student": trained.digest, "dev": dev.digest, "said": said.artifact.digest}

    def make(draft: Draft) -> None:
        kept = _write(student, trained, draft, task=task, dev=dev, said=said, settings=settings, report=report)
        _card(draft, kept, student=student, trained=trained, task=task, made_of=made_of)

    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def weight_bits(settings: recipe.Export) -> int:
    """How many bits the formats keep of a weight, for whoever trains under their rounding; 7 where none rounds."""
    return min((one.rounds_to for one in settings.formats if one.rounds_to is not None), default=7)


def _plain(settings: recipe.Export) -> dict[str, Any]:
    return dict(settings.model_dump(mode="json", serialize_as_any=True))


def _write(
    student: Student,
    trained: Artifact,
    draft: Draft,
    *,
    task: Task,
    dev: Rows[Dev],
    said: TransferSet,
    settings: recipe.Export,
    report: Report,
) -> Sequence[_Candidate]:
    """What serves the student, its golden answers and its description; and which candidates were kept."""
    for name in trained.manifest["files"]:
        if name not in _OWN:
            shutil.copyfile(trained.folder / name, draft.folder / name)
    network = student.reopen(draft.folder, task=task)
    first = dev.table(["id", "text", "label"]).slice(0, CHECKED)
    judge = _Judge(network, *said.answers(first, part=dev.role, task=task), task=task)
    candidates = _candidates(student, network, draft, judge=judge, settings=settings, report=report)
    kept = [one for one in candidates if not one.objection]
    if not kept:
        found = "; ".join(f"{one.name}: {one.objection}" for one in candidates)
        todo = "Loosen the format's tolerance, or add the format `onnx`."
        raise OutsideError(Problem("export", found, "one way to serve the student that passes", todo))
    default = max(kept, key=lambda one: one.texts_per_second)
    needed = {name for one in kept for name in one.files}
    for layout in settings.layouts:
        folder = draft.folder / layouts.FOLDER / layout.kind
        folder.mkdir(parents=True)
        layout.write(network, folder)
    needed |= {str(path.relative_to(draft.folder)) for path in (draft.folder / layouts.FOLDER).rglob("*")}
    for path in [path for path in draft.folder.rglob("*") if path.is_file()]:
        if path.relative_to(draft.folder).as_posix() not in needed:
            path.unlink()
    serve = default.runner.open(draft.folder, threads=1)
    temperature = task.calibration(serve(judge.texts), task.gold(first["label"])) if task.learns_gold else None
    draft.circumstances["checked_by"] = judge.metric
    draft.facts["calibration"] = temperature.as_dict() if temperature else None
    _describe(draft, task=task, student=student, kept=kept, default=default, candidates=candidates)
    # Made-up texts: a bundle travels, and nobody's words should travel with it.
    _golden(draft, texts=[row.text for row in task.toy()][: settings.golden], runner=default.runner, form=task.form)
    return kept


def _card(
    draft: Draft,
    kept: Sequence[_Candidate],
    *,
    student: Student,
    trained: Artifact,
    task: Task,
    made_of: Mapping[str, Any],
) -> None:
    """The model card that travels in the bundle: nothing is measured yet, and it says so."""
    sizes = {one.name: sum((draft.folder / name).stat().st_size for name in one.files) / 1e6 for one in kept}
    told = {
        "task": task.kind,
        "hub_task": task.hub_task,
        "labels": list(task.names),
        "student": {
            "kind": student.kind,
            "parameters": trained.manifest["facts"]["parameters"],
            "variants": [{**one, "disk_mb": sizes.get(one["format"])} for one in draft.facts["variants"]],
        },
        "teacher": {"identity": made_of["teacher"]},
        "corpus": {"rights": made_of["rights"]},
        "stages": {"train": {"digest": trained.digest}},
    }
    card = ModelCard()
    artifact.write_text(draft.folder / card.name, card.shipped(Evidence(told)))


def _candidates(
    student: Student,
    network: Network,
    draft: Draft,
    *,
    judge: _Judge,
    settings: recipe.Export,
    report: Report,
) -> list[_Candidate]:
    meter = Meter(report, stage="export", total=1 + len(settings.formats), unit="forms")
    found: list[_Candidate] = []
    native = student.runner(draft.folder, texts=judge.texts) if judge.task.shape in student.serves_itself else None
    if native is not None:
        own = tuple(sorted(path.name for path in draft.folder.iterdir()))
        checks, speed = judge.checks(native.open(draft.folder, threads=1), before=judge.torch_per_second)
        gap = checks.largest_difference
        objection = "" if gap <= _NATIVE_PARITY else f"outputs differ from torch by {gap:.2g}"
        found.append(_Candidate(student.kind, native, own, checks, speed, objection, gap))
    meter.advance()
    quickest_export = judge.torch_per_second
    for form in settings.formats:
        meter.note(f"writing {form.kind}")
        runner, files = form.write(network, draft.folder)
        plain = runner.open(draft.folder, threads=1)
        tuned, chosen = form.tuned(runner, draft.folder, dev=judge)
        serve = plain if tuned is runner else tuned.open(draft.folder, threads=1)
        checks, speed = judge.checks(serve, before=quickest_export, plain=plain)
        objection = form.objection(checks)
        off = checks.largest_difference if tuned is runner else judge.gap(serve)
        found.append(_Candidate(form.kind, tuned, files, checks, speed, objection, off, chosen))
        if objection:
            meter.note(f"{form.kind} is not kept: {objection}")
        else:
            quickest_export = max(quickest_export, speed)
        meter.advance()
    return found


@final
class _Judge:
    """Compares a served student with the student in torch, on dev."""

    def __init__(self, network: Network, rows: pa.Table, teacher: Outputs, *, task: Task) -> None:
        self._metric: Metric = plugins.build("metrics", task.metrics[0])
        gold = task.gold(rows["label"])
        self._gold = np.where(task.known(gold) & task.learns_gold, gold, task.named(teacher))
        self.texts: Sequence[str] = rows["text"].to_pylist()
        self.task, self.metric = task, self._metric.kind
        self._reference, self.torch_per_second = in_torch(network, self.texts, task=task)
        self._score = self.score(self._reference)

    def checks(self, serve: Serve, *, before: float, plain: Serve | None = None) -> tuple[Checks, float]:
        """Parity, the metric and the speed; parity is that of `plain`, where dev has chosen how it is served."""
        said, speed = _timed(serve, self.texts)
        gap = self.gap(serve, said=said) if plain is None or plain is serve else self.gap(plain)
        return Checks(largest_difference=gap, metric_loss=self.loss(said), speed=speed / before), speed

    def gap(self, serve: Serve, *, said: Outputs | None = None) -> float:
        """The largest difference of a logit, at several batch sizes and lengths; `said`: all of it, if known."""
        form, whole = self.task.form, serve(self.texts) if said is None else said
        gaps = [form.gap(whole, self._reference)]
        for size in (1, 3, 17):
            some = self.texts[:size]
            gaps.append(form.gap(serve(some), form.take(self._reference, np.arange(len(some)))))
        return float(np.max(gaps))  # where any is no number, neither is this: Python's own `max` would pass it over

    def loss(self, said: Outputs) -> float:
        """How much worse than in torch."""
        loss = self._score - self.score(said)
        return loss if self._metric.higher_is_better else -loss

    def score(self, said: Outputs) -> float:
        """The metric."""
        return self._metric.score(self.task.answered(self._gold, said, said))


def _timed(serve: Serve, texts: Sequence[str]) -> tuple[Outputs, float]:
    """What is said of texts, and how many a second: the median of some rounds after the first, if there is time."""
    seconds: list[float] = []
    while True:
        started = time.perf_counter()
        said = serve(texts)
        seconds.append(time.perf_counter() - started)
        if len(seconds) > _ROUNDS or sum(seconds) > _ENOUGH_SECONDS:
            return said, len(texts) / float(np.median(seconds[1:] or seconds))


def in_torch(network: Network, texts: Sequence[str], *, task: Task) -> tuple[Outputs, float]:
    """What the student says in torch, on one thread, and how quickly."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        started = time.perf_counter()
        with torch.inference_mode():
            ids, words = task.form.read(network, texts)
            sheet = task.form.sheet(len(texts), outputs=len(task.outputs), words=words)
            network.module.eval()
            for rows in batches.by_tokens([len(one) for one in ids], budget=batches.ON_CPU):
                padded, mask = batches.pad([ids[row] for row in rows])
                told = task.form.told(network, torch.from_numpy(padded), torch.from_numpy(mask),
                                      texts=[texts[row] for row in rows.tolist()])  # fmt: skip
                sheet.put(rows, told)
        return sheet.outputs, len(texts) / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)


def _describe(
    draft: Draft,
    *,
    task: Task,
    student: Student,
    kept: Sequence[_Candidate],
    default: _Candidate,
    candidates: Sequence[_Candidate],
) -> None:
    runners = {
        one.name: {
            "settings": one.runner.model_dump(mode="json", serialize_as_any=True),
            "files": list(one.files),
            "parity": _parity(one, default),
            **({"chosen": dict(one.chosen)} if one.chosen else {}),
        }
        for one in kept
    }
    calibrated = draft.facts["calibration"] or {"temperature": 1.0}
    described = {
        "task": task.model_dump(mode="json"),
        "student": student.kind,
        "default": default.name,
        "temperature": calibrated["temperature"],
    }
    artifact.write_json(draft.folder / runtime.BUNDLE, {**described, "runners": runners})
    draft.facts["variants"] = [
        {"format": one.name, "kept": not one.objection, "reason": one.objection or "passed its checks", **one.chosen}
        for one in candidates
    ]
    if len(candidates) > 1:
        draft.facts["reproducible"] = "in part: what is kept and which one is the default is decided by speed"
    # Speeds are of this machine at this moment: beside the digest, not in it.
    draft.circumstances["checks"] = {
        one.name: {**_numbers(one.checks), "texts_per_second": one.texts_per_second} for one in candidates
    }


def _parity(one: _Candidate, default: _Candidate) -> float:
    """By how much its golden answers may differ elsewhere: ten times what was seen here, and never nothing.

    Another machine adds in another order. The golden answers are the default's: what that is off by as it is served
    counts for every other runner, but not for itself, whose golden answers these are.
    """
    here = default.checks.largest_difference if one is default else max(one.off, default.off)
    return max(1e-3, 10 * here)


def _numbers(checks: Checks) -> dict[str, float | None]:
    """The checks as JSON has them: a figure that is no number is none."""
    return {name: value if math.isfinite(value) else None for name, value in vars(checks).items()}


def _golden(draft: Draft, *, texts: Sequence[str], runner: Runner, form: Shape) -> None:
    told = form.lines(runner.open(draft.folder, threads=1)(texts))
    rows = [{"text": text, **line} for text, line in zip(texts, told, strict=True)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    artifact.write_text(draft.folder / runtime.GOLDEN, lines)
