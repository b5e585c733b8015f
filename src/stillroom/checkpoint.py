"""Everything that a fit depends on, in two files that appear together: tensors in safetensors, the rest in JSON."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from stillroom.core import artifact, seeds

if TYPE_CHECKING:
    import torch

    from stillroom.learner import Learner
    from stillroom.loop import Loop

_DEVICE = "rng of the device"


@final
class Checkpoint:
    """Where a fit stands, kept so that at every moment a whole one is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "checkpoint"

    def save(self, fit: Loop) -> None:
        """Replace the checkpoint."""
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

    def restore(self, fit: Loop) -> None:
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
        beside = seeds.of_device(fit.accelerator.device)
        if beside is not None and _DEVICE in tensors:
            beside.set_rng_state(tensors[_DEVICE])

    def _candidates(self) -> Iterator[Path]:
        # Killed between the two renames, the fresh one is whole and not yet in its place.
        yield self._folder
        if not self._folder.exists():
            yield self._folder.with_name("checkpoint.new")
            yield self._folder.with_name("checkpoint.old")


def _state(fit: Loop) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    import torch

    tensors = {"rng": torch.get_rng_state()}
    beside = seeds.of_device(fit.accelerator.device)
    if beside is not None:
        tensors[_DEVICE] = beside.get_rng_state()
    learners: list[dict[str, Any]] = []
    for who, learner in enumerate(fit.learners):
        tensors |= {f"{who}/best/{name}": tensor for name, tensor in learner.best.items()}
        for place, weight in enumerate(learner.trained):
            tensors[f"{who}/weight/{place}"] = weight.detach().cpu().contiguous()
        for name, buffer in _buffers(learner):
            tensors[f"{who}/buffer/{name}"] = buffer.detach().cpu().contiguous()
        counters: list[dict[str, dict[str, float]]] = []
        for number, optimizer in enumerate(learner.optimizers):
            counters.append({})
            for place, state in optimizer.state_dict()["state"].items():
                for name, value in state.items():
                    if isinstance(value, torch.Tensor):
                        tensors[f"{who}/optimizer/{number}/{place}/{name}"] = value.detach().cpu().contiguous()
                    else:
                        counters[-1].setdefault(str(place), {})[name] = value
        best = list(learner.best_score) if learner.best else None
        learners.append({"best_score": best, "counters": counters})
    numbers = {
        "epoch": fit.epoch,
        "step": fit.step,
        "bad_epochs": fit.bad_epochs,
        "sums": fit.sums,
        "gradients": fit.gradients,
        "before": fit.before,
        "log": fit.log,
        "learners": learners,
    }
    return tensors, numbers


def _buffers(learner: Learner) -> Iterator[tuple[str, torch.Tensor]]:
    """What the objectives keep beside what they learn, such as a queue, by place in the mixture and name."""
    for place, module in learner.learned.items():
        for name, buffer in module.named_buffers():
            yield f"{place}/{name}", buffer


def _restore(fit: Loop, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    import torch

    fit.epoch, fit.step, fit.bad_epochs = numbers["epoch"], numbers["step"], numbers["bad_epochs"]
    fit.sums, fit.log = numbers["sums"], numbers["log"]
    fit.gradients, fit.before = numbers["gradients"], numbers["before"]
    for who, (learner, kept) in enumerate(zip(fit.learners, numbers["learners"], strict=True)):
        own = {name.partition("/")[2]: one for name, one in tensors.items() if name.startswith(f"{who}/")}
        if kept["best_score"] is not None:
            learner.best_score = (kept["best_score"][0], kept["best_score"][1])
        learner.best = {name.removeprefix("best/"): one for name, one in own.items() if name.startswith("best/")}
        with torch.no_grad():
            for place, weight in enumerate(learner.trained):
                weight.copy_(own[f"weight/{place}"])
            for name, buffer in _buffers(learner):
                buffer.copy_(own[f"buffer/{name}"])
        for number, optimizer in enumerate(learner.optimizers):
            state: dict[int, dict[str, Any]] = {}
            for name, tensor in own.items():
                if name.startswith(f"optimizer/{number}/"):
                    _, _, held, field = name.split("/")
                    state.setdefault(int(held), {})[field] = tensor
            for held, values in kept["counters"][number].items():
                state.setdefault(int(held), {}).update(values)
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
