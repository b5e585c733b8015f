"""One who is fitted: what it begins with, what it says, what it is fitted to, and how it does on dev."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import batches, plugins, signals
from stillroom.metrics import Metric
from stillroom.objectives import PEER, Objective, Target, terms
from stillroom.students import Network, TellsFrom
from stillroom.tasks import Task
from stillroom.teachers._fitting import Examples
from stillroom.team import Team

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import Tensor, nn
    from torch.optim import Optimizer

WRITTEN = "written"  # beside what a network that writes tells: what it is to write, in tokens
_FEW_TOKENS = 128
_NETWORK = "network"  # whose the best weights are, where they are not an objective's


def attention(device: torch.device, *, bf16: bool, tokens: int) -> AbstractContextManager[None]:
    """How to attend to so many padded tokens while learning: plainly, where torch's quicker way is the slower one.

    In bf16 on a CPU (AMD EPYC, AVX-512) that takes two to seven times as long forwards and back, up to some 128 tokens.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    plainly = bf16 and device.type == "cpu" and tokens <= _FEW_TOKENS and torch.is_grad_enabled()
    return sdpa_kernel(SDPBackend.MATH) if plainly else nullcontext()


@final
@dataclass(frozen=True)
class Beginner:
    """One who is to learn: a network, the rows that it learns from and is judged on, read its own way, and its pace."""

    network: Network
    train: Examples
    dev: Examples
    learning_rate: float
    bf16: bool


