"""A teacher made here: a base fitted to gold, once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

from pydantic import Field

from stillroom.core import artifact, plugins, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.progress import Event, Report
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers import Desk, LoadedTeacher, Teacher, _pretrained
from stillroom.teachers._bases import Base, Built, Course, Floor
from stillroom.teachers._fitting import Examples, Fit, Plan
from stillroom.teachers._headed import Headed
from stillroom.teachers._paired import Paired
from stillroom.teachers._spoken import Spoken

if TYPE_CHECKING:
    from stillroom.corpus import Learnable, Rows
    from stillroom.metrics import Metric

_PILOT_STEPS = 24
#: What is fitted, by the shape in which it is to answer.
_BASES: Mapping[str, Built] = {"pooled": Headed, "tokens": Headed, "decoder": Paired, "causal": Spoken}


@final
class FineTuned(Teacher):
    """A base network fitted to gold labels, or to texts of people, once; learning rate and epochs are chosen on dev.

    Where texts are written, the base is an encoder, and a fresh decoder of two layers is laid over it, or one that
    reads and writes already (`transformers`' layout of encoder and decoder); it is fitted to the first reference.
    Where prompts are gone on with, it is a language model, which learns to write the first reference behind each.

    A teacher can under-fit without anyone noticing, so it is held against its own floor: logistic regression on the
    frozen encoder's mean vectors; where texts are written, the floor of the task; a language model itself, as it was.
    When it does not beat that on dev, the log, the manifest and the report say so.
    """

    shapes: ClassVar[frozenset[str]] = frozenset(_BASES)
    asked_with: ClassVar[frozenset[str]] = frozenset({"candidates"})

    kind: Literal["finetuned"] = "finetuned"
    base: str
    """A folder, a hub name, or `package:<import name>/<folder>`; of a package itself, no folder."""
    file: str = ""
    """The file's name in that folder, for a language model in one GGUF file; none: the layout of `transformers`."""
    start: str = ""
    """The token that texts of a language model begin with; none: what it names for it."""
    revision: str | None = None
    """The revision, for a hub name."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    learning_rates: tuple[float, ...] = Field((5e-5, 1e-4, 2e-4), min_length=1)
    """Tried for a few steps each; the lowest dev loss goes on."""
    epochs: int = Field(3, ge=1)
    """At most; the best one on dev is kept."""
    patience: int = Field(1, ge=1)
    """Epochs without a better dev score before it stops."""
    batch_size: int = Field(32, ge=1)
    """Texts a step."""
    max_tokens: int = Field(256, ge=8)
    """Longer texts are cut while it is fitted; prompts that are longer, with their reference, are left out."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Short fine-tuning hardly needs it, and drawing its random numbers is a fifth of the time on a CPU."""
    freeze_embeddings: bool = True
    """Leave the token table as it is: rare words keep what the base knew of them, and a step is quicker."""
    freeze_layers: int = Field(0, ge=0)
    """Leave so many of the lowest layers as they are, and all that stands below: a step ends its way back there."""

    candidates: int = Field(1, ge=1, le=16)
    """How many texts it writes for each, by a beam of so many: the best of them that the task does not sift out is
    learned from, or several (`task.several`). More than one is for tasks that write."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What reads a GGUF file, where its base is one."""
        return ("gguf",) if self.file else ()

    @property
    def signals(self) -> frozenset[str]:
        """All there are."""
        return signals.KINDS

    @property
    def scores_answers(self) -> bool:
        """Where there are several."""
        return self.candidates > 1

    @property
    def weighs_answers(self) -> bool:
        """The same."""
        return self.candidates > 1

    @property
    def needs_gold(self) -> bool:
        """Yes."""
        return True

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The base, and the rows that it learns from and is chosen on."""
        base = artifact.file_sha256(self.folder / self.file) if self.file else _pretrained.folder_digest(self.folder)
        return {"base": base, "train": corpus.train.digest, "dev": corpus.dev.digest}

    @property
    def making(self) -> dict[str, Any]:
        """What says how a language model is read says nothing where there is none."""
        return {name: one for name, one in super().making.items() if one or name not in ("file", "start")}

    def unfit(self, task: Task) -> list[Problem]:
        """Several candidates of a task that writes none, and what is said of a language model that is to label."""
        problems = []
        if self.candidates > 1 and not task.form.writes:
            found, todo = f"{self.candidates} texts to write for {task.kind}", "Leave it at 1."
            problems.append(Problem("teacher.candidates", found, "one answer", todo))
        for name in ("file", "start"):
            if (one := getattr(self, name)) and not task.form.extends:
                found, todo = f"`{one}` for {task.kind}", "Take it out, and a base in the layout of `transformers`."
                problems.append(Problem(f"teacher.{name}", found, "nothing, but where text goes on", todo))
        return problems

    @property
    def folder(self) -> Path:
        """Where its base is.

        Raises:
            InputError: it is not there.
        """
        holds = self.file or "config.json"
        return _pretrained.locate(self.base, revision=self.revision, where="teacher.base", holds=holds)

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Fit it, and hold it against its floor.

        Raises:
            MismatchError: several candidates of a task that writes none, or a language model that is to label.
        """
        if problems := self.unfit(task):
            raise MismatchError(*problems)
        bf16 = _pretrained.cpu_computes_in_bf16()
        base = self._base(task)
        network = base.begun(draft.folder, seed=seed)
        rows, judges = (_gold(network, part, base=base, report=report) for part in (corpus.train, corpus.dev))
        plan = Plan(self.epochs, self.batch_size, self.learning_rates[0], self.patience, seed, bf16)
        fresh = partial(base.begun, draft.folder, seed=seed, longest=base.longest(network, rows))
        rate, pilots = self._choose_rate(draft, fresh, rows, judges, task=task, fit=fit, plan=plan, report=report)
        plan = Plan(self.epochs, self.batch_size, rate, self.patience, seed, bf16)
        network = fresh()
        log = fit(network, task=task, train=rows, dev=judges, objectives=_gold_only(task), plan=plan,
                  folder=draft.folder / "fit", report=report, stage="teacher")  # fmt: skip
        network.save(draft.folder)
        metric: Metric = plugins.build("metrics", task.metrics[0])
        floor = base.floor(Course(corpus, rows, judges, metric, log, seed, bf16, report))
        draft.facts |= {f"floor_dev_{metric.kind}": floor.score, "floor_rows": floor.rows}
        draft.facts |= {"learned_from": len(rows.ids)}
        self._note(draft, metric, floor, log=log, pilots=pilots, rate=rate, report=report)
        for leftover in ("fit", "pilots"):
            shutil.rmtree(draft.folder / leftover, ignore_errors=True)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The fitted checkpoint."""
        # A folder's path says where somebody keeps it; only its name is anybody else's business.
        base = Path(self.base).name if Path(self.base).is_dir() else self.base
        return self._base(task).open(folder, name=f"{base}, fine-tuned")

    def _base(self, task: Task) -> Base:
        return _BASES[task.shape](self, task=task)

    def _choose_rate(
        self,
        draft: Draft,
        fresh: Callable[[], Network],
        train: Examples,
        dev: Examples,
        *,
        task: Task,
        fit: Fit,
        plan: Plan,
        report: Report,
    ) -> tuple[float, list[dict[str, Any]]]:
        """A few steps at each rate; the lowest dev loss goes on. One rate needs no trying."""
        if len(self.learning_rates) == 1:
            return self.learning_rates[0], []
        tried: list[dict[str, Any]] = []
        for rate in self.learning_rates:
            note = draft.folder / "pilots" / f"{rate:g}.json"
            if not note.is_file():
                network = fresh()
                short = Plan(plan.epochs, plan.batch_size, rate, 1, plan.seed, plan.bf16, steps=_PILOT_STEPS)
                log = fit(network, task=task, train=train, dev=dev, objectives=_gold_only(task), plan=short,
                          folder=note.with_suffix(""), report=report, stage="learning rate")  # fmt: skip
                artifact.write_json(note, {"learning_rate": rate, "steps": log[-1]["step"], "dev": log[-1]["dev"]})
            tried.append(json.loads(note.read_text(encoding="utf-8")))
        best = min(tried, key=lambda one: float(one["dev"]["loss"]))
        return float(best["learning_rate"]), tried

    def _note(
        self,
        draft: Draft,
        metric: Metric,
        floor: Floor,
        *,
        log: list[dict[str, Any]],
        pilots: list[dict[str, Any]],
        rate: float,
        report: Report,
    ) -> None:
        best = max(float(line["dev"][metric.kind]) for line in log)
        draft.facts |= {"learning_rate": rate, "pilots": pilots, f"dev_{metric.kind}": best}
        artifact.write_text(
            draft.folder / "log.jsonl", "".join(f"{artifact.canonical(line).decode()}\n" for line in log)
        )
        if best < floor.score or best == floor.score < metric.high:
            shown = [f"{one:.1%}" if metric.high == 1.0 else f"{one:.1f}" for one in (best, floor.score)]
            sentence = (
                f"the fitted teacher ({shown[0]} on dev) does not beat {floor.name} ({shown[1]} with {floor.rows:,} "
                f"rows): it may be under-fitted; try more epochs or higher learning rates"
            )
            draft.facts["warning"] = sentence
            report(Event("teacher", note=f"Warning: {sentence}."))


def _gold_only(task: Task) -> list[Any]:
    return [plugins.build("objectives", dict(one)) for one in task.for_gold()]


def _gold(network: Network, rows: Rows[Any], *, base: Base, report: Report) -> Examples:
    """The rows that have gold, as the network reads them.

    Raises:
        InputError: none has.
    """
    found = Examples.of_gold(network, rows, task=base.task)
    if not found.ids:
        todo = "Give labels, or a teacher that is fitted already."
        raise InputError(Problem(f"corpus.{rows.role}", "no row with a label", "gold labels to fit on", todo))
    legible = base.legible(network, found, where=f"corpus.{rows.role}")
    if left := len(found.ids) - len(legible.ids):
        said = f"{left:,} of {len(found.ids):,} rows of {rows.role} are longer, with their reference, than it reads"
        report(Event("teacher", note=f"Warning: {said} (`teacher.max_tokens`), and are left out of its fit."))
    return legible
