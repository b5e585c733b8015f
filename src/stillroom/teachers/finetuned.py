"""A teacher made here: a base fitted to gold, once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom import floors
from stillroom.core import artifact, batches, plugins, seeds, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.progress import Event, Meter, Report
from stillroom.tasks import Task
from stillroom.teachers import Desk, LoadedTeacher, Teacher, _pretrained, _writing, huggingface
from stillroom.teachers._fitting import Examples, Fit, Plan

if TYPE_CHECKING:
    from stillroom.corpus import Learnable, Rows
    from stillroom.metrics import Metric
    from stillroom.students.transformer.network import TransformerNetwork
    from stillroom.teachers._writing import WritingNetwork

_PILOT_STEPS = 24
_FLOOR_TOKENS = 3072
_FLOOR_SHARE = 1e-6  # of what the floor has never seen
_FLOOR_ROWS = 4096  # enough to tell an under-fitted teacher; more would cost more than they tell


@final
class FineTuned(Teacher):
    """A base network fitted to gold labels, or to texts of people, once; learning rate and epochs are chosen on dev.

    Where texts are written, the base is an encoder, and a fresh decoder of two layers is laid over it, or one that
    reads and writes already (`transformers`' layout of encoder and decoder); it is fitted to the first reference.

    A teacher can under-fit without anyone noticing, so it is held against its own floor: logistic regression on the
    frozen encoder's mean vectors, or, where texts are written, the floor of the task. When it does not beat that on
    dev, the log, the manifest and the report say so.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "decoder"})
    asked_with: ClassVar[frozenset[str]] = frozenset({"candidates"})

    kind: Literal["finetuned"] = "finetuned"
    base: str
    """A folder, a hub name, or `package:<import name>/<folder>`."""
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
    """Longer texts are cut while it is fitted."""
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
        folder = _pretrained.locate(self.base, revision=self.revision, where="teacher.base")
        digests = {"train": corpus.train.digest, "dev": corpus.dev.digest}
        return {"base": _pretrained.folder_digest(folder), **digests}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Fit it, and hold it against its floor.

        Raises:
            MismatchError: several candidates of a task that writes none.
        """
        if self.candidates > 1 and not task.form.writes:
            found, todo = f"{self.candidates} texts to write for {task.kind}", "Leave it at 1."
            raise MismatchError(Problem("teacher.candidates", found, "one answer", todo))
        base = _pretrained.locate(self.base, revision=self.revision, where="teacher.base")
        bf16 = _pretrained.cpu_computes_in_bf16()
        network = self._fresh(base, task=task, seed=seed, folder=draft.folder)
        rows, judges = (_gold(network, part, task=task) for part in (corpus.train, corpus.dev))
        longest = network.longest_of(rows.ids) if isinstance(network, _writing.WritingNetwork) else 0
        plan = Plan(self.epochs, self.batch_size, self.learning_rates[0], self.patience, seed, bf16)
        fresh = partial(self._fresh, base, task=task, seed=seed, folder=draft.folder, longest=longest)
        rate, pilots = self._choose_rate(draft, fresh, rows, judges, task=task, fit=fit, plan=plan, report=report)
        plan = Plan(self.epochs, self.batch_size, rate, self.patience, seed, bf16)
        network = fresh()
        log = fit(network, task=task, train=rows, dev=judges, objectives=_gold_only(task), plan=plan,
                  folder=draft.folder / "fit", report=report, stage="teacher")  # fmt: skip
        network.save(draft.folder)
        some = _some(rows, seed=seed)
        metric: Metric = plugins.build("metrics", task.metrics[0])
        if task.form.writes:
            floor, name = _floor_of_task(corpus, judges, metric, task=task, seed=seed), floors.of(task).name
        else:
            floor = _floor(base, some, judges, task=task, bf16=bf16, seed=seed, report=report)
            name = "logistic regression on the frozen encoder"
        draft.facts |= {f"floor_dev_{metric.kind}": floor, "floor_rows": len(some.ids)}
        self._note(draft, metric, name, log=log, pilots=pilots, rate=rate, report=report)
        for leftover in ("fit", "pilots"):
            shutil.rmtree(draft.folder / leftover, ignore_errors=True)

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The fitted checkpoint."""
        # A folder's path says where somebody keeps it; only its name is anybody else's business.
        base = Path(self.base).name if Path(self.base).is_dir() else self.base
        if task.form.writes:
            return _writing.Writer(folder, name=f"{base}, fine-tuned", task=task, licence=self.licence,
                                   candidates=self.candidates, max_tokens=self.max_tokens)  # fmt: skip
        return huggingface.Checkpoint(folder, name=f"{base}, fine-tuned", task=task, licence=self.licence)

    def _fresh(
        self, base: Path, *, task: Task, seed: int, folder: Path, longest: int = 0
    ) -> TransformerNetwork | WritingNetwork:
        """The base under a new head, or a decoder, the same for the same seed."""
        import torch

        if task.form.writes:
            found = _writing.fresh(base, task=task, seed=seed, dropout=self.dropout, max_tokens=self.max_tokens,
                                   longest=longest)  # fmt: skip
            for table in found.token_tables():
                table.requires_grad_(not self.freeze_embeddings)
            self._freeze(found, layers=len(found.strata()) - 2)
            return found

        from stillroom.students.transformer import network

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive(seed, "teachers/finetuned/head"))
            names = dict(enumerate(task.outputs))
            inner = _pretrained.load_network(
                base,
                form=task.form,
                fresh_head=True,
                num_labels=len(names),
                id2label=names,
                label2id={name: place for place, name in names.items()},
            )
        for module in inner.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = self.dropout
        inner.get_input_embeddings().weight.requires_grad_(not self.freeze_embeddings)
        shutil.copyfile(_pretrained.tokenizer_file(base), folder / "tokenizer.json")
        made = network.TransformerNetwork(inner, folder, shape=task.shape, max_tokens=self.max_tokens)
        self._freeze(made, layers=made.layers)
        return made

    def _freeze(self, network: TransformerNetwork | WritingNetwork, *, layers: int) -> None:
        """Keep training out of the lowest layers.

        Raises:
            MismatchError: there are no more layers than that.
        """
        if self.freeze_layers >= layers:
            found = f"{self.freeze_layers} layers to freeze of {layers}"
            todo = "Freeze fewer: a teacher is fitted in what is left."
            raise MismatchError(Problem("teacher.freeze_layers", found, "at least one to fit", todo))
        if self.freeze_layers:
            for stratum in network.strata()[-1 - self.freeze_layers :]:
                for weight in stratum:
                    weight.requires_grad_(False)

    def _choose_rate(
        self,
        draft: Draft,
        fresh: Callable[[], TransformerNetwork | WritingNetwork],
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
        floored_by: str,
        *,
        log: list[dict[str, Any]],
        pilots: list[dict[str, Any]],
        rate: float,
        report: Report,
    ) -> None:
        best = max(float(line["dev"][metric.kind]) for line in log)
        floor, rows = (draft.facts[name] for name in (f"floor_dev_{metric.kind}", "floor_rows"))
        draft.facts |= {"learning_rate": rate, "pilots": pilots, f"dev_{metric.kind}": best}
        artifact.write_text(
            draft.folder / "log.jsonl", "".join(f"{artifact.canonical(line).decode()}\n" for line in log)
        )
        if best < floor or best == floor < metric.high:
            shown = [f"{one:.1%}" if metric.high == 1.0 else f"{one:.1f}" for one in (best, floor)]
            sentence = (
                f"the fitted teacher ({shown[0]} on dev) does not beat {floored_by} "
                f"({shown[1]} with {rows:,} rows): it may be under-fitted; try more epochs or higher learning rates"
            )
            draft.facts["warning"] = sentence
            report(Event("teacher", note=f"Warning: {sentence}."))