@final
class Learner:
    """One who is fitted: its network, its rows, its optimizers, and its best weights so far.

    `best` holds what the network trains by `network/<name>`, and what objectives learn and keep beside it by
    `<place in the mixture>/<name>`.
    """

    def __init__(
        self, beginner: Beginner, objectives: Sequence[Objective], *, task: Task, accelerator: Accelerator
    ) -> None:
        from torch.optim import AdamW, SparseAdam

        self.network, self.train, self.dev = beginner.network, beginner.train, beginner.dev
        self.learning_rate, self._bf16 = beginner.learning_rate, beginner.bf16
        self._objectives, self._accelerator, self._team = objectives, accelerator, Team(accelerator)
        self._terms = terms(objectives)
        self._metric: Metric = plugins.build("metrics", task.metrics[0])
        self._task, self._form, self._outputs = task, task.form, len(task.outputs)
        self.answer = task.form.answer
        self._wants = [
            one.wants(student_layers=self.network.layers, teacher_layers=self.train.layers) for one in objectives
        ]
        self.wanted = signals.LOGITS.union(*(one.student for one in self._wants))
        self.network.module.to(accelerator.device)
        self.optimizers: list[Optimizer] = self.network.optimizers(self.learning_rate)
        self.trained = [weight for weight in self.network.module.parameters() if weight.requires_grad]
        self._names = [name for name, weight in self.network.module.named_parameters() if weight.requires_grad]
        self.learned = self._learned()
        self._beside = [weight for module in self.learned.values() for weight in module.parameters()]
        if self._beside:
            self.optimizers.append(AdamW(self._beside, lr=self.learning_rate, weight_decay=0.0, foreach=False))
        self._own, self.trained = self.trained, [*self.trained, *self._beside]
        dense = [one for one in self.optimizers if not isinstance(one, SparseAdam)]
        self._dense = [weight for one in dense for group in one.param_groups for weight in group["params"]]
        self.best: dict[str, Tensor] = {}
        self.best_score = (-np.inf, -np.inf)
        for module in (self.network.module, *self.learned.values()):
            self._team.make_alike(module.state_dict().values())

    def _learned(self) -> dict[int, nn.Module]:
        """What the objectives learn beside the student, by the objective's place in the mixture."""
        import torch

        if self.wanted == signals.LOGITS and not self.train.further:
            return {}
        with torch.no_grad():
            device = self._accelerator.device
            ids, mask = (torch.from_numpy(one).to(device) for one in batches.pad(self.train.ids[:1]))
            told = self.network.tell(ids, mask, self.wanted)
        student = {name: int(one.shape[-1]) for name, one in told.items()}
        teacher = {name: one.width for name, one in self.train.further.items()} | {self.answer: self._outputs}
        made = {}
        for place, (one, wants) in enumerate(zip(self._objectives, self._wants, strict=True)):
            made[place] = one.learned(
                student={name: size for name, size in student.items() if name in wants.student},
                teacher={name: size for name, size in teacher.items() if name in wants.teacher},
            )
        return {place: one.to(self._accelerator.device) for place, one in made.items() if one is not None}

    def turn(self, *, training: bool) -> None:
        """To training (dropout on, queues filled), or to being judged."""
        for module in (self.network.module, *self.learned.values()):
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
        """What it says of these training rows: every process runs a share, and has what all of them say."""
        padded, mask = batches.pad([self.train.ids[row] for row in rows])
        shares = self._team.shares(len(rows))
        own = shares[self._team.place]
        # Nothing can be run of no rows: who has none runs one, and nobody hears what it says of it.
        run = own if own.start < own.stop else slice(0, 1)
        first = int(self.train.begins[rows].min()) if isinstance(self.network, TellsFrom) else 0
        said = self._forward(padded[run], mask[run], first=first)
        return {name: self._team.whole(one, shares) for name, one in said.items()}

    def _forward(self, padded: NDArray[np.int64], mask: NDArray[np.bool_], *, first: int = 0) -> dict[str, Tensor]:
        """What it says of these texts; of their tokens, from that one on, where it can leave out others."""
        import torch

        device = self._accelerator.device
        attending = attention(device, bf16=self._bf16, tokens=padded.shape[1])
        with torch.autocast(device.type, torch.bfloat16, enabled=self._bf16), attending:
            ids, counted = self._there(padded, mask)
            if first and isinstance(self.network, TellsFrom):
                told = self.network.tell_from(ids, counted, self.wanted, first=first)
            else:
                told = self.network.tell(ids, counted, self.wanted)
        return {name: one.float() if one.is_floating_point() else one for name, one in told.items()}

    def _there(self, padded: NDArray[np.int64], mask: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        import torch

        device = self._accelerator.device
        return torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)

    def target(
        self, examples: Examples, rows: NDArray[np.int64], said: Mapping[str, Tensor], others: Sequence[Tensor] = ()
    ) -> Target:
        """What these rows are fitted to."""
        import torch

        device = said[self.answer].device
        told = {name: torch.from_numpy(one.batch(rows)) for name, one in examples.further.items()}
        lengths = [len(examples.ids[row]) for row in rows]
        answered = {name: torch.from_numpy(one) for name, one in examples.batch(rows, length=max(lengths)).items()}
        if examples.words is not None:  # nothing is said of the first tokens where nothing is learned of them
            first = max(lengths) - said[self.answer].shape[1]
            answered = {name: one[:, first:] for name, one in answered.items()}
        gold, mask = answered.pop("gold"), answered.pop("mask")
        told |= answered
        if WRITTEN in said:  # read off the same ids, so that both stand side by side
            told[self.answer] = said[WRITTEN]
            mask = (said[WRITTEN] >= 0).cpu()
        if "label" not in told and any("label" in wants.teacher for wants in self._wants):
            told["label"] = told["logits"].argmax(dim=-1)
        if others:
            told[PEER] = torch.stack(list(others)).mean(dim=0)
        tokens = batches.pad([examples.ids[row] for row in rows])[1] if signals.over_tokens(self.wanted) else None
        weights = None if examples.weights is None else torch.from_numpy(examples.weights[rows])
        return Target(
            signals={name: one.to(device) for name, one in told.items()},
            gold=gold.to(device),
            mask=mask.to(device),
            tokens=None if tokens is None else torch.from_numpy(tokens).to(device),
            weights=None if weights is None else weights.to(device),
        )

    def terms(self, said: Mapping[str, Tensor], target: Target, *, share: float) -> dict[str, Tensor]:
        """Each objective that counts when so much of training is over, weighted; one of answers, summed over heads."""
        import torch

        found: dict[str, Tensor] = {}
        said, both = self._form.opposed(said, target.signals, wanted=self.wanted)
        for place, one in enumerate(objective.at(share) for objective in self._objectives):
            if one is not None and (PEER not in one.needs or PEER in both):
                wants = self._wants[place]
                heard = {name: told for name, told in said.items() if name in wants.student}
                taught = {name: told for name, told in both.items() if name in {*wants.teacher, PEER}}
                aim = replace(target, signals=taught)
                answers = [said[head] for head in (self.network.heads if one.of_answers else (self.answer,))]
                losses = [one.loss({**heard, self.answer: told}, aim, self.learned.get(place)) for told in answers]
                found[self._terms[place]] = one.weight * torch.stack(losses).sum()
        return found

    def take_step(self, loss: Tensor, *, rate: float) -> None:
        """One step down the loss, at this share of the peak rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * rate
            optimizer.zero_grad(set_to_none=True)
        self._accelerator.backward(loss)
        self._team.add_up(self._own, beside=self._beside)
        self._accelerator.clip_grad_norm_(self._dense, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()

    def judge(self) -> dict[str, float]:
        """Its dev score, and its dev loss under the mixture that training ends with."""
        import torch

        self.turn(training=False)
        sheet = self._form.sheet(len(self.dev.ids), outputs=self._outputs, words=self.dev.words)
        values = self._form.values(sheet.outputs)
        # Each process writes a share of it; of texts, which can't be added up, all.
        shared = values.dtype != np.object_
        if shared:
            values[:] = 0.0
        loss = 0.0
        with torch.inference_mode():
            order = batches.by_tokens([len(one) for one in self.dev.ids], budget=self._form.judged_at_once)
            for rows in order[self._team.place :: self._team.count] if shared else order:
                padded, mask = batches.pad([self.dev.ids[row] for row in rows])
                said = self._forward(padded, mask)
                texts = [self.dev.texts[row] for row in rows.tolist()] if self.dev.texts else ()
                sheet.put(rows, self._form.told(self.network, *self._there(padded, mask), said, texts=texts))
                terms = self.terms(said, self.target(self.dev, rows, said), share=1.0)
                loss += float(sum(terms.values())) * len(rows)
            if shared:
                values[:] = self._team.total(torch.from_numpy(values)).numpy()
                loss = float(self._team.total(torch.tensor(loss, dtype=torch.float64)))
        score, gold = self.dev.score(self._metric, sheet.outputs, task=self._task)
        return {self._metric.kind: score, "loss": loss / len(self.dev.ids), "rows": float(gold)}

    def keep_if_better(self, dev: Mapping[str, float]) -> bool:
        """Keep these weights where dev says that none were better."""
        sign = 1.0 if self._metric.higher_is_better else -1.0
        score = (sign * dev[self._metric.kind], -dev["loss"])
        if score <= self.best_score:
            return False
        self.best_score = score
        state = self.network.module.state_dict()
        best = {f"{_NETWORK}/{name}": state[name] for name in self._names}
        for place, module in self.learned.items():
            best |= {f"{place}/{name}": one for name, one in module.state_dict().items()}
        self.best = {name: one.detach().cpu().clone() for name, one in best.items()}
        return True

    def begin_anew(self) -> None:
        """Go on from the best weights so far, and forget how they were judged: the best is chosen from here on."""
        self._take_best()
        self.best, self.best_score = {}, (-np.inf, -np.inf)

    def settle(self) -> None:
        """Take the best weights, and back to the CPU with them, wherever it was fitted."""
        self._take_best()
        self.network.module.cpu()
        self.network.module.eval()
        self.thaw(1.0)

    def _take_best(self) -> None:
        """Its best weights so far, if it was judged, and with them what the objectives had learned and kept by then."""
        for whose, module in ((_NETWORK, self.network.module), *self.learned.items()):
            own = {name: one for name, one in self.best.items() if name.startswith(f"{whose}/")}
            module.load_state_dict({name.partition("/")[2]: one for name, one in own.items()}, strict=False)
