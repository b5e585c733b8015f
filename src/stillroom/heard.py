"""What was said of the rows of a test: the rows themselves, and the answers of the teacher and of the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillroom import runtime, transfer_set
from stillroom.core.artifact import Artifact
from stillroom.core.progress import Meter
from stillroom.corpus import Corpus
from stillroom.shapes import Outputs
from stillroom.table import BESIDE
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

_AT_ONCE = 1024
_NEVER = -1e4  # a logit that leaves a label no probability at all


@final
@dataclass(frozen=True)
class Told:
    """Texts with what the teacher said of them."""

    ids: Sequence[str]
    texts: Sequence[str]
    logits: Outputs

    def with_more(self, other: Told, *, task: Task) -> Told:
        """Both, one after the other."""
        said = task.form.join([self.logits, other.logits], outputs=len(task.outputs))
        return Told([*self.ids, *other.ids], [*self.texts, *other.texts], said)


def rows(corpus: Corpus, *, task: Task) -> pa.Table:
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


def of_rows(every: pa.Table, *, held: TransferSet, said: TransferSet, task: Task) -> Told:
    """What the teacher said of such rows: `held` is of the test, `said` of those beside it."""
    heard = told(held, task)
    if BESIDE not in every["role"].to_pylist():
        return heard
    beside = told(said, task, only=frozenset(every.filter(pc.field("role") == BESIDE)["id"].to_pylist()))
    return heard.with_more(beside, task=task)


def answered(every: pa.Table, heard: Told) -> pa.Table:
    """The rows that the teacher has an answer for: on the others nobody can be held against it."""
    known = set(heard.ids)
    return every.filter(pa.array([one.partition("-")[0] in known for one in every["id"].to_pylist()], type=pa.bool_()))


def told(said: TransferSet, task: Task, *, part: str | None = None, only: frozenset[str] | None = None) -> Told:
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
    return Told(ids, texts, form.join(parts, outputs=outputs))


def of_teacher(heard: Told, ids: Sequence[str], *, task: Task) -> Outputs:
    """What the teacher said of each row; where a test repeats a text, its later ids end in -2, -3 and so on."""
    place = {one: number for number, one in enumerate(heard.ids)}
    return task.form.take(heard.logits, np.array([place[one.partition("-")[0]] for one in ids], dtype=np.int64))


def of_student(bundle: Artifact, texts: Sequence[str], meter: Meter, *, task: Task) -> Outputs:
    """What the bundle says, through the runner that serves it."""
    predictor = runtime.Predictor(bundle)
    found: list[Outputs] = []
    for start in range(0, len(texts), _AT_ONCE):
        found.append(predictor.calibrated(texts[start : start + _AT_ONCE]))
        meter.advance(len(found[-1]))
    return task.form.join(found, outputs=len(task.outputs))
