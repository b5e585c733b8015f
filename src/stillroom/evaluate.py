"""Puts everybody to the test, once: the bundle that ships, its teacher, its undistilled twin and the floor.

This is the one place where test rows are read. What was said is joined by id into one table; `comparison` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillroom import aspects, comparison, floors, gap, runtime, transfer_set
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus
from stillroom.export import CHECKED, in_torch
from stillroom.metrics import Metric
from stillroom.shapes import Outputs
from stillroom.students import Network, Student
from stillroom.table import (
    BASELINE,
    BESIDE,
    STATISTICS,
    STUDENT,
    TABLE,
    TEACHER,
    UNDISTILLED,
    align,
    write_statistics,
    write_table,
)
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

STAGE = "evaluation"
FILE = "evaluation.json"
Answers = dict[str, tuple[Sequence[str], Outputs]]
"""Ids and outputs, by who gave them."""

_AT_ONCE = 1024
_NEVER = -1e4  # a logit that leaves a label no probability at all
_UNTESTED = "no row to test on: the texts were made, and the corpus has no `real` source"
_SILENT = "no row to test on: the teacher has no answer for any"


def judge(
    bundle: Artifact,
    *,
    undistilled: Artifact | None,
    student: Student,
    held: TransferSet,
    said: TransferSet,
    corpus: Corpus,
    task: Task,
    settings: recipe.Evaluate,
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Evaluate the bundle, or find that it was evaluated.

    `held` is what the teacher said of test rows. Where texts were made, dev rows of `said` stand for these, and the gap
    between both is measured; where there is no row to test on, every figure says so.

    Raises:
        InputError: some rows without gold, or answers that do not fit the rows.
    """

    def make(draft: Draft) -> None:
        every = _rows(corpus, task=task)
        heard = _told(held, task)
        if BESIDE in every["role"].to_pylist():
            beside = _told(said, task, only=frozenset(every.filter(pc.field("role") == BESIDE)["id"].to_pylist()))
            heard = heard.with_more(beside, task=task)
        rows = _answered(every, heard)
        if rows.num_rows < every.num_rows:
            draft.facts["unanswered"] = every.num_rows - rows.num_rows
        made = _told(said, task, part=corpus.dev.role) if corpus.made else None
        floor = floors.of(task)
        meets_floor = task.has_floor and (undistilled is not None or not floor.needs_gold)
        others = (undistilled is not None) + meets_floor
        total = rows.num_rows * (1 + others) + (len(made.texts) if made else 0)
        meter = Meter(report, stage="answers", total=total, unit="texts")
        twin = student.reopen(undistilled.folder, task=task) if undistilled else None
        answers = _answers(bundle, rows, heard=heard, twin=twin, floor=floor if meets_floor else None, corpus=corpus,
                           task=task, seed=seed, meter=meter)  # fmt: skip
        reason = _SILENT if corpus.test.count else _UNTESTED
        found = comparison.nothing(task.metrics, settings=settings, reason=reason)
        if not corpus.test.count or not rows.num_rows:
            draft.facts["untested"] = reason
        else:
            named = frozenset({TEACHER}) if held.names_labels_only else frozenset()
            familiar = task.familiar(corpus.train.batches())
            words = aspects.Familiar(batch["text"].to_pylist() for batch in corpus.train.batches())
            numbers = partial(aspects.measure, members=settings.aspects, familiar=words)
            table = align(rows, answers, task=task, named=named, familiar=familiar, aspects=numbers)
            found = comparison.compare(table, metrics=task.metrics, settings=settings, seed=seed,
                                       floor=floor.name, report=report)  # fmt: skip
            draft.facts |= {} if table.has_gold else {"gold": "none: what the teacher said stands for it"}
            write_table(table, draft.folder / TABLE)
            # In the order of what is told: the primary one first, for whoever compares by these.
            members: list[Metric] = [plugins.build("metrics", name) for name in found["systems"][STUDENT]["scores"]]
            write_statistics(table, members, draft.folder / STATISTICS)
        if made:
            there = gap.Side(made.ids, made.texts, made.logits, _student(bundle, made.texts, meter, task=task))
            real = _tested(rows, answers, task=task, role=corpus.test.role)
            found["gap"] = gap.measure(there, real, names_labels_only=said.names_labels_only,
                                       settings=settings, seed=seed)  # fmt: skip
        artifact.write_json(draft.folder / FILE, found)

    described = {
        **settings.model_dump(mode="json", serialize_as_any=True),
        "read_with": {one.kind: one.sources() for one in settings.aspects},
        "task": task.model_dump(mode="json"),
        "student": student.resolved(),
        "metrics": list(task.metrics),
        "seed": seed,
    }
    inputs = {"bundle": bundle.digest, "held": held.artifact.digest}
    inputs |= {"undistilled": undistilled.digest} if undistilled else {}
    inputs |= {"said": said.artifact.digest} if corpus.made or not task.learns_gold else {}
    inputs |= {part.role: part.digest for part in (corpus.train, corpus.test, corpus.outside)}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def _rows(corpus: Corpus, *, task: Task) -> pa.Table:
    """Test and outside rows with their role, columns that only one of them has filled with nulls.

    Beside them stand the rows without labels that their gold speaks of, if it speaks of any.
    """
    tables, domains = [], frozenset[str]()
    for part in (corpus.test, corpus.outside):
        table = part.table()
        tables.append(table.append_column("role", pa.array([part.role] * table.num_rows, type=pa.string())))
        domains |= task.beside(task.gold(table["label"]))
    if domains:
        wanted = pc.field("domain").isin(sorted(domains))
        kept = [batch.filter(wanted) for batch in corpus.unlabelled.batches()]
        found = pa.Table.from_batches(kept)
        tables.append(found.append_column("role", pa.array([BESIDE] * found.num_rows, type=pa.string())))
    return pa.concat_tables(tables, promote_options="default")


