"""Batches for an objective, made from what it says that it wants: a new file is tested before a test is written."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stillroom.core import plugins, seeds, signals
from stillroom.objectives import PEER, Objective, Target, Wanted

KINDS = plugins.names("objectives")
ROWS, LENGTH, CLASSES, HEADS = 6, 5, 4, 2
STUDENT_LAYERS, TEACHER_LAYERS = 2, 4
#: Settings that the small scene needs, or that turn every part of a member on.
BASE: dict[str, dict[str, Any]] = {
    "minilm_relation": {"relation_heads": 2},
    "relational": {"similarity": 3.0},
    "decoupled_kl": {"temperature": 1.5},
    "contrastive": {"temperature": 0.5},
    "similarity_kl": {"temperature": 0.5},
}


@dataclass(frozen=True)
class Scene:
    """A batch for one objective: what the student says, what it is fitted to, and what is learned beside."""

    objective: Objective
    said: dict[str, Tensor]
    target: Target
    learned: Any = None

    @property
    def inside(self) -> list[str]:
        """The student's signals that the loss depends on."""
        return sorted(name for name in self.said if signals.kind(name) in heard(self.objective))

    def loss(self) -> Tensor:
        return self.objective.loss(self.said, self.target, self.learned)

    def moved(self, step: float, way: dict[str, Tensor]) -> Scene:
        """The same with the student's signals, and what is learned beside (`learned/<name>`), so far along a way."""
        said = {name: one.detach() + step * way[name] if name in way else one for name, one in self.said.items()}
        if (learned := self.learned) is not None:
            learned = copy.deepcopy(learned)
            with torch.no_grad():
                for name, one in learned.named_parameters():
                    one += step * way[f"learned/{name}"]
        return replace(self, said=said, learned=learned)

    def gradients(self) -> dict[str, Tensor]:
        """The slope of the loss in each of the student's signals."""
        leaves = {name: one.detach().clone().requires_grad_(True) for name, one in self.said.items()}
        loss = replace(self, said=leaves).loss()
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {
            name: torch.zeros_like(leaves[name]) if one is None else one
            for name, one in zip(leaves, found, strict=True)
        }


def heard(objective: Objective) -> frozenset[str]:
    """The kinds of a student's signals that an objective looks at."""
    own = objective.needs - {"label", "gold", PEER, "token_logprobs"}  # what a teacher answers with
    return own | {"logits"} if objective.needs & {"logits", "label", "gold", PEER} else own


def member(kind: str) -> type[Objective]:
    found = plugins.member("objectives", kind)
    assert issubclass(found, Objective)
    return found


def made(kind: str, of: type[Objective] | None = None, **settings: Any) -> Objective:
    return (of or member(kind)).model_validate({"kind": kind, **BASE.get(kind, {}), **settings})


def drawn(name: str, *, of: str, width: int) -> Tensor:
    rng = seeds.generator(0, f"{of}/{name}")
    if name == "label":
        return torch.from_numpy(rng.integers(0, CLASSES, ROWS))
    if name == "sequence" and of.startswith("teacher"):
        return torch.from_numpy(rng.integers(0, CLASSES, ROWS))
    shapes = {
        "logits": (ROWS, CLASSES),
        "sequence": (ROWS, CLASSES),
        "token_logprobs": (ROWS, CLASSES),
        PEER: (ROWS, CLASSES),
        "spans": (ROWS, CLASSES + 2),
        "embedding": (ROWS, width),
        "hidden": (ROWS, LENGTH, width),
        "relations": (ROWS, LENGTH, 3, width),
        "attention": (ROWS, LENGTH, LENGTH, HEADS),
    }
    found = torch.from_numpy(rng.normal(size=shapes[signals.kind(name)]) * 1.5)
    if name == "spans":  # logarithms of probabilities: of a span, and of outcomes that are all there are
        return torch.cat([-found[:, :1].abs() - 0.1, found[:, 1:].log_softmax(dim=-1)], dim=-1)
    return torch.softmax(found, dim=2) if signals.kind(name) == "attention" else found


def lengths() -> Tensor:
    return torch.arange(LENGTH)[None] < torch.tensor([5, 3, 4, 2, 5, 1])[:, None]


