"""The only training loop there is, for whatever has weights: a student, its twin, a teacher that is fitted here.

Usually one network learns; where a recipe names a `peer`, two learn side by side and each hears the other. What a
teacher says was recorded: no teacher is in here. Dev chooses, and test rows never come this far.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import quantization
from stillroom.checkpoint import Checkpoint
from stillroom.core import batches, plugins, seeds, signals
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.metrics import Answers, Metric
from stillroom.objectives import PEER, Objective, Target
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers import Examples, Plan

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

_WARM_UP = 0.06
_FLOOR = 0.02  # the learning rate never falls below this share of its peak
_JUDGED = 4096  # padded ids a dev batch
_EASIEST = 0.3  # the share of rows that a curriculum begins with
_PROBED = 4  # steps of an epoch in which each term's gradient is measured


@final
@dataclass(frozen=True)
class Peer:
    """A second network that learns beside the first: the same rows, read its own way."""

    network: Network
    train: Examples
    dev: Examples
    learning_rate: float
    bf16: bool


def fit(
    network: Network,
    *,
    task: Task,
    train: Examples,
    dev: Examples,
    objectives: Sequence[Objective],
    plan: Plan,
    folder: Path,
    report: Report = silent,
    stage: str = "student",
    peer: Peer | None = None,
) -> list[dict[str, Any]]:
    """Fit a network and leave it with the weights of its best epoch on dev; give the log, a line an epoch.

    Best is by the task's first metric against gold (against the teacher where there is none), ties by the lower loss.
    The first line also holds the dev score before any step, and each line how large every term's gradient was.
    Checkpoints in `folder` let a killed run go on to the very same weights.

    Raises:
        InputError: a loss that is not finite.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(plan.seed, "train/noise"))
        return Loop(network, task, train, dev, objectives, plan, folder, report, stage, peer).run()


