"""Where candidates are fitted, bundled, timed and judged: on train and dev rows, and on no others.

Everything it makes is an artifact, so that nothing is done twice: a rerun finds it, and so does the chosen student's
own run. A short fit is a whole one that pauses: if it goes on, it goes on from its checkpoint.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom import cost, emphasis, export, fitness, loop, runtime, teach, train, transfer
from stillroom.core import artifact, plugins, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Event, Report
from stillroom.core.recipe import Recipe
from stillroom.corpus import Dev, Rows
from stillroom.journey import Run
from stillroom.metrics import Floats, Metric
from stillroom.search.ladder import Candidate
from stillroom.shapes import Outputs
from stillroom.tasks import Task
from stillroom.teachers import Desk
from stillroom.transfer_set import TransferSet

STAGE = "trial"
_FILE, _ROWS = "trial.json", "dev.parquet"
_FEW = 1000  # dev rows that a paused fit is compared on, at most
_STEPS = 8  # of training, to learn how long one takes; the first is a warm-up
_JUDGED = 64  # dev rows that are judged meanwhile
_FORWARD = 1 / 3  # the share of a step that goes into what the network says

#: Asked after every step of a fit: whether to stop there.
Over = Callable[[], bool]


def _never() -> bool:
    return False


@final
@dataclass(frozen=True)
class Jury:
    """The dev rows with what is right on them: gold, or what the teacher said where there is no gold at all."""

    metric: Metric
    task: Task
    texts: Sequence[str]
    gold: NDArray[Any]
    teacher: Outputs

    @classmethod
    def call(cls, dev: Rows[Dev], said: TransferSet, *, task: Task) -> Self:
        """The jury of a corpus.

        Raises:
            TypeError: these are rows of the test.
        """
        corpora.refuse_test(dev)
        rows, answers = said.answers(dev.table(["id", "text", "label"]), part=dev.role, task=task)
        gold = task.gold(rows["label"])
        known = np.flatnonzero(task.known(gold) & task.learns_gold)
        if not len(known):
            known, gold = np.arange(len(gold)), task.named(answers)
        texts = rows["text"].to_pylist()
        metric: Metric = plugins.build("metrics", task.metrics[0])
        return cls(metric, task, [texts[row] for row in known], gold[known], task.form.take(answers, known))

    def statistics(self, said: Outputs | None) -> Floats:
        """What the metric says of each row for such answers to the first rows, or for the teacher's to all."""
        heard = self.teacher if said is None else said
        rows = np.arange(len(heard))
        return self.metric.rows(self.task.answered(self.gold[rows], heard, self.task.form.take(self.teacher, rows)))

    def score(self, statistics: Floats) -> float:
        """The metric itself."""
        return float(self.metric.value(statistics.sum(axis=0)))


@final
@dataclass(frozen=True)
class Pace:
    """How long the parts of a fit take here, in seconds."""

    begin: float
    step: float
    judge: float
    steps: int
    """Of an epoch."""

    def seconds(self, epochs: int) -> float:
        """A whole fit."""
        return self.begin + epochs * (self.steps * self.step + self.judge)


@final
@dataclass(frozen=True)
class Glimpse:
    """How a candidate was when its fit paused, with its best weights so far."""

    candidate: Candidate
    score: float
    """On dev, by the log of its fit."""
    texts_per_second: float
    """In torch, on one thread, tokenization included."""
    disk_mb: float
    statistics: Floats | None
    """Of the metric, a line a dev row; None where its fit was finished before anybody could look."""


@final
@dataclass(frozen=True)
class Trial:
    """A finished point, with the run that holds it."""

    candidate: Candidate
    bundle: Artifact
    run: Run
    statistics: Floats
    """Of the metric, a line a dev row."""
    facts: dict[str, Any]

    @property
    def score(self) -> float:
        """On dev."""
        return float(self.facts["score"])

    @property
    def texts_per_second(self) -> float:
        """Of the bundle, on one thread, tokenization included."""
        return float(self.facts["texts_per_second"])

    @property
    def disk_mb(self) -> float:
        """What is needed to serve it."""
        return float(self.facts["disk_mb"])


@final
class TimeOver(Exception):
    """A fit was still going on when the search had to end; its checkpoint stays."""