def _gold_only(task: Task) -> list[Any]:
    return [plugins.build("objectives", dict(one)) for one in task.for_gold()]


def _gold(network: TransformerNetwork | WritingNetwork, rows: Rows[Any], *, task: Task) -> Examples:
    """The rows that have gold, as the network reads them.

    Raises:
        InputError: none has.
    """
    found = Examples.of_gold(network, rows, task=task)
    if not found.ids:
        todo = "Give labels, or a teacher that is fitted already."
        raise InputError(Problem(f"corpus.{rows.role}", "no row with a label", "gold labels to fit on", todo))
    return found


def _some(examples: Examples, *, seed: int) -> Examples:
    """At most so many texts as the floor is fitted on, drawn by chance."""
    rng = seeds.generator(seed, "teachers/finetuned/floor")
    return examples.some(np.sort(rng.permutation(len(examples.ids))[:_FLOOR_ROWS]))


def _floor_of_task(corpus: Learnable, dev: Examples, metric: Metric, *, task: Task, seed: int) -> float:
    """The dev metric of the cheap method that students of this task are held against."""
    said = floors.of(task).say(corpus.train.table(["text", "label"]), dev.texts, task=task, seed=seed)
    return dev.score(metric, said, task=task)[0]


def _floor(base: Path, train: Examples, dev: Examples, *, task: Task, bf16: bool, seed: int, report: Report) -> float:
    """The dev metric of logistic regression on the frozen encoder's vectors: a text's mean, or those of its words."""
    from sklearn.linear_model import LogisticRegression

    outputs = len(task.outputs)
    seen = np.unique(train.gold)
    shares = np.full((len(dev.gold), outputs), _FLOOR_SHARE)
    if len(seen) == 1:  # nothing to tell apart: logistic regression would refuse
        shares[:, seen] = 1.0
    else:
        encoder = _pretrained.load_network(base, form=task.form, fresh_head=True).base_model
        meter = Meter(report, stage="teacher's floor", total=len(train.ids) + len(dev.ids), unit="texts")
        vectors = [_vectors(encoder, part, task=task, bf16=bf16, meter=meter) for part in (train, dev)]
        some = np.sort(seeds.generator(seed, "floor/words").permutation(len(train.gold))[: 4 * _FLOOR_ROWS])
        model = LogisticRegression(max_iter=500, C=10.0, random_state=seeds.derive(seed, "floor") % 2**32)
        model.fit(vectors[0][some], train.gold[some])
        shares[:, model.classes_] = np.maximum(model.predict_proba(vectors[1]), _FLOOR_SHARE)
    said = task.form.spread(np.log(shares).astype(np.float32), dev.words)
    return dev.score(plugins.build("metrics", task.metrics[0]), said, task=task)[0]


def _vectors(encoder: Any, examples: Examples, *, task: Task, bf16: bool, meter: Meter) -> NDArray[np.float32]:
    import torch

    words = examples.words
    found = np.empty((len(examples.gold), int(encoder.config.hidden_size)), dtype=np.float32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for rows in batches.by_tokens([len(one) for one in examples.ids], budget=_FLOOR_TOKENS):
            padded, mask = batches.pad([examples.ids[row] for row in rows])
            masked = torch.from_numpy(mask)
            hidden = encoder(input_ids=torch.from_numpy(padded), attention_mask=masked.long()).last_hidden_state.float()
            if words is None:
                mean = (hidden * masked.unsqueeze(-1)).sum(dim=1) / masked.sum(dim=1, keepdim=True)
                found[rows] = torch.nn.functional.normalize(mean, dim=1).numpy()
            else:
                numbers, owners, tokens = words.of(rows)
                found[numbers] = torch.nn.functional.normalize(hidden, dim=2).numpy()[owners, tokens]
            meter.advance(len(rows))
    return found
