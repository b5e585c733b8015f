"""Asks teacher and bundle what no test row asks, and measures what a score on the test does not show.

What to ask is for the probes to say; all their texts go to the teacher once, as one transfer set, and to the bundle.
What a probe asks when it has heard that goes to them in further rounds, each a transfer set of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import count
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import comparison, heard
from stillroom.core import artifact, plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store, text_id
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus, Rows
from stillroom.metrics import Metric
from stillroom.probes import SECOND, SIDES, Heard, Probe, Sitting
from stillroom.shapes import Outputs
from stillroom.students import Inside
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows as About
from stillroom.tasks import Task
from stillroom.teachers import Teacher
from stillroom.transfer_set import TransferSet

STAGE, FILE = "audit", "audit.json"
_QUESTIONS, _TEXTS, _STUDENTS, _ROLE = "questions", "questions.parquet", "student.json", "probes"
_UNTESTED = "no row to begin with: there is no test, or the teacher has no answer to any of it"
_ELSEWHERE = "the teacher was not asked: it answers elsewhere; set `ask_teacher = true` under [audit] if that may cost"
_RECORDED = "the teacher was not asked: it knows no text but those that were recorded"
_UNWANTED = "the teacher was not asked, as the recipe says"

Ask = Callable[[Sequence[Rows[Any]]], TransferSet]
"""Has the teacher asked about some rows."""

Look = Mapping[str, Callable[[], Inside | None]]
"""By side: opens its network to be looked into, where it has one that can be."""


@final
@dataclass(frozen=True)
class Second:
    """A teacher of the same kind by another seed: probes that want a ceiling put the same to it."""

    held: TransferSet
    """What it said of test rows."""
    ask: Ask
    look: Callable[[], Inside | None]


def examine(
    bundle: Artifact,
    *,
    ask: Ask,
    held: TransferSet,
    said: TransferSet,
    corpus: Corpus,
    task: Task,
    probes: Sequence[Probe],
    settings: recipe.Audit,
    evaluate: recipe.Evaluate,
    teacher: Teacher,
    look: Look,
    seed: int,
    store: Store,
    second: Second | None = None,
    report: Report = silent,
) -> Artifact:
    """Put both to every probe, or find that they were.

    `held` is what the teacher said of test rows; a `second` one is asked by the probes that want a ceiling.

    Raises:
        OutsideError: the teacher can't be asked.
    """
    unasked = unasked_why(teacher, settings)
    if unasked or not any(one.asks_second for one in probes):
        second = None
    described = {
        "probes": [one.model_dump(mode="json", serialize_as_any=True) for one in probes],
        "read": [one.sources() for one in probes],
        # What has come to be measured since is measured too.
        "figures": [one.paths for one in probes],
        "rows": settings.rows,
        "task": task.model_dump(mode="json"),
        "seed": seed,
        "evaluate": evaluate.model_dump(mode="json", include={"resamples", "confidence", "min_slice_rows"}),
    }
    inputs = {"bundle": bundle.digest, "held": held.artifact.digest}
    inputs |= {"said": said.artifact.digest} if not task.learns_gold else {}
    inputs |= {part.role: part.digest for part in (corpus.test, corpus.outside)}
    inputs |= {} if second is None else {"second": second.held.artifact.digest}

    @cache
    def sitting(whole: bool) -> Sitting | None:
        return _sitting(bundle, held=held, said=said, corpus=corpus, task=task, settings=settings, evaluate=evaluate,
                        look=look, seed=seed, second=second, whole=whole, report=report)  # fmt: skip

    inquiry = _Inquiry(store, settings=described, inputs=inputs, ask=None if unasked else ask,
                       second=None if second is None else second.ask, task=task)  # fmt: skip
    hearing = _Hearing(bundle, unasked=unasked, second=second is not None, task=task, report=report)

    def first(one: Probe) -> Mapping[str, Sequence[str]]:
        rows = sitting(one.whole)
        texts = [] if rows is None else list(one.texts(rows))
        return dict.fromkeys(SIDES, texts)

    def further() -> Mapping[str, Sequence[str]]:
        told = hearing.of(inquiry.lots)
        begun = [(one, sitting(one.whole)) for one in probes if one.interactive]
        found = [one.further(rows, told) for one, rows in begun if rows is not None]
        return {side: [text for some in found for text in some.get(side, ())] for side in SIDES}

    for one in probes:
        inquiry.put(partial(first, one), apart=True, second=one.asks_second)
    while any(one.interactive for one in probes) and inquiry.put(further):
        pass

    def make(draft: Draft) -> None:
        found, told = {}, hearing.of(inquiry.lots)
        meter = Meter(report, stage=STAGE, total=len(probes), unit="probes")
        for one in probes:
            begun = sitting(one.whole)
            found[one.kind] = one.nothing(_UNTESTED) if begun is None else one.measure(begun, told)
            meter.advance()
        artifact.write_json(draft.folder / FILE, found)

    return store.obtain(STAGE, settings={**described, "unasked": unasked}, inputs=inputs | inquiry.digests,
                        make=make)  # fmt: skip


def unasked_why(teacher: Teacher, settings: recipe.Audit) -> str:
    """Why the teacher is not asked; "": it is."""
    if not teacher.answers_any_text:
        return _RECORDED
    if settings.ask_teacher is None:
        return "" if teacher.computes else _ELSEWHERE
    return "" if settings.ask_teacher else _UNWANTED


@final
@dataclass(frozen=True)
class _Lot:
    """Texts that were asked about together, and what the teacher said of those that it was asked about."""

    questions: Artifact
    answers: TransferSet | None
    seconds: TransferSet | None
    """What a second teacher said of them; None: it was not asked."""

    @cached_property
    def texts(self) -> Mapping[str, Sequence[str]]:
        """By side."""
        both = pq.read_table(self.questions.folder / _TEXTS, columns=["text"])["text"].to_pylist()
        own = self.questions.read_json(_STUDENTS) if (self.questions.folder / _STUDENTS).exists() else both
        return {TEACHER: both, STUDENT: own}


@final
class _Inquiry:
    """Texts that are asked about, round after round: each lot an artifact, and what the teacher said of it another."""

    def __init__(
        self, store: Store, *, settings: Mapping[str, Any], inputs: Mapping[str, str], ask: Ask | None,
        task: Task, second: Ask | None = None,
    ) -> None:  # fmt: skip
        self._store, self._settings, self._inputs, self._task = store, settings, inputs, task
        self._ask, self._second = ask, second
        self.lots: list[_Lot] = []

    @property
    def digests(self) -> dict[str, str]:
        """Of the lots so far."""
        found = {}
        for number, lot in enumerate(self.lots):
            place = f".{number}" if number else ""
            found[f"questions{place}"] = lot.questions.digest
            if lot.answers is not None:
                found[f"answers{place}"] = lot.answers.artifact.digest
            if lot.seconds is not None:
                found[f"seconds{place}"] = lot.seconds.artifact.digest
        return found

    def put(
        self, choose: Callable[[], Mapping[str, Sequence[str]]], *, apart: bool = False, second: bool = False
    ) -> bool:
        """Ask about what is chosen by side, but for what was asked; whether that is anything. `second`: both teachers.

        `apart`: it is asked whatever else was, so that the same texts make the same set beside other probes, and the
        teacher has answered them already.
        """

        def make(draft: Draft) -> None:
            lots = () if apart else self.lots
            asked = {side: {text for lot in lots for text in lot.texts[side]} for side in SIDES}
            new = {side: [text for text in dict.fromkeys(texts) if text not in asked[side]]
                   for side, texts in choose().items()}  # fmt: skip
            _write(draft, new, task=self._task)

        later = {"round": len(self.lots), "asked": self._ask is not None} if self.lots else {}
        questions = self._store.obtain(_QUESTIONS, settings={**self._settings, **later},
                                       inputs={**self._inputs, **self.digests}, make=make)  # fmt: skip
        counts = questions.manifest["facts"]
        rows: Rows[Any] = Rows(questions.folder / _TEXTS, questions.file_digest(_TEXTS), _ROLE, int(counts["texts"]))
        answers = self._ask([rows]) if self._ask is not None and rows.count else None
        seconds = self._second([rows]) if self._second is not None and second and rows.count else None
        self.lots.append(_Lot(questions, answers, seconds))
        return any(counts.values())


def _write(draft: Draft, by_side: Mapping[str, Sequence[str]], *, task: Task) -> None:
    """The texts for the teacher as rows, and beside them those for the student where they are others."""
    texts = by_side[TEACHER]
    if (own := by_side[STUDENT]) != texts:
        artifact.write_json(draft.folder / _STUDENTS, own)
        draft.facts["students"] = len(own)
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
    look: Look,
    seed: int,
    second: Second | None,
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
    if second is not None:
        beside = heard.of_rows(some, held=second.held, said=said, task=task)
        outputs[SECOND] = heard.of_teacher(beside, ids, task=task)
        look = {**look, SECOND: second.look}
    gold = task.gold(some["label"])
    gold = gold if task.known(gold).any() else task.named(outputs[TEACHER])
    about = About(texts, ids, [one or "" for one in some["domain"].to_pylist()],
                  np.zeros(len(texts), dtype=np.bool_))  # fmt: skip
    named = frozenset({TEACHER}) if held.names_labels_only else frozenset[str]()
    members: list[Metric] = [plugins.build("metrics", name) for name in task.metrics]
    first = {one: task.answered(gold, outputs[one], outputs[TEACHER], named=one in named, rows=about)
             for one in SIDES}  # fmt: skip
    columns = {
        name.removeprefix("column."): ["" if one is None else str(one) for one in some[name].to_pylist()]
        for name in some.column_names
        if name.startswith("column.")
    }
    return Sitting(task, about, gold, np.flatnonzero(np.isin(kept, drawn)), outputs,
                   comparison.primary(members, first), named, columns, evaluate.confidence, evaluate.resamples,
                   evaluate.min_slice_rows, seed, look, most=settings.rows)  # fmt: skip


@final
class _Hearing:
    """What both said of the probes' texts so far; the bundle is asked about a text once."""

    def __init__(self, bundle: Artifact, *, unasked: str, task: Task, report: Report, second: bool = False) -> None:
        self._bundle, self._unasked, self._task, self._report = bundle, unasked, task, report
        asked = {TEACHER: not unasked, STUDENT: True, SECOND: second}
        self._places: dict[str, dict[str, int]] = {side: {} for side, one in asked.items() if one}
        self._outputs = {side: self._join([]) for side in self._places}
        self._lots = 0

    def of(self, lots: Sequence[_Lot]) -> Heard:
        """The same of all these, some of which it may have heard."""
        for lot in lots[self._lots :]:
            new = [text for text in lot.texts[STUDENT] if text not in self._places[STUDENT]]
            meter = Meter(self._report, stage="answers", total=len(new), unit="texts")
            self._add(STUDENT, new, heard.of_student(self._bundle, new, meter, task=self._task))
            for side, answers in ((TEACHER, lot.answers), (SECOND, lot.seconds)):
                if answers is not None:
                    told = heard.told(answers, self._task)
                    self._add(side, told.texts, told.logits)
        self._lots = len(lots)
        places = {side: dict(one) for side, one in self._places.items()}
        return Heard(self._task, places, {side: self._outputs[side] for side in places}, self._unasked)

    def _add(self, side: str, texts: Sequence[str], said: Outputs) -> None:
        places = self._places[side]
        places.update(dict(zip(texts, count(len(self._outputs[side])), strict=False)))
        self._outputs[side] = self._join([self._outputs[side], said])

    def _join(self, parts: Sequence[Outputs]) -> Outputs:
        return self._task.form.join(parts, outputs=len(self._task.outputs))
