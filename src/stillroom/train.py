"""Fits a student: the only training loop there is, for whatever has weights.

Dev chooses and test is not here: rows of the test split are refused by type, and at run time.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom.core import artifact, batches, plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.metrics import Answers, Metric
from stillroom.objectives import Objective, Target
from stillroom.students import Network, Student
from stillroom.tasks import Task
from stillroom.teachers import Examples, Plan
from stillroom.transfer import TransferSet, refuse_other_teacher

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer

STAGE = "student"
_WARM_UP = 0.06
_FLOOR = 0.02  # the learning rate never falls below this share of its peak
_JUDGED = 4096  # padded ids a dev batch


def fit(
    student: Student,
    *,
    task: Task,
    corpus: corpora.Corpus,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Fit a student to what the teacher said, or, where `said` is None, to gold labels alone.

    Raises:
        MismatchError: the transfer set does not fit the student.
        InputError: there is nothing to fit it to.
    """
    inputs = {part.role: part.digest for part in (corpus.train, corpus.unlabelled, corpus.dev)}
    inputs["studied"] = studied.digest
    inputs |= {"said": said.artifact.digest} if said else {}
    described = {
        "student": student.resolved(),
        "task": task.model_dump(mode="json"),
        "objectives": [one.model_dump(mode="json", serialize_as_any=True) for one in objectives],
        "train": settings.model_dump(mode="json", exclude={"checkpoint_seconds"}),
        "seed": seed,
    }
    if said is not None:
        tokenizer = studied.manifest["facts"].get("tokenizer") if student.follows_tokenizer else None
        refuse_other_teacher(said, tokenizer=tokenizer, task=task)

    def make(draft: Draft) -> None:
        _fit(student, draft, task=task, corpus=corpus, said=said, objectives=objectives,
             settings=settings, studied=studied, seed=seed, report=report)  # fmt: skip

    return store.obtain(STAGE, settings=described, inputs=inputs, make=make, resumable=True)


