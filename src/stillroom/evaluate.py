"""Puts everybody to the test, once: the bundle that ships, its teacher, its undistilled twin and the floor.

This is the one place where test rows are read. What was said is joined by id into one table; `comparison` compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from stillroom import (
    aspects,
    comparison,
    contamination,
    flips,
    floors,
    forgotten,
    gap,
    generalisation,
    heard,
    written_slices,
)
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus
from stillroom.export import CHECKED, in_torch
from stillroom.fits import Fits
from stillroom.metrics import Metric
from stillroom.shapes import Outputs
from stillroom.students import Network, Student
from stillroom.table import (
    BASELINE,
    SLICES,
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
    shared: Artifact,
    seed: int,
    store: Store,
    fits: Sequence[Artifact] = (),
    lost: Artifact | None = None,
    peers: Sequence[TransferSet] = (),
    report: Report = silent,
) -> Artifact:
    """Evaluate the bundle, or find that it was evaluated.

    `held` is what the teacher said of test rows. Where texts were made, dev rows of `said` stand for these, and the gap
    between both is measured; where there is no row to test on, every figure says so. `shared` is what
    `contamination.search` found. `fits` are those of the student, a seed each, its own first; `lost` is what they
    forgot of the rows that they learned from.

    Raises:
        InputError: some rows without gold, or answers that do not fit the rows.
    """

    def make(draft: Draft) -> None:
        every = heard.rows(corpus, task=task)
        told = heard.of_rows(every, held=held, said=said, task=task)
        rows = heard.answered(every, told)
        if rows.num_rows < every.num_rows:
            draft.facts["unanswered"] = every.num_rows - rows.num_rows
        made = heard.told(said, task, part=corpus.dev.role) if corpus.made else None
        floor = floors.of(task)
        meets_floor = task.has_floor and (undistilled is not None or not floor.needs_gold)
        others = (undistilled is not None) + meets_floor + (len(fits) if len(fits) > 1 or peers else 0)
        total = rows.num_rows * (1 + others) + (len(made.texts) if made else 0) + generalisation.most(task)
        meter = Meter(report, stage="answers", total=total, unit="texts")
        twin = student.reopen(undistilled.folder, task=task) if undistilled else None
        answers = _answers(bundle, rows, told=told, twin=twin, floor=floor if meets_floor else None, corpus=corpus,
                           task=task, seed=seed, meter=meter)  # fmt: skip
        table, reason = None, _SILENT if corpus.test.count else _UNTESTED
        found = comparison.nothing(task.metrics, settings=settings, reason=reason)
        if not corpus.test.count or not rows.num_rows:
            draft.facts["untested"] = reason
        else:
            named = frozenset({TEACHER}) if held.names_labels_only else frozenset()
            familiar = task.familiar(corpus.train.batches())
            words = aspects.Familiar(batch["text"].to_pylist() for batch in corpus.train.batches())
            numbers = partial(aspects.measure, members=settings.aspects, familiar=words)
            table = align(rows, answers, task=task, named=named, familiar=familiar, aspects=numbers)
            several = _fits(fits, peers, rows, answers, student=student, task=task, named=named, meter=meter)
            found = comparison.compare(table, metrics=task.metrics, settings=settings, seed=seed,
                                       floor=floor.name, fits=several, report=report)  # fmt: skip
            draft.facts |= {} if table.has_gold else {"gold": "none: what the teacher said stands for it"}
            write_table(table, draft.folder / TABLE)
            # In the order of what is told: the primary one first, for whoever compares by these.
            members: list[Metric] = [plugins.build("metrics", name) for name in found["systems"][STUDENT]["scores"]]
            write_statistics(table, members, draft.folder / STATISTICS)
            written_slices.write(table, members[0], draft.folder / SLICES)
            judged = dict(zip(*(rows[name].to_pylist() for name in ("id", "text")), strict=True))
            found |= flips.examples(table, [judged[one] for one in table.ids], metrics=members,
                                    show_texts=settings.show_texts)  # fmt: skip
            tested = _tested(rows, answers, task=task, role=corpus.test.role)
            found["generalisation"] = generalisation.measure(tested, said=said, bundle=bundle, task=task,
                                                             confidence=settings.confidence, meter=meter)  # fmt: skip
        found["contamination"] = contamination.tell(shared, found, table=table, settings=settings, seed=seed)
        if fits:
            found["forgotten"]["learned"] = forgotten.learned(lost, seeds=len(fits), confidence=settings.confidence)
        if made:
            there = gap.Side(made.ids, made.texts, made.logits, heard.of_student(bundle, made.texts, meter, task=task))
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
        "tables": [TABLE, STATISTICS, SLICES],
    }
    inputs = {"bundle": bundle.digest, "held": held.artifact.digest, "shared": shared.digest}
    inputs |= {"undistilled": undistilled.digest} if undistilled else {}
    inputs |= {f"fit[{number}]": one.digest for number, one in enumerate(fits if len(fits) > 1 or peers else ())}
    inputs |= {"lost": lost.digest} if lost else {}
    inputs |= {f"peer[{number}]": one.artifact.digest for number, one in enumerate(peers)}
    inputs |= {"said": said.artifact.digest}
    inputs |= {part.role: part.digest for part in (corpus.train, corpus.test, corpus.outside)}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def _answers(
    bundle: Artifact,
    rows: pa.Table,
    *,
    told: heard.Told,
    twin: Network | None,
    floor: floors.Floor | None,
    corpus: Corpus,
    task: Task,
    seed: int,
    meter: Meter,
) -> Answers:
    """What everybody said of the rows; the twin and the floor only where there is something to fit them to."""
    ids, texts = (rows[name].to_pylist() for name in ("id", "text"))
    answers = {
        TEACHER: (ids, heard.of_teacher(told, ids, task=task)),
        STUDENT: (ids, heard.of_student(bundle, texts, meter, task=task)),
    }
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


def _fits(
    fits: Sequence[Artifact],
    peers: Sequence[TransferSet],
    rows: pa.Table,
    answers: Answers,
    *,
    student: Student,
    task: Task,
    named: frozenset[str],
    meter: Meter,
) -> Fits | None:
    """What every fit of the student says of the rows, all in torch, so that they differ by their seeds alone.

    None: there is one, of one teacher.
    """
    if len(fits) < 2 and not peers:
        return None
    texts, found = rows["text"].to_pylist(), []
    for one in fits:
        found.append(in_torch(student.reopen(one.folder, task=task), texts, task=task)[0])
        meter.advance(len(texts))
    ids = rows["id"].to_pylist()
    others = [heard.of_teacher(heard.told(one, task), ids, task=task) for one in peers]
    return Fits.of(found, [answers[TEACHER][1], *others], rows, task=task, named=named)


def _calibrated(twin: Network, texts: Sequence[str], dev: pa.Table, *, task: Task) -> Outputs:
    """What the twin says, as sure as dev shows it to be right: the bundle beside it is calibrated too."""
    said, form = in_torch(twin, texts, task=task)[0], task.form
    found = task.calibration(in_torch(twin, dev["text"].to_pylist(), task=task)[0], task.gold(dev["label"]))
    return said if found is None else form.with_values(said, form.values(said) / found.value)


def _tested(rows: pa.Table, answers: Answers, *, task: Task, role: str) -> gap.Side:
    """The test rows, without those outside, as a side of the gap."""
    places = np.flatnonzero(np.array(rows["role"].to_pylist()) == role)
    ids, texts = (rows[name].take(places).to_pylist() for name in ("id", "text"))
    return gap.Side(ids, texts, *(task.form.take(answers[system][1], places) for system in (TEACHER, STUDENT)))
