"""The only training loop there is, for whatever has weights: a student, its twin, a teacher that is fitted here.

Usually one network learns; where a recipe names a `peer`, two learn side by side and each hears the other. What a
teacher says was recorded: no teacher is in here. Dev chooses, and test rows never come this far.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import quantization
from stillroom.checkpoint import Checkpoint
from stillroom.core import processes, seeds
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Objective
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers._fitting import Examples, Plan
from stillroom.team import Team
from stillroom.timetable import Timetable

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor

_PROBED = 4  # steps of an epoch in which each term's gradient is measured


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
    peer: Beginner | None = None,
) -> list[dict[str, Any]]:
    """Fit a network and leave it, on the CPU, with the weights of its best epoch on dev; give the log, a line an epoch.

    Best is by the task's first metric against gold (against the teacher where there is none), ties by the lower loss.
    The first line also holds the dev score before any step, and each line how large every term's gradient was.
    Checkpoints in `folder` let a killed run, or one that stopped at the plan's `steps`, go on to the very same weights.
    Where a launcher started several processes, all of them have to call this together.

    Raises:
        InputError: a loss that is not finite.
    """
    import torch

    beginners = [Beginner(network, train, dev, plan.learning_rate, plan.bf16), *([peer] if peer else [])]
    timetable = Timetable(plan, train, objectives)
    accelerator = processes.accelerator()
    with _own_chance(accelerator.device):
        torch.manual_seed(seeds.derive(plan.seed, "train/noise"))
        learners = [Learner(one, objectives, task=task, accelerator=accelerator) for one in beginners]
        meter = Meter(report, stage=stage, total=timetable.steps * plan.batch_size, unit="texts")
        return Loop(learners, timetable, accelerator=accelerator, folder=folder, meter=meter).run()


@contextlib.contextmanager
def _own_chance(device: torch.device) -> Iterator[None]:
    """Leave every generator of chance as it was found: the CPU's, and that of the device that is fitted on."""
    import torch

    beside = seeds.of_device(device)
    before = None if beside is None else beside.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            if beside is not None:
                beside.set_rng_state(before)


@final
class Loop:
    """One fit: where it stands, and how it goes on."""

    def __init__(
        self, learners: Sequence[Learner], timetable: Timetable, *, accelerator: Accelerator, folder: Path, meter: Meter
    ) -> None:
        self.learners, self.timetable, self.plan = learners, timetable, timetable.plan
        self.accelerator, self.folder, self.meter = accelerator, folder, meter
        self.team = Team(accelerator)
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
        elif self.timetable.steps >= self.timetable.per_epoch:
            self.before = self.learners[0].judge()
        while self.step < self.timetable.steps and self.bad_epochs < self.plan.patience:
            self._epoch(checkpoint)
        for learner in self.learners:
            learner.settle()
        return self.log

    def _epoch(self, checkpoint: Checkpoint) -> None:
        order, first = self.timetable.order(self.epoch), self.epoch * self.timetable.per_epoch
        # By the epoch's first step, also where it goes on in the middle of it.
        thawed = self.timetable.thawed(first)
        if self.epoch == self.timetable.rounded_from and self.step == first:
            for learner in self.learners:
                learner.begin_anew()
        for learner in self.learners:
            learner.turn(training=True)
            learner.thaw(thawed)
        rounds = self.timetable.rounds(self.epoch)
        modules = [one.network.module for one in self.learners if rounds]
        with quantization.rounded(modules, weight_bits=self.plan.weight_bits):
            for rows in order[self.step - first :]:
                self._step(rows)
                if self.step >= self.timetable.steps:
                    break
                due = time.monotonic() - self.saved_at >= self.plan.checkpoint_seconds
                if due and self.step % self.timetable.per_epoch:
                    checkpoint.save(self)
            self._close_epoch()
        checkpoint.save(self)

    def _step(self, rows: NDArray[np.int64]) -> None:
        import torch

        self.team.draw_apart(self.plan.seed, step=self.step)
        rate, share = self.timetable.rate(self.step), self.timetable.share(self.step)
        said = [learner.say(rows) for learner in self.learners]
        losses: list[float] = []
        for place, learner in enumerate(self.learners):
            others = [one[learner.answer].detach() for other, one in enumerate(said) if other != place]
            target = learner.target(learner.train, rows, said[place], others)
            terms = learner.terms(said[place], target, share=share)
            loss = torch.stack(list(terms.values())).sum() if terms else said[place][learner.answer].sum() * 0.0
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

    def _close_epoch(self) -> None:
        rows = self.sums.pop("rows")
        terms = {kind: total / rows for kind, total in sorted(self.sums.items())}
        judged = [learner.judge() for learner in self.learners]
        for learner, dev in zip(self.learners, judged, strict=True):
            _refuse_divergence(dev["loss"], step=self.step, learning_rate=learner.learning_rate)
        line = {"epoch": self.epoch + 1, "step": self.step, "loss": sum(terms.values()), "terms": terms}
        line |= {"dev": judged[0]} | ({"peer": judged[1]} if len(judged) > 1 else {})
        line["gradients"] = {kind: sum(one) / len(one) for kind, one in sorted(self.gradients.items()) if one}
        if self.before is not None:
            line["before"] = self.before
        line |= {"rounded": True} if self.timetable.rounds(self.epoch) else {}
        self.log.append({**line, "learning_rate": self.plan.learning_rate * self.timetable.rate(self.step)})
        more_to_come = self.timetable.more_to_come(epoch=self.epoch, step=self.step)
        self.epoch += 1
        self.sums, self.gradients, self.before = {}, {}, None
        better = [learner.keep_if_better(dev) for learner, dev in zip(self.learners, judged, strict=True)]
        self.bad_epochs = 0 if any(better) or more_to_come else self.bad_epochs + 1


def _refuse_divergence(loss: float, *, step: int, learning_rate: float) -> None:
    """Stop where numbers have run away: nothing that is fitted from there on is worth its time.

    Raises:
        InputError: the loss is not finite.
    """
    if not math.isfinite(loss):
        found = f"a loss that is not finite at step {step} (learning rate {learning_rate:g})"
        raise InputError(Problem("the fit", found, "a finite loss", "Lower the learning rate, or look at the rows."))