def undistilled(
    student: Student,
    *,
    task: Task,
    corpus: corpora.Corpus,
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact | None:
    """The student's twin, which never hears what the teacher said: same start, same epochs, gold labels alone.

    What the teacher added is the difference between the two. Where no row has gold, there is no twin.
    """
    if not _gold(corpus.train):
        return None
    objectives: tuple[Objective, ...] = (plugins.build("objectives", "hard_label"),)
    return fit(student, task=task, corpus=corpus, said=None, objectives=objectives,
               settings=settings, studied=studied, seed=seed, store=store, report=report)  # fmt: skip


def _fit(
    student: Student,
    draft: Draft,
    *,
    task: Task,
    corpus: corpora.Corpus,
    said: TransferSet | None,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    studied: Artifact,
    seed: int,
    report: Report,
) -> None:
    texts = chain(corpus.train.texts(), corpus.unlabelled.texts())
    network = student.begin(task=task, studied=studied.folder, texts=texts, seed=seed)
    train, dev = examples(network, corpus, said, classes=len(task.outputs))
    plan = Plan(
        epochs=settings.epochs or student.epochs,
        batch_size=settings.batch_size or student.batch_size,
        learning_rate=settings.learning_rate or student.learning_rate,
        patience=settings.patience,
        seed=seed,
        bf16=student.bf16(),
        checkpoint_seconds=settings.checkpoint_seconds,
    )
    stage = STAGE if said else "undistilled"
    log = loop(network, task=task, train=train, dev=dev, objectives=objectives, plan=plan,
               folder=draft.folder / "fit", report=report, stage=stage)  # fmt: skip
    network.save(draft.folder)
    artifact.write_text(draft.folder / "log.jsonl", "".join(f"{artifact.canonical(line).decode()}\n" for line in log))
    lengths = [len(one) for one in dev.ids]
    draft.facts.update(
        {
            "kind": student.kind,
            "rows": len(train.ids),
            "parameters": sum(weight.numel() for weight in student.reopen(draft.folder, task=task).module.parameters()),
            "flops_per_text": network.flops(round(float(np.mean(lengths)))),
            "mean_ids_per_text": float(np.mean(lengths)),
        }
    )
    shutil.rmtree(draft.folder / "fit", ignore_errors=True)


def examples(
    network: Network, corpus: corpora.Corpus, said: TransferSet | None, *, classes: int
) -> tuple[Examples, Examples]:
    """Train and dev rows for a network: everything that the teacher spoke of, or the rows with gold alone.

    Raises:
        InputError: no row to learn from, or none to choose on.
        TypeError: the transfer set holds test rows.
    """
    for rows in (corpus.train, corpus.unlabelled, corpus.dev):
        corpora.refuse_test(rows)
    gold = {part.role: _gold(part) for part in (corpus.train, corpus.dev)}
    made = _from_said(network, said, gold, classes) if said else _from_gold(network, corpus)
    for role, part in zip(("train", "dev"), made, strict=True):
        if not part.ids:
            todo = "Give labels, or ask a teacher about them."
            raise InputError(Problem(f"corpus.{role}", "no row that says what is right", "at least one", todo))
    return made


def _gold(rows: corpora.Rows[Any]) -> dict[str, int]:
    table = rows.table(["id", "label"]).drop_null()
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def _from_gold(network: Network, corpus: corpora.Corpus) -> tuple[Examples, Examples]:
    tables = [part.table(["text", "label"]).drop_null() for part in (corpus.train, corpus.dev)]
    train, dev = (
        Examples(network.encode(table["text"].to_pylist()), table["label"].to_numpy().astype(np.int64), None)
        for table in tables
    )
    return train, dev


def _from_said(
    network: Network, said: TransferSet, gold: dict[str, dict[str, int]], classes: int
) -> tuple[Examples, Examples]:
    parts: dict[str, tuple[list[Any], list[int], list[NDArray[np.float32]]]] = {}
    for shard in said.shards():
        role = str(shard["part"][0]) if shard.num_rows else "train"
        if role in ("test", "outside"):
            raise TypeError("this transfer set holds test rows: only `evaluate` may see them")
        ids, labels, logits = parts.setdefault("dev" if role == "dev" else "train", ([], [], []))
        ids += network.encode(shard["text"].to_pylist())
        known = gold.get(role, {})
        labels += [known.get(one, -1) for one in shard["id"].to_pylist()]
        logits.append(shard["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32))
    made = []
    for name in ("train", "dev"):
        ids, labels, flat = parts.get(name, ([], [], []))
        table = np.concatenate(flat).reshape(-1, classes) if flat else np.zeros((0, classes), dtype=np.float32)
        made.append(Examples(ids, np.array(labels, dtype=np.int64), table))
    return made[0], made[1]


def loop(
    network: Network,
    *,
    task: Task,
    train: Examples,
    dev: Examples,
    objectives: Sequence[Objective],
    plan: Plan,
    folder: Path,
    report: Report = silent,
    stage: str = STAGE,
) -> list[dict[str, Any]]:
    """Fit a network and leave it with the weights of its best epoch on dev; give the log, a line an epoch.

    Best is by the task's first metric against gold (against the teacher where there is none), ties by the lower loss.
    Checkpoints in `folder` let a killed run go on to the very same weights.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(plan.seed, "train/noise"))
        return _Loop(network, task, train, dev, objectives, plan, folder, report, stage).run()


@final
class _Loop:
    """One fit: where it stands, and how it goes on."""

    def __init__(
        self,
        network: Network,
        task: Task,
        train: Examples,
        dev: Examples,
        objectives: Sequence[Objective],
        plan: Plan,
        folder: Path,
        report: Report,
        stage: str,
    ) -> None:
        from accelerate import Accelerator
        from torch.optim import SparseAdam

        self.network, self.task, self.train, self.dev = network, task, train, dev
        self.objectives, self.plan, self.folder = objectives, plan, folder
        self.accelerator = Accelerator()
        self.module: Any = self.accelerator.prepare_model(network.module)
        self.optimizers: list[Optimizer] = network.optimizers(plan.learning_rate)
        self.trained = [weight for weight in network.module.parameters() if weight.requires_grad]
        dense = [one for one in self.optimizers if not isinstance(one, SparseAdam)]
        self.dense = [weight for one in dense for group in one.param_groups for weight in group["params"]]
        self.metric: Metric = plugins.build("metrics", task.metrics[0])
        lengths = [len(one) for one in train.ids]
        self.lengths = lengths
        self.per_epoch = -(-len(lengths) // plan.batch_size)
        self.meter = Meter(report, stage=stage, total=self._last_step() * plan.batch_size, unit="texts")
        self.epoch, self.step, self.bad_epochs = 0, 0, 0
        self.sums: dict[str, float] = {}
        self.log: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.best_score = (-np.inf, -np.inf)
        self.saved_at = time.monotonic()

    def run(self) -> list[dict[str, Any]]:
        """Every epoch that is left."""
        checkpoint = _Checkpoint(self.folder)
        checkpoint.restore(self)
        if self.step:
            self.meter.advance(self.step * self.plan.batch_size, resumed="from a checkpoint")
        while self.step < self._last_step() and self.bad_epochs < self.plan.patience:
            self._epoch(checkpoint)
        self.network.module.load_state_dict(self.best, strict=False)
        self.network.module.eval()
        return self.log

    def _last_step(self) -> int:
        steps = self.plan.epochs * self.per_epoch
        return steps if self.plan.steps is None else min(steps, self.plan.steps)

    def _epoch(self, checkpoint: _Checkpoint) -> None:
        rng = seeds.generator(self.plan.seed, f"train/epoch/{self.epoch}")
        order = batches.by_rows(self.lengths, size=self.plan.batch_size, rng=rng)
        self.module.train()
        for rows in order[self.step - self.epoch * self.per_epoch :]:
            self._step(rows)
            if self.step >= self._last_step():
                break
            if time.monotonic() - self.saved_at >= self.plan.checkpoint_seconds and self.step % self.per_epoch:
                checkpoint.save(self)
        self._close_epoch()
        checkpoint.save(self)

    def _step(self, rows: NDArray[np.int64]) -> None:
        import torch

        share = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        rate = self.plan.learning_rate * self._schedule()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
        student = self._forward([self.train.ids[row] for row in share]).float()
        terms = [one.weight * one.loss(student, self._target(self.train, share, student)) for one in self.objectives]
        loss = torch.stack(terms).sum()
        _refuse_divergence(float(loss.detach()), step=self.step, plan=self.plan)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.dense, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        for one, term in zip(self.objectives, terms, strict=True):
            self.sums[one.kind] = self.sums.get(one.kind, 0.0) + float(term.detach()) * len(rows)
        self.sums["rows"] = self.sums.get("rows", 0.0) + len(rows)
        self.meter.advance(len(rows), loss=f"{float(loss.detach()):.3f}")

    def _schedule(self) -> float:
        """Linear warm-up, then linear decay, as a share of the peak."""
        total = self.plan.epochs * self.per_epoch
        warm = max(1, round(_WARM_UP * total))
        if self.step < warm:
            return (self.step + 1) / warm
        return max(_FLOOR, (total - self.step) / max(1, total - warm))

    def _forward(self, ids: Sequence[NDArray[np.int32]]) -> Tensor:
        import torch

        padded, mask = batches.pad(ids)
        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.bf16):
            logits: Tensor = self.module(torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device))
        return logits

    def _target(self, examples: Examples, rows: NDArray[np.int64], student: Tensor) -> Target:
        import torch

        device = student.device
        logits = torch.from_numpy(examples.logits[rows]) if examples.logits is not None else torch.zeros(student.shape)
        gold = torch.from_numpy(examples.gold[rows])
        mask = torch.ones(len(rows), dtype=torch.bool)
        return Target(logits=logits.to(device), gold=gold.to(device), mask=mask.to(device))

    def _close_epoch(self) -> None:
        rows = self.sums.pop("rows")
        terms = {kind: total / rows for kind, total in sorted(self.sums.items())}
        score, dev = self._judge()
        _refuse_divergence(dev["loss"], step=self.step, plan=self.plan)
        line = {"epoch": self.epoch + 1, "step": self.step, "loss": sum(terms.values()), "terms": terms, "dev": dev}
        self.log.append({**line, "learning_rate": self.plan.learning_rate * self._schedule()})
        self.epoch += 1
        self.sums = {}
        self.bad_epochs += 1
        if score > self.best_score:
            self.best_score, self.bad_epochs = score, 0
            state = self.network.module.state_dict()
            trained = {name for name, weight in self.network.module.named_parameters() if weight.requires_grad}
            self.best = {name: state[name].detach().cpu().clone() for name in state if name in trained}

    def _judge(self) -> tuple[tuple[float, float], dict[str, float]]:
        """The dev score, better ones first by comparison, and its parts."""
        import torch

        self.module.eval()
        logits = torch.empty((len(self.dev.ids), len(self.task.outputs)))
        with torch.inference_mode():
            for rows in batches.by_tokens([len(one) for one in self.dev.ids], budget=_JUDGED):
                logits[rows] = self._forward([self.dev.ids[row] for row in rows]).float().cpu()
            everything = np.arange(len(self.dev.ids))
            target = self._target(self.dev, everything, logits)
            loss = float(sum(one.weight * one.loss(logits, target) for one in self.objectives))
        probabilities = torch.softmax(logits.double(), dim=-1).numpy()
        score, gold = _score(self.metric, self.dev, probabilities)
        sign = 1.0 if self.metric.higher_is_better else -1.0
        return (sign * score, -loss), {self.metric.kind: score, "loss": loss, "rows": float(gold)}


def _refuse_divergence(loss: float, *, step: int, plan: Plan) -> None:
    """Stop where numbers have run away: nothing that is fitted from there on is worth its time.

    Raises:
        InputError: the loss is not finite.
    """
    if not math.isfinite(loss):
        found = f"a loss that is not finite at step {step} (learning rate {plan.learning_rate:g})"
        raise InputError(Problem("the fit", found, "a finite loss", "Lower the learning rate, or look at the rows."))


def _score(metric: Metric, dev: Examples, probabilities: NDArray[np.float64]) -> tuple[float, int]:
    """A metric on dev against gold, or against the teacher where there is no gold at all."""
    known = dev.gold >= 0
    gold = dev.gold
    if not known.any() and dev.logits is not None:
        known, gold = np.ones(len(gold), dtype=bool), dev.logits.argmax(axis=1).astype(np.int64)
    answers = Answers(gold=gold[known], probabilities=probabilities[known], teacher=probabilities[known])
    return metric.score(answers), int(known.sum())


@final
class _Checkpoint:
    """Everything that a fit depends on, in two files that appear together. Tensors in safetensors, the rest in JSON."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkpoint"

    def save(self, fit: _Loop) -> None:
        """Replace the checkpoint, so that at every moment a whole one is there."""
        from safetensors.torch import save_file

        if not fit.accelerator.is_main_process:
            return
        fresh, old = self._folder.with_name("checkpoint.new"), self._folder.with_name("checkpoint.old")
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
        fresh.mkdir(parents=True)
        tensors, numbers = _state(fit)
        save_file(tensors, fresh / "state.safetensors")
        artifact.write_json(fresh / "state.json", numbers)
        if self._folder.exists():
            os.replace(self._folder, old)
        os.replace(fresh, self._folder)
        shutil.rmtree(old, ignore_errors=True)
        fit.saved_at = time.monotonic()

    def restore(self, fit: _Loop) -> None:
        """Go on from the last whole checkpoint, if there is one."""
        import torch
        from safetensors.torch import load_file

        whole = next((one for one in self._candidates() if (one / "state.json").is_file()), None)
        if whole is None:
            return
        tensors = load_file(whole / "state.safetensors")
        numbers = json.loads((whole / "state.json").read_text(encoding="utf-8"))
        _restore(fit, tensors, numbers)
        torch.set_rng_state(tensors["rng"])

    def _candidates(self) -> Iterator[Path]:
        # Killed between the two renames, the fresh one is whole and not yet in its place.
        yield self._folder
        if not self._folder.exists():
            yield self._folder.with_name("checkpoint.new")
            yield self._folder.with_name("checkpoint.old")


def _state(fit: _Loop) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    import torch

    tensors = {"rng": torch.get_rng_state()}
    tensors |= {f"best/{name}": tensor for name, tensor in fit.best.items()}
    for place, weight in enumerate(fit.trained):
        tensors[f"weight/{place}"] = weight.detach().cpu().contiguous()
    counters: list[dict[str, dict[str, float]]] = []
    for number, optimizer in enumerate(fit.optimizers):
        counters.append({})
        for place, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer/{number}/{place}/{name}"] = value.detach().cpu().contiguous()
                else:
                    counters[-1].setdefault(str(place), {})[name] = value
    numbers = {
        "epoch": fit.epoch,
        "step": fit.step,
        "bad_epochs": fit.bad_epochs,
        "sums": fit.sums,
        "log": fit.log,
        "best_score": list(fit.best_score) if fit.best else None,
        "counters": counters,
    }
    return tensors, numbers


def _restore(fit: _Loop, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    import torch

    fit.epoch, fit.step, fit.bad_epochs = numbers["epoch"], numbers["step"], numbers["bad_epochs"]
    fit.sums, fit.log = numbers["sums"], numbers["log"]
    if numbers["best_score"] is not None:
        fit.best_score = (numbers["best_score"][0], numbers["best_score"][1])
    fit.best = {name.removeprefix("best/"): one for name, one in tensors.items() if name.startswith("best/")}
    with torch.no_grad():
        for place, weight in enumerate(fit.trained):
            weight.copy_(tensors[f"weight/{place}"])
    for number, optimizer in enumerate(fit.optimizers):
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in tensors.items():
            if name.startswith(f"optimizer/{number}/"):
                _, _, held, field = name.split("/")
                state.setdefault(int(held), {})[field] = tensor
        for held, values in numbers["counters"][number].items():
            state.setdefault(int(held), {}).update(values)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
