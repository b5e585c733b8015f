"""Puts everybody to the test, once: the bundle that ships, its teacher, its undistilled twin and the floor.

This is the one place where test rows are read. What was said is joined by id into one table; `comparison` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillroom import comparison, runtime, transfer_set
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus
from stillroom.export import in_torch
from stillroom.floor import baseline
from stillroom.students import Student
from stillroom.table import BASELINE, STUDENT, TEACHER, UNDISTILLED, align, write_table
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

STAGE = "evaluation"
FILE = "evaluation.json"
TABLE = "table.parquet"
_AT_ONCE = 1024
_NEVER = -1e4  # a logit that leaves a label no probability at all


def judge(
    bundle: Artifact,
    *,
    undistilled: Artifact | None,
    student: Student,
    held: TransferSet,
    corpus: Corpus,
    task: Task,
    settings: recipe.Evaluate,
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Evaluate the bundle, or find that it was evaluated.

    Raises:
        InputError: rows without gold, or answers that do not fit the rows.
    """

    def make(draft: Draft) -> None:
        rows = _rows(corpus)
        texts = rows["text"].to_pylist()
        ids = rows["id"].to_pylist()
        meter = Meter(report, stage="answers", total=len(texts) * (3 if undistilled else 1), unit="texts")
        answers: dict[str, tuple[Sequence[str], NDArray[Any]]] = {TEACHER: (ids, _teacher(held, ids, task))}
        answers[STUDENT] = (ids, _student(bundle, texts, meter))
        if undistilled is not None:  # there is gold to fit it and the floor to
            twin = student.reopen(undistilled.folder, task=task)
            answers[UNDISTILLED] = (ids, in_torch(twin, texts, classes=len(task.outputs))[0])
            meter.advance(len(texts))
            gold = corpus.train.table(["text", "label"])
            answers[BASELINE] = (ids, baseline(gold, texts, classes=len(task.outputs), seed=seed))
            meter.advance(len(texts))
        named = frozenset({TEACHER}) if held.names_labels_only else frozenset()
        table = align(rows, answers, labels=task.outputs, named=named)
        found = comparison.compare(table, metrics=task.metrics, settings=settings, seed=seed, report=report)
        write_table(table, draft.folder / TABLE)
        artifact.write_json(draft.folder / FILE, found)

    described = {
        **settings.model_dump(mode="json"),
        "task": task.model_dump(mode="json"),
        "student": student.resolved(),
        "metrics": list(task.metrics),
        "seed": seed,
    }
    inputs = {"bundle": bundle.digest, "held": held.artifact.digest}
    inputs |= {"undistilled": undistilled.digest} if undistilled else {}
    inputs |= {part.role: part.digest for part in (corpus.train, corpus.test, corpus.outside)}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def _rows(corpus: Corpus) -> pa.Table:
    """Test and outside rows with their role, columns that only one of them has filled with nulls."""
    tables = []
    for part in (corpus.test, corpus.outside):
        table = part.table()
        tables.append(table.append_column("role", pa.array([part.role] * table.num_rows, type=pa.string())))
    return pa.concat_tables(tables, promote_options="default")


def _teacher(held: TransferSet, ids: Sequence[str], task: Task) -> NDArray[np.float32]:
    """What the teacher said of each row; where a test repeats a text, its later ids end in -2, -3 and so on.

    A label alone is written as logits so far apart that no other label has a share; the table is told of it.
    """
    said: dict[str, NDArray[np.float32]] = {}
    for shard in held.shards():
        found = transfer_set.answers(shard)
        if held.names_labels_only:
            found = np.where(np.arange(len(task.outputs)) == found[:, None], 0.0, _NEVER).astype(np.float32)
        said |= dict(zip(shard["id"].to_pylist(), found, strict=True))
    return np.stack([said[one.partition("-")[0]] for one in ids])


def _student(bundle: Artifact, texts: Sequence[str], meter: Meter) -> NDArray[np.float32]:
    """What the bundle says, through the runner that serves it."""
    predictor = runtime.Predictor(bundle)
    found = []
    for start in range(0, len(texts), _AT_ONCE):
        found.append(predictor.logits(texts[start : start + _AT_ONCE]))
        meter.advance(len(found[-1]))
    return np.concatenate(found)
