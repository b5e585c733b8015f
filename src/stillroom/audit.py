"""Asks teacher and bundle what no test row asks, and measures what a score on the test does not show.

What to ask is for the probes to say; all their texts go to the teacher once, as one transfer set, and to the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import comparison, heard
from stillroom.core import artifact, plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store, text_id
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus, Rows
from stillroom.metrics import Metric
from stillroom.probes import SIDES, Heard, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows as About
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet

STAGE, FILE = "audit", "audit.json"
_QUESTIONS, _TEXTS, _ROLE = "questions", "questions.parquet", "probes"
_UNTESTED = "no row to begin with: there is no test, or the teacher has no answer to any of it"
_PAID = "the teacher was not asked: it is asked elsewhere; set `ask_teacher = true` under [audit]"

Ask = Callable[[Sequence[Rows[Any]]], TransferSet]
"""Has the teacher asked about some rows."""


def examine(
    bundle: Artifact,
    *,
    ask: Ask,
    held: TransferSet,
    said: TransferSet,
    corpus: Corpus,
    task: Task,
    settings: recipe.Audit,
    evaluate: recipe.Evaluate,
    computes: bool,
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Put both to every probe, or find that they were.

    `held` is what the teacher said of test rows; `computes` says whether asking it is work done here.

    Raises:
        OutsideError: the teacher can't be asked.
    """
    may_ask = computes if settings.ask_teacher is None else settings.ask_teacher
    described = {
        "probes": [one.model_dump(mode="json", serialize_as_any=True) for one in settings.probes],
        "read": [one.sources() for one in settings.probes],
        "rows": settings.rows,
        "task": task.model_dump(mode="json"),
        "seed": seed,
        "evaluate": evaluate.model_dump(mode="json", include={"resamples", "confidence", "min_slice_rows"}),
    }
    inputs = {"bundle": bundle.digest, "held": held.artifact.digest}
    inputs |= {"said": said.artifact.digest} if not task.learns_gold else {}
    inputs |= {part.role: part.digest for part in (corpus.test, corpus.outside)}

    @cache
    def sitting(whole: bool) -> Sitting | None:
        return _sitting(bundle, held=held, said=said, corpus=corpus, task=task, settings=settings, evaluate=evaluate,
                        seed=seed, whole=whole, report=report)  # fmt: skip

    def write(draft: Draft) -> None:
        begun = [(one, sitting(one.whole)) for one in settings.probes]
        texts = [text for one, rows in begun if rows is not None for text in one.texts(rows)]
        _write(draft, list(dict.fromkeys(texts)), task=task)

    questions = store.obtain(_QUESTIONS, settings=described, inputs=inputs, make=write)
    rows: Rows[Any] = Rows(questions.folder / _TEXTS, questions.file_digest(_TEXTS), _ROLE,
                           int(questions.manifest["facts"]["texts"]))  # fmt: skip
    answers = ask([rows]) if may_ask and rows.count else None

    def make(draft: Draft) -> None:
        found = {}
        told = _heard(bundle, rows, answers, unasked="" if may_ask else _PAID, task=task, report=report)
        meter = Meter(report, stage=STAGE, total=len(settings.probes), unit="probes")
        for one in settings.probes:
            begun = sitting(one.whole)
            found[one.kind] = one.nothing(_UNTESTED) if begun is None else one.measure(begun, told)
            meter.advance()
        artifact.write_json(draft.folder / FILE, found)

    inputs = {**inputs, "questions": questions.digest} | ({"answers": answers.artifact.digest} if answers else {})
    return store.obtain(STAGE, settings={**described, "asked": may_ask}, inputs=inputs, make=make)


def _write(draft: Draft, texts: Sequence[str], *, task: Task) -> None:
    nothing = pa.nulls(len(texts))
    columns = {"id": pa.array([text_id(text) for text in texts], type=pa.string()),
               "text": pa.array(texts, type=pa.string()), "label": nothing.cast(task.gold_type()),
               "domain": nothing.cast(pa.string())}  # fmt: skip
    pq.write_table(pa.table(columns), draft.folder / _TEXTS, compression="zstd")
    draft.facts["texts"] = len(texts)


def _sitting(
    bundle: Artifact,
    *,
    held: TransferSet,
    said: TransferSet,
    corpus: Corpus,
    task: Task,
    settings: recipe.Audit,
    evaluate: recipe.Evaluate,
    seed: int,
    whole: bool,
    report: Report,
) -> Sitting | None:
    """The test rows that were drawn, or all, with what both say of them; None: there are none."""
    every = heard.rows(corpus, task=task)
    told = heard.of_rows(every, held=held, said=said, task=task)
    every = heard.answered(every, told)
    roles = np.array(every["role"].to_pylist(), dtype=object)
    gold = task.gold(every["label"])
    judged = np.flatnonzero(task.asked(gold) & (roles == corpus.test.role))
    if not len(judged):
        return None
    rng = seeds.generator(seed, "audit/drawn")
    count = len(judged) if whole else min(settings.rows, len(judged))
    drawn = np.sort(rng.choice(judged, size=count, replace=False))
    # What gold speaks of has to be there too, and is judged by nobody.
    kept = np.sort(np.concatenate([drawn, np.flatnonzero(~task.asked(gold))]))
    some = every.take(kept)
    texts, ids = (some[name].to_pylist() for name in ("text", "id"))
    meter = Meter(report, stage="answers", total=len(texts), unit="texts")
    outputs = {TEACHER: heard.of_teacher(told, ids, task=task),
               STUDENT: heard.of_student(bundle, texts, meter, task=task)}  # fmt: skip
    gold = task.gold(some["label"])
    gold = gold if task.known(gold).any() else task.named(outputs[TEACHER])
    about = About(texts, ids, [one or "" for one in some["domain"].to_pylist()],
                  np.zeros(len(texts), dtype=np.bool_))  # fmt: skip
    named = frozenset({TEACHER}) if held.names_labels_only else frozenset[str]()
    members: list[Metric] = [plugins.build("metrics", name) for name in task.metrics]
    first = task.answered(gold, outputs[STUDENT], outputs[TEACHER], rows=about)
    columns = {
        name.removeprefix("column."): ["" if one is None else str(one) for one in some[name].to_pylist()]
        for name in some.column_names
        if name.startswith("column.")
    }
    return Sitting(task, about, gold, np.flatnonzero(np.isin(kept, drawn)), outputs,
                   comparison.primary(members, first), named, columns, evaluate.confidence, evaluate.resamples,
                   evaluate.min_slice_rows, seed, settings.rows)  # fmt: skip


def _heard(
    bundle: Artifact, rows: Rows[Any], answers: TransferSet | None, *, unasked: str, task: Task, report: Report
) -> Heard:
    """What both said of the probes' texts."""
    texts = list(rows.texts())
    meter = Meter(report, stage="answers", total=len(texts), unit="texts")
    outputs: dict[str, Any] = {STUDENT: heard.of_student(bundle, texts, meter, task=task)}
    places: dict[str, Mapping[str, int]] = {STUDENT: {text: place for place, text in enumerate(texts)}}
    if not unasked:
        told = None if answers is None else heard.told(answers, task)
        outputs[TEACHER] = task.form.join([] if told is None else [told.logits], outputs=len(task.outputs))
        places[TEACHER] = {} if told is None else {text: place for place, text in enumerate(told.texts)}
    return Heard(task, places, {side: outputs[side] for side in SIDES if side in outputs}, unasked)