@final
class Bench:
    """The parts that all candidates share: one corpus, one teacher, one transfer set, one jury."""

    def __init__(self, recipe: Recipe, *, work: Path, report: Report) -> None:
        self.recipe, self.store, self.report = recipe, Store(work), report
        task = recipe.task
        rows = corpora.load(recipe.corpus, task=task, store=self.store, report=report)
        self.corpus, self.corpus_digest = rows.learnable, rows.artifact.digest
        self._work, self._read = work, rows.artifact
        self._heeded = emphasis.read(recipe.transfer, own=work / "runs" / recipe.name)
        self._held_out, self._rights = (rows.test, rows.outside), rows.stated_rights
        self.teacher = teach.prepare(recipe.teacher, task=task, corpus=self.corpus, fit=loop.fit, seed=recipe.seed,
                                     store=self.store, report=report)  # fmt: skip
        self.loaded = teach.Opened(recipe.teacher, self.teacher, task=task, desk=Desk(self.store.books, report))

    def ask(self, candidates: Sequence[Candidate]) -> None:
        """Ask the teacher once for whatever any of them looks at, and call the jury."""
        wanted = frozenset[str]().union(*(fitness.wanted(one.recipe(self.recipe), self.loaded) for one in candidates))
        transfer_ = self.recipe.transfer.model_copy(update={"also": tuple(sorted(wanted - signals.LOGITS))})
        self.recipe = self.recipe.model_copy(update={"transfer": transfer_})
        rows = self.corpus
        self.said = transfer.collect(self.loaded, teacher=self.teacher, parts=(rows.train, rows.unlabelled, rows.dev),
                                     task=self.recipe.task, settings=transfer_, seed=self.recipe.seed,
                                     store=self.store, held_out=self._held_out, wanted=wanted,
                                     rights=self._rights, asking=self.recipe.teacher.asking,
                                     report=self.report)  # fmt: skip
        self.said = self.said.emphasised(self._heeded, held_out=[part.ids() for part in self._held_out])
        self.jury = Jury.call(rows.dev, self.said, task=self.recipe.task)

    def epochs(self, candidate: Candidate) -> int:
        """Of a whole fit."""
        return self.recipe.train.epochs or candidate.student.epochs

    def _studied(self, candidate: Candidate) -> Artifact:
        return teach.study(candidate.student, self.loaded, teacher=self.teacher, store=self.store,
                           answer=self.recipe.task.form.answer, report=self.report)  # fmt: skip

    def pace(self, candidate: Candidate) -> Pace:
        """How quick it learns here: its start and a few steps, timed and thrown away."""
        student, task = candidate.student, self.recipe.task
        studied = self._studied(candidate)
        began = time.perf_counter()
        network, rows, dev = train.begin(
            student, studied, self.corpus, self.said, candidate.objectives, task=task, seed=self.recipe.seed
        )
        begin = time.perf_counter() - began
        bits = export.weight_bits(self.recipe.export)
        plan = train.plan(
            student, self.recipe.train, task=self.recipe.task, seed=self.recipe.seed, taught=True, weight_bits=bits
        )
        # Of the first rows, what else was recorded stands where it stood.
        few = replace(dev.some(np.arange(min(_JUDGED, len(dev.ids)))), further=dev.further)
        moments: list[float] = []

        def clocked(event: Event) -> None:
            if event.done:
                moments.append(time.perf_counter())

        with tempfile.TemporaryDirectory(prefix="stillroom-pace-") as folder:
            loop.fit(network, task=task, train=rows, dev=few, objectives=candidate.objectives,
                     plan=replace(plan, steps=_STEPS), folder=Path(folder), report=clocked)  # fmt: skip
            rest = time.perf_counter() - moments[-1]
        # Others at work on the machine make a step slower, never quicker.
        step = float(np.quantile(np.diff(moments), 0.25)) if len(moments) > 1 else rest
        # What follows the last step is judging, which grows with the rows of dev, and a checkpoint, which does not.
        a_row = _FORWARD * step / plan.batch_size
        judge = a_row * len(dev.ids) + max(0.0, rest - a_row * len(few.ids))
        return Pace(begin, step, judge, -(-len(rows.ids) // plan.batch_size))

    def _fit(self, candidate: Candidate, *, seed: int, pause: int | None = None, over: Over = _never) -> Artifact:
        def watched(event: Event) -> None:
            if over():
                raise TimeOver
            self.report(event)

        return train.fit(candidate.student, task=self.recipe.task, corpus=self.corpus, said=self.said,
                         objectives=candidate.objectives, settings=self.recipe.train, studied=self._studied(candidate),
                         seed=seed, store=self.store, weight_bits=export.weight_bits(self.recipe.export),
                         pause=pause, report=watched)  # fmt: skip

    def short(self, candidate: Candidate, *, epochs: int, over: Over = _never) -> Glimpse:
        """Let its fit come as far as so many epochs, and look at it there, to compare it with others after as much.

        A fit that was finished before goes no way back: of it, only the log tells how it was then.
        """
        task = self.recipe.task

        def make(draft: Draft) -> None:
            with tempfile.TemporaryDirectory(prefix="stillroom-short-") as folder:
                try:
                    where = self._fit(candidate, seed=self.recipe.seed, pause=epochs, over=over).folder
                    log, paused = _log(where)[:epochs], False
                except train.Paused as stopped:
                    where, log, paused = Path(folder), list(stopped.log), True
                    stopped.network.save(where)
                size = sum(one.stat().st_size for one in where.rglob("*") if one.is_file()) / 1e6
                network = candidate.student.reopen(where, task=task)
                logits, rate = export.in_torch(network, self.jury.texts[:_FEW], task=self.jury.task)
            facts = {"score": self._best(log), "texts_per_second": rate, "disk_mb": size, "paused": paused}
            self._write(draft, self.jury.statistics(logits), facts)

        settings = {
            "what": "short",
            "epochs": epochs,
            "objectives": [one.model_dump(mode="json", serialize_as_any=True) for one in candidate.objectives],
            "train": self.recipe.train.decides(),
            "weight_bits": export.weight_bits(self.recipe.export),
            "seed": self.recipe.seed,
        }
        inputs = {part.role: part.digest for part in (self.corpus.train, self.corpus.unlabelled)}
        inputs["studied"] = self._studied(candidate).digest
        statistics, facts = self._judged(candidate, settings, inputs, make)
        shown = statistics if facts["paused"] else None
        return Glimpse(candidate, facts["score"], facts["texts_per_second"], facts["disk_mb"], shown)

    def _best(self, log: Sequence[Mapping[str, Any]]) -> float:
        """The best dev score of some epochs; where rounding has begun, of those under it, as the fit itself chooses."""
        metric = self.jury.metric
        scores = [one["dev"][metric.kind] for one in log if one.get("rounded") == log[-1].get("rounded")]
        return float(max(scores) if metric.higher_is_better else min(scores))

    def finish(self, candidate: Candidate, *, number: int, beside_teacher: bool, over: Over = _never) -> Trial:
        """Fit it whole, with every seed; bundle it, time the bundle, and judge it on all of dev.

        It gets a run of its own, the search's name and a number, that ends with the bundle: before the test.
        """
        task, recipe = self.recipe.task, self.recipe
        trained = self._fit(candidate, seed=recipe.seed, over=over)
        others = [
            self._fit(candidate, seed=chance, over=over)
            for chance in train.seeds_of(recipe.seed, recipe.search.seeds)[1:]
        ]
        bundle = export.bundle(candidate.student, trained, task=task, dev=self.corpus.dev, settings=recipe.export,
                               said=self.said, rights=self._rights, store=self.store,
                               report=self.report)  # fmt: skip

        timed_on = (self.corpus.train, self.corpus.unlabelled)

        def make(draft: Draft) -> None:
            timed = cost.lightly(recipe.teacher, self.teacher, bundle, timed_on, task=task, beside=beside_teacher)
            found = [self.jury.statistics(runtime.Predictor(bundle).outputs(list(self.jury.texts)))]
            for one in others:
                network = candidate.student.reopen(one.folder, task=task)
                found.append(self.jury.statistics(export.in_torch(network, self.jury.texts, task=self.jury.task)[0]))
            rate = timed["student"]["texts_per_second"]
            facts = {
                **timed["student"],
                "disk_mb": cost.disk_mb(bundle),
                "parameters": trained.manifest["facts"]["parameters"],
                "price_per_million_texts": cost.price_per_million(rate, recipe.cost),
                "scores": [self.jury.score(one) for one in found],
                "teacher": timed.get("teacher"),
            }
            statistics = np.mean(found, axis=0)
            self._write(draft, statistics, {"score": self.jury.score(statistics), **facts})

        inputs = {"bundle": bundle.digest, **{part.role: part.digest for part in timed_on}}
        inputs |= {f"seed {other}": one.digest for other, one in enumerate(others, start=1)}
        settings = {"what": "point", "beside": beside_teacher, "cost": recipe.cost.model_dump(mode="json")}
        statistics, facts = self._judged(candidate, settings, inputs, make)
        run = self._noted(candidate, f"{recipe.name}-{number}", trained=trained, bundle=bundle)
        return Trial(candidate, bundle, run, statistics, facts)

    def _noted(self, candidate: Candidate, name: str, *, trained: Artifact, bundle: Artifact) -> Run:
        """The record of a run that would have come to this bundle."""
        run = Run(candidate.recipe(self.recipe).model_copy(update={"name": name}), work=self._work, until="export")
        for stage, found in (("corpus", self._read), ("teacher", self.teacher), ("transfer", self.said.artifact),
                             ("train", trained), ("export", bundle)):  # fmt: skip
            run.reached(stage, found)
        return run

    def _write(self, draft: Draft, statistics: Floats, facts: dict[str, Any]) -> None:
        columns = {str(number): statistics[:, number] for number in range(statistics.shape[1])}
        pq.write_table(pa.table(columns), draft.folder / _ROWS)
        artifact.write_json(draft.folder / _FILE, facts)
        draft.facts["reproducible"] = "no: it holds measurements of time"

    def _judged(
        self, candidate: Candidate, settings: dict[str, Any], inputs: dict[str, str], make: Callable[[Draft], None]
    ) -> tuple[Floats, dict[str, Any]]:
        described = {**settings, "metric": self.jury.metric.kind, "student": candidate.student.resolved()}
        inputs = {**inputs, "dev": self.corpus.dev.digest, "said": self.said.artifact.digest}
        described |= {"emphasis": self._heeded.settings} if self._heeded else {}
        found = self.store.obtain(STAGE, settings=described, inputs=inputs, make=make)
        table = pq.read_table(found.folder / _ROWS)
        statistics = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
        return statistics, found.read_json(_FILE)


def _log(folder: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