@final
class Loop:
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
        peer: Peer | None,
    ) -> None:
        from accelerate import Accelerator

        self.objectives, self.plan, self.folder = objectives, plan, folder
        self.accelerator = Accelerator()
        first = Peer(network, train, dev, plan.learning_rate, plan.bf16)
        metric: Metric = plugins.build("metrics", task.metrics[0])
        self.learners = [
            Learner(one, objectives, metric=metric, classes=len(task.outputs), accelerator=self.accelerator)
            for one in ([first] if peer is None else [first, peer])
        ]
        self.lengths = [len(one) for one in train.ids]
        self.easiest = _easiest_first(train) if plan.curriculum else None
        self.per_epoch = -(-len(self.lengths) // plan.batch_size)
        self.meter = Meter(report, stage=stage, total=self._last_step() * plan.batch_size, unit="texts")
        self.epoch, self.step, self.bad_epochs = 0, 0, 0
        self.sums: dict[str, float] = {}
        self.gradients: dict[str, list[float]] = {}
        self.before: dict[str, float] | None = None
        self.log: list[dict[str, Any]] = []
        self.saved_at = time.monotonic()

    def run(self) -> list[dict[str, Any]]:
        """Every epoch that is left."""
        checkpoint = Checkpoint(self.folder)
        checkpoint.restore(self)
        if self.step:
            self.meter.advance(self.step * self.plan.batch_size, resumed="from a checkpoint")
        elif self.plan.steps is None:
            self.before = self.learners[0].judge([one.at(1.0) for one in self.objectives])
        while self.step < self._last_step() and self.bad_epochs < self.plan.patience:
            self._epoch(checkpoint)
        for learner in self.learners:
            learner.settle()
        return self.log

    def _last_step(self) -> int:
        steps = self.plan.epochs * self.per_epoch
        return steps if self.plan.steps is None else min(steps, self.plan.steps)

    def _share(self) -> float:
        """How much of training is over."""
        return self.step / max(1, self.plan.epochs * self.per_epoch)

    def _epoch(self, checkpoint: Checkpoint) -> None:
        order = self._order()
        thawed = min(1.0, self._share() / self.plan.unfreeze) if self.plan.unfreeze else 1.0
        if self.epoch == self._rounded_from() and self.step == self.epoch * self.per_epoch:
            for learner in self.learners:
                learner.begin_anew()
        for learner in self.learners:
            learner.turn(training=True)
            learner.thaw(thawed)
        with quantization.rounded(one.network.module for one in self.learners if self._rounds()):
            for rows in order[self.step - self.epoch * self.per_epoch :]:
                self._step(rows)
                if self.step >= self._last_step():
                    break
                if time.monotonic() - self.saved_at >= self.plan.checkpoint_seconds and self.step % self.per_epoch:
                    checkpoint.save(self)
            self._close_epoch()
        checkpoint.save(self)

    def _rounded_from(self) -> int | None:
        """The first epoch under the rounding of an export in eight bits: a whole epoch at least, if any."""
        if not self.plan.quantization_aware:
            return None
        return self.plan.epochs - max(1, round(self.plan.quantization_aware * self.plan.epochs))

    def _rounds(self) -> bool:
        first = self._rounded_from()
        return first is not None and self.epoch >= first

    def _order(self) -> list[NDArray[np.int64]]:
        """The batches of this epoch; under a curriculum, of the rows that have come in so far, drawn more than once."""
        rng = seeds.generator(self.plan.seed, f"train/epoch/{self.epoch}")
        begun = self.epoch / self.plan.epochs
        if self.easiest is None or begun >= self.plan.curriculum:
            return batches.by_rows(self.lengths, size=self.plan.batch_size, rng=rng)
        share = _EASIEST + (1 - _EASIEST) * begun / self.plan.curriculum
        known = self.easiest[: max(1, round(share * len(self.easiest)))]
        rows = np.resize(rng.permutation(known), len(self.lengths))
        order = batches.by_rows([self.lengths[row] for row in rows], size=self.plan.batch_size, rng=rng)
        return [rows[places] for places in order]

    def _step(self, rows: NDArray[np.int64]) -> None:
        import torch

        share = rows[self.accelerator.process_index :: self.accelerator.num_processes]
        rate, now = self._schedule(), [one.at(self._share()) for one in self.objectives]
        said = [learner.say(share) for learner in self.learners]
        losses: list[float] = []
        for place, learner in enumerate(self.learners):
            others = [one["logits"].detach() for other, one in enumerate(said) if other != place]
            target = learner.target(learner.train, share, said[place], others)
            terms = learner.terms(now, said[place], target)
            loss = torch.stack(list(terms.values())).sum() if terms else said[place]["logits"].sum() * 0.0
            losses.append(float(loss.detach()))
            if place == 0:
                self._probe(terms, said[place])
            _refuse_divergence(losses[-1], step=self.step, learning_rate=learner.learning_rate)
            learner.take_step(loss, rate=rate)
            if place == 0:
                for kind, term in terms.items():
                    self.sums[kind] = self.sums.get(kind, 0.0) + float(term.detach()) * len(rows)
        self.step += 1
        self.sums["rows"] = self.sums.get("rows", 0.0) + len(rows)
        self.meter.advance(len(rows), loss=f"{losses[0]:.3f}")

    def _probe(self, terms: Mapping[str, Tensor], said: Mapping[str, Tensor]) -> None:
        """Note how large each term's gradient is at the student's outputs, in the first steps where it is not zero.

        A term can stand in the log and never reach the weights; of a term that is zero nothing is to be learned.
        """
        import torch

        outputs = [one for one in said.values() if one.requires_grad]
        for kind, term in terms.items():
            known = self.gradients.setdefault(kind, [])
            if outputs and len(known) < _PROBED and float(term.detach()) != 0.0:
                found = (
                    torch.autograd.grad(term, outputs, retain_graph=True, allow_unused=True)
                    if term.requires_grad
                    else ()
                )
                known.append(math.sqrt(sum(float(one.pow(2).sum()) for one in found if one is not None)))

    def _schedule(self) -> float:
        """Linear warm-up, then linear decay, as a share of the peak."""
        total = self.plan.epochs * self.per_epoch
        warm = max(1, round(_WARM_UP * total))
        if self.step < warm:
            return (self.step + 1) / warm
        return max(_FLOOR, (total - self.step) / max(1, total - warm))

    def _close_epoch(self) -> None:
        rows = self.sums.pop("rows")
        terms = {kind: total / rows for kind, total in sorted(self.sums.items())}
        final_ = [one.at(1.0) for one in self.objectives]
        judged = [learner.judge(final_) for learner in self.learners]
        for learner, dev in zip(self.learners, judged, strict=True):
            _refuse_divergence(dev["loss"], step=self.step, learning_rate=learner.learning_rate)
        line = {"epoch": self.epoch + 1, "step": self.step, "loss": sum(terms.values()), "terms": terms}
        line |= {"dev": judged[0]} | ({"peer": judged[1]} if len(judged) > 1 else {})
        line["gradients"] = {kind: sum(one) / len(one) for kind, one in sorted(self.gradients.items()) if one}
        if self.before is not None:
            line["before"] = self.before
        line |= {"rounded": True} if self._rounds() else {}
        self.log.append({**line, "learning_rate": self.plan.learning_rate * self._schedule()})
        rounds_later = self.epoch < (self._rounded_from() or 0)
        self.epoch += 1
        self.sums, self.gradients, self.before = {}, {}, None
        better = [learner.keep_if_better(dev) for learner, dev in zip(self.learners, judged, strict=True)]
        # While a stage is still to come, an epoch without a better score is no sign of an end.
        staged = max((one.starts for one in self.objectives), default=0.0)
        waits = self._share() < max(staged, self.plan.unfreeze, self.plan.curriculum) or rounds_later
        self.bad_epochs = 0 if any(better) or waits else self.bad_epochs + 1


@final
class Learner:
    """One who is fitted: its network, its rows, its optimizers, and its best weights so far."""

    def __init__(
        self, peer: Peer, objectives: Sequence[Objective], *, metric: Metric, classes: int, accelerator: Any
    ) -> None:
        from torch.optim import AdamW, SparseAdam

        from stillroom.students._speaking import Speaking

        self.network, self.train, self.dev = peer.network, peer.train, peer.dev
        self.learning_rate, self._bf16 = peer.learning_rate, peer.bf16
        self._objectives, self._metric, self._classes, self._accelerator = objectives, metric, classes, accelerator
        self._wants = [
            one.wants(student_layers=self.network.layers, teacher_layers=self.train.layers) for one in objectives
        ]
        self.wanted = signals.LOGITS.union(*(one.student for one in self._wants))
        self.module: Any = accelerator.prepare_model(Speaking(self.network))
        self.optimizers: list[Optimizer] = self.network.optimizers(self.learning_rate)
        self.trained = [weight for weight in self.network.module.parameters() if weight.requires_grad]
        self._names = [name for name, weight in self.network.module.named_parameters() if weight.requires_grad]
        self.learned = self._learned()
        extra = [weight for module in self.learned.values() for weight in module.parameters()]
        if extra:
            self.optimizers.append(AdamW(extra, lr=self.learning_rate, weight_decay=0.0, foreach=False))
            self.trained += extra
        dense = [one for one in self.optimizers if not isinstance(one, SparseAdam)]
        self._dense = [weight for one in dense for group in one.param_groups for weight in group["params"]]
        self.best: dict[str, Tensor] = {}
        self.best_score = (-np.inf, -np.inf)

    def _learned(self) -> dict[int, nn.Module]:
        """What the objectives learn beside the student, by the objective's place in the mixture."""
        import torch

        if self.wanted == signals.LOGITS and not self.train.further:
            return {}
        with torch.no_grad():
            ids, mask = (torch.from_numpy(one) for one in batches.pad(self.train.ids[:1]))
            told = self.network.tell(ids, mask, self.wanted)
        student = {name: int(one.shape[-1]) for name, one in told.items()}
        teacher = {name: one.width for name, one in self.train.further.items()} | {"logits": self._classes}
        made = {}
        for place, (one, wants) in enumerate(zip(self._objectives, self._wants, strict=True)):
            made[place] = one.learned(
                student={name: size for name, size in student.items() if name in wants.student},
                teacher={name: size for name, size in teacher.items() if name in wants.teacher},
            )
        return {place: one.to(self._accelerator.device) for place, one in made.items() if one is not None}

    def turn(self, *, training: bool) -> None:
        """To training (dropout on, queues filled), or to being judged."""
        for module in (self.module, *self.learned.values()):
            module.train(training)

    def thaw(self, share: float) -> None:
        """Train so much of it, from the head down; all of it at 1."""
        strata = self.network.strata()
        trained = {id(weight) for weight in self.trained}
        opened = 1 + math.floor(share * (len(strata) - 1))
        for number, stratum in enumerate(strata):
            for weight in stratum:
                if id(weight) in trained:
                    weight.requires_grad_(number < opened)

    def say(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """What it says of these training rows."""
        return self._forward([self.train.ids[row] for row in rows])

    def _forward(self, ids: Sequence[NDArray[np.int32]]) -> dict[str, Tensor]:
        import torch

        padded, mask = batches.pad(ids)
        device = self._accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16):
            told = self.module(torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device), self.wanted)
        return {name: one.float() for name, one in told.items()}

    def target(
        self, examples: Examples, rows: NDArray[np.int64], said: Mapping[str, Tensor], others: Sequence[Tensor] = ()
    ) -> Target:
        """What these rows are fitted to."""
        import torch

        device = said["logits"].device
        told = {name: torch.from_numpy(one.batch(rows)) for name, one in examples.further.items()}
        if examples.logits is not None:
            told["logits"] = torch.from_numpy(examples.logits[rows])
        if any("label" in wants.teacher for wants in self._wants):
            named = told["logits"].argmax(dim=1) if examples.labels is None else torch.from_numpy(examples.labels[rows])
            told["label"] = named
        if others:
            told[PEER] = torch.stack(list(others)).mean(dim=0)
        tokens = batches.pad([examples.ids[row] for row in rows])[1] if signals.over_tokens(self.wanted) else None
        return Target(
            signals={name: one.to(device) for name, one in told.items()},
            gold=torch.from_numpy(examples.gold[rows]).to(device),
            mask=torch.ones(len(rows), dtype=torch.bool, device=device),
            tokens=None if tokens is None else torch.from_numpy(tokens).to(device),
        )

    def terms(self, now: Sequence[Objective | None], said: Mapping[str, Tensor], target: Target) -> dict[str, Tensor]:
        """Each objective that counts, weighted; of a kind that stands twice in a mixture, the second gets a number."""
        found: dict[str, Tensor] = {}
        for place, one in enumerate(now):
            if one is not None and (PEER not in one.needs or PEER in target.signals):
                name = one.kind if one.kind not in found else f"{one.kind} {place + 1}"
                wants = self._wants[place]
                heard = {name: told for name, told in said.items() if name in wants.student}
                taught = {name: told for name, told in target.signals.items() if name in {*wants.teacher, PEER}}
                aim = Target(taught, target.gold, target.mask, target.tokens)
                found[name] = one.weight * one.loss(heard, aim, self.learned.get(place))
        return found

    def take_step(self, loss: Tensor, *, rate: float) -> None:
        """One step down the loss, at this share of the peak rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * rate
            optimizer.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        self._accelerator.clip_grad_norm_(self._dense, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()

    def judge(self, final_: Sequence[Objective | None]) -> dict[str, float]:
        """Its dev score, and its dev loss under the mixture that training ends with."""
        import torch

        self.turn(training=False)
        logits = torch.empty((len(self.dev.ids), self._classes))
        loss = 0.0
        with torch.inference_mode():
            for rows in batches.by_tokens([len(one) for one in self.dev.ids], budget=_JUDGED):
                said = self._forward([self.dev.ids[row] for row in rows])
                logits[rows] = said["logits"].cpu()
                terms = self.terms(final_, said, self.target(self.dev, rows, said))
                loss += float(sum(terms.values())) * len(rows)
        probabilities = torch.softmax(logits.double(), dim=-1).numpy()
        score, gold = dev_score(self._metric, self.dev, probabilities)
        return {self._metric.kind: score, "loss": loss / len(self.dev.ids), "rows": float(gold)}

    def keep_if_better(self, dev: Mapping[str, float]) -> bool:
        """Keep these weights where dev says that none were better."""
        sign = 1.0 if self._metric.higher_is_better else -1.0
        score = (sign * dev[self._metric.kind], -dev["loss"])
        if score <= self.best_score:
            return False
        self.best_score = score
        state = self.network.module.state_dict()
        self.best = {name: state[name].detach().cpu().clone() for name in self._names}
        return True

    def begin_anew(self) -> None:
        """Go on from the best weights so far, and forget how they were judged: the best is chosen from here on."""
        if self.best:
            self.network.module.load_state_dict(self.best, strict=False)
        self.best, self.best_score = {}, (-np.inf, -np.inf)

    def settle(self) -> None:
        """Take the best weights."""
        self.network.module.load_state_dict(self.best, strict=False)
        self.network.module.eval()
        self.thaw(1.0)


def _easiest_first(examples: Examples) -> NDArray[np.int64] | None:
    """Rows by how sure the teacher is of them, the surest first; None where no teacher said how sure it is."""
    if examples.logits is None:
        return None
    shifted = examples.logits - examples.logits.max(axis=1, keepdims=True)
    surest = 1.0 / np.exp(shifted).sum(axis=1)
    return np.argsort(-surest, kind="stable")


def _refuse_divergence(loss: float, *, step: int, learning_rate: float) -> None:
    """Stop where numbers have run away: nothing that is fitted from there on is worth its time.

    Raises:
        InputError: the loss is not finite.
    """
    if not math.isfinite(loss):
        found = f"a loss that is not finite at step {step} (learning rate {learning_rate:g})"
        raise InputError(Problem("the fit", found, "a finite loss", "Lower the learning rate, or look at the rows."))


def dev_score(metric: Metric, dev: Examples, probabilities: NDArray[np.float64]) -> tuple[float, int]:
    """A metric on dev against gold, or against the teacher where there is no gold at all; and the rows it counts."""
    known = dev.gold >= 0
    gold = dev.gold
    if not known.any() and dev.named is not None:
        known, gold = np.ones(len(gold), dtype=bool), dev.named
    answers = Answers(gold=gold[known], probabilities=probabilities[known], teacher=probabilities[known])
    return metric.score(answers), int(known.sum())