def scene(
    objective: Objective,
    seed: int = 0,
    *,
    widths: tuple[int, int] = (6, 8),
    layers: tuple[int, int] = (STUDENT_LAYERS, TEACHER_LAYERS),
) -> Scene:
    """Every signal that it wants, drawn by chance, in texts of several lengths."""
    wants: Wanted = objective.wants(student_layers=layers[0], teacher_layers=layers[1])
    said = {name: drawn(name, of=f"student {seed}", width=widths[0]) for name in sorted(wants.student)}
    told = {
        name: drawn(name, of=f"teacher {seed}", width=widths[1]) for name in sorted(wants.teacher | {"logits", PEER})
    }
    tokens = lengths()
    for name in [*said, *told]:
        for side in (said, told):
            if signals.kind(name) == "attention" and name in side:
                side[name] = looked(side[name], tokens)
    gold = torch.from_numpy(seeds.generator(seed, "gold").integers(0, CLASSES, ROWS))
    target = Target(told, gold, torch.ones(ROWS, dtype=torch.bool), tokens)
    return Scene(objective, said, target, learnt(objective, said, told))


def looked(attention: Tensor, tokens: Tensor) -> Tensor:
    """Attention as a network gives it: nothing for padding."""
    inside = attention * tokens[:, None, :, None]
    return inside / inside.sum(dim=2, keepdim=True)


def learnt(objective: Objective, said: dict[str, Tensor], told: dict[str, Tensor]) -> Any:
    sizes = [{name: one.shape[-1] for name, one in side.items() if one.dim() > 1} for side in (said, told)]
    found = objective.learned(student=sizes[0], teacher=sizes[1])
    return None if found is None else found.double().eval()


def at_equality(objective: Objective, seed: int = 0) -> Scene:
    """A student as deep and as wide as its teacher that says the very same."""
    found = scene(objective, seed, widths=(8, 8), layers=(3, 3))
    told = dict(found.target.signals)
    told[PEER] = told["logits"]
    said = {name: told[name].clone() for name in found.said}
    if "sequence" in said:  # sure of each of the teacher's tokens
        said["sequence"] = 80.0 * torch.nn.functional.one_hot(told["sequence"], CLASSES).double()
    return replace(found, said=said, target=replace(found.target, signals=told))


def reordered(found: Scene, rows: Tensor) -> Scene:
    """The same batch, its rows taken in this order, perhaps more than once."""
    target = found.target
    taken = Target({n: one[rows] for n, one in target.signals.items()}, target.gold[rows], target.mask[rows],
                   None if target.tokens is None else target.tokens[rows])  # fmt: skip
    return replace(found, said={name: one[rows] for name, one in found.said.items()}, target=taken)


def junk(one: Tensor, axis: int, *, by: int = 2, seed: int = 9) -> Tensor:
    """The same with so many more places on an axis, filled with large numbers."""
    shape = list(one.shape)
    shape[axis] = by
    if not one.is_floating_point():
        return torch.cat([one, torch.ones(shape, dtype=one.dtype)], dim=axis)
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=shape) * 40)
    return torch.cat([one, noise.to(one.dtype)], dim=axis)


def more_rows(found: Scene) -> Scene:
    """With rows that do not count."""
    target = found.target
    padded = Target(
        {name: junk(one, 0) for name, one in target.signals.items()},
        torch.cat([target.gold, torch.ones(2, dtype=torch.long)]),
        torch.cat([target.mask, torch.zeros(2, dtype=torch.bool)]),
        None if target.tokens is None else torch.cat([target.tokens, torch.ones((2, LENGTH), dtype=torch.bool)]),
    )
    return replace(found, said={name: junk(one, 0, seed=3) for name, one in found.said.items()}, target=padded)


def more_tokens(found: Scene) -> Scene:
    """With places that are no tokens, and what stands there now replaced by large numbers."""
    sides = []
    for sign, side in ((1.0, found.target.signals), (-2.0, found.said)):
        changed = {}
        for name, one in side.items():
            for axis in range(1, 1 + signals.token_axes(name)):
                outside = ~lengths().reshape(ROWS, *[1] * (axis - 1), LENGTH, *[1] * (one.dim() - axis - 1))
                # Columns of attention that are padding are zero on both sides; its rows may hold anything.
                one = one + sign * 7 * outside * torch.arange(1.0, LENGTH + 1).reshape_as(outside[:1])
                one = junk(one, axis, seed=9 + int(sign))
            changed[name] = one
        sides.append(changed)
    tokens = torch.cat([lengths(), torch.zeros((ROWS, 2), dtype=torch.bool)], dim=1)
    return replace(found, said=sides[1], target=replace(found.target, signals=sides[0], tokens=tokens))