def _answers(
    bundle: Artifact,
    rows: pa.Table,
    *,
    heard: _Told,
    twin: Network | None,
    floor: floors.Floor | None,
    corpus: Corpus,
    task: Task,
    seed: int,
    meter: Meter,
) -> Answers:
    """What everybody said of the rows; the twin and the floor only where there is something to fit them to."""
    ids, texts = (rows[name].to_pylist() for name in ("id", "text"))
    answers = {TEACHER: (ids, _teacher(heard, ids, task)), STUDENT: (ids, _student(bundle, texts, meter, task=task))}
    if twin is not None:
        answers[UNDISTILLED] = (ids, _calibrated(twin, texts, corpus.dev.table(["text", "label"]).slice(0, CHECKED),
                                                 task=task))  # fmt: skip
        meter.advance(len(texts))
    if floor is not None:
        parts = (corpus.train,) if floor.needs_gold else (corpus.train, corpus.unlabelled)
        known = pa.concat_tables([part.table(["text", "label"]) for part in parts])
        answers[BASELINE] = (ids, floor.say(known, texts, task=task, seed=seed))
        meter.advance(len(texts))
    return answers


def _calibrated(twin: Network, texts: Sequence[str], dev: pa.Table, *, task: Task) -> Outputs:
    """What the twin says, as sure as dev shows it to be right: the bundle beside it is calibrated too."""
    said, form = in_torch(twin, texts, task=task)[0], task.form
    found = task.calibration(in_torch(twin, dev["text"].to_pylist(), task=task)[0], task.gold(dev["label"]))
    return said if found is None else form.with_values(said, form.values(said) / found.value)


def _answered(rows: pa.Table, heard: _Told) -> pa.Table:
    """The rows that the teacher has an answer for: on the others nobody can be held against it."""
    known = set(heard.ids)
    return rows.filter(pa.array([one.partition("-")[0] in known for one in rows["id"].to_pylist()], type=pa.bool_()))


def _teacher(heard: _Told, ids: Sequence[str], task: Task) -> Outputs:
    """What the teacher said of each row; where a test repeats a text, its later ids end in -2, -3 and so on."""
    place = {one: number for number, one in enumerate(heard.ids)}
    return task.form.take(heard.logits, np.array([place[one.partition("-")[0]] for one in ids], dtype=np.int64))


@final
@dataclass(frozen=True)
class _Told:
    """Texts with what the teacher said of them."""

    ids: Sequence[str]
    texts: Sequence[str]
    logits: Outputs

    def with_more(self, other: _Told, *, task: Task) -> _Told:
        """Both, one after the other."""
        said = task.form.join([self.logits, other.logits], outputs=len(task.outputs))
        return _Told([*self.ids, *other.ids], [*self.texts, *other.texts], said)


def _told(said: TransferSet, task: Task, *, part: str | None = None, only: frozenset[str] | None = None) -> _Told:
    """What a transfer set holds, or one part of it, or only some ids.

    What is only named is written as logits so far apart that nothing else has a share; the table is told of it.
    """
    form, outputs = task.form, len(task.outputs)
    ids: list[str] = []
    texts: list[str] = []
    parts: list[Outputs] = []
    for shard in said.shards():
        if not shard.num_rows or part not in (None, transfer_set.part_of(shard)):
            continue
        if only is not None:
            shard = shard.filter(pc.field("id").isin(sorted(only)))
        found = form.answers(shard)
        if said.names_labels_only:
            named = form.values(found)[:, None]
            found = form.with_values(found, np.where(np.arange(outputs) == named, 0.0, _NEVER).astype(np.float32))
        ids += shard["id"].to_pylist()
        texts += shard["text"].to_pylist()
        parts.append(found)
    return _Told(ids, texts, form.join(parts, outputs=outputs))


def _tested(rows: pa.Table, answers: Answers, *, task: Task, role: str) -> gap.Side:
    """The test rows, without those outside, as a side of the gap."""
    places = np.flatnonzero(np.array(rows["role"].to_pylist()) == role)
    ids, texts = (rows[name].take(places).to_pylist() for name in ("id", "text"))
    return gap.Side(ids, texts, *(task.form.take(answers[system][1], places) for system in (TEACHER, STUDENT)))


def _student(bundle: Artifact, texts: Sequence[str], meter: Meter, *, task: Task) -> Outputs:
    """What the bundle says, through the runner that serves it."""
    predictor = runtime.Predictor(bundle)
    found: list[Outputs] = []
    for start in range(0, len(texts), _AT_ONCE):
        found.append(predictor.calibrated(texts[start : start + _AT_ONCE]))
        meter.advance(len(found[-1]))
    return task.form.join(found, outputs=len(task.outputs))
