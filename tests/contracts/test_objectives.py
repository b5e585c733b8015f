"""Every objective, found by itself: what it promises, and planted faults that these checks must notice.

A scene is made from what a member says that it wants, so that a new file is tested before its author writes a line.
What a member can't promise is said in `OTHERWISE`.
"""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.special import kl_div
from torch import Tensor

from stillroom.core import plugins, seeds, signals
from stillroom.core.errors import MismatchError
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
}
#: Other values for a setting that can't simply be tripled.
OTHER: dict[tuple[str, str], Any] = {
    ("jensen_shannon", "beta"): 0.2,
    ("hidden", "layers"): "last",
    ("hidden", "normalise"): True,
    ("attention", "layers"): "even",
    ("minilm_relation", "teacher_layer"): 2,
    ("minilm_relation", "relation_heads"): 1,
    ("relational", "angle_rows"): 3,
}
#: What a member does not promise, and why.
OTHERWISE = {
    "repeats": {
        "relational": "a text and its repetition are a pair of distance 0, which moves the mean distance",
        "contrastive": "every other text is there twice",
    },
    "zero": {
        "hard_label": "the teacher's logits are no gold labels",
        "pseudo_label": "the teacher's logits are no labels",
        "contrastive": "equal vectors leave what the others' likeness makes of it; tested on a simplex below",
    },
}
#: Settings that only count at the end of training, in its course, or in a queue: tested apart.
APART = {"kind", "weight", "starts", "ends", "queue"}


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

    def gradients(self) -> dict[str, Tensor]:
        """The slope of the loss in each of the student's signals."""
        leaves = {name: one.detach().clone().requires_grad_(True) for name, one in self.said.items()}
        loss = replace(self, said=leaves).loss()
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return {name: torch.zeros_like(leaves[name]) if one is None else one for name, one in zip(leaves, found)}  # noqa: B905


def heard(objective: Objective) -> frozenset[str]:
    """The kinds of a student's signals that an objective looks at."""
    return frozenset({"logits"}) if objective.needs & {"logits", "label", "gold", PEER} else objective.needs


def member(kind: str) -> type[Objective]:
    return plugins.member("objectives", kind)  # type: ignore[return-value]


def made(kind: str, of: type[Objective] | None = None, **settings: Any) -> Objective:
    return (of or member(kind)).model_validate({"kind": kind, **BASE.get(kind, {}), **settings})


def drawn(name: str, *, of: str, width: int) -> Tensor:
    rng = seeds.generator(0, f"{of}/{name}")
    if name == "label":
        return torch.from_numpy(rng.integers(0, CLASSES, ROWS))
    shapes = {
        "logits": (ROWS, CLASSES),
        PEER: (ROWS, CLASSES),
        "embedding": (ROWS, width),
        "hidden": (ROWS, LENGTH, width),
        "relations": (ROWS, LENGTH, 3, width),
        "attention": (ROWS, LENGTH, LENGTH, HEADS),
    }
    found = torch.from_numpy(rng.normal(size=shapes[signals.kind(name)]) * 1.5)
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


# The checks: each takes a way to make an objective, so that a faulty one can be handed in.

Make = Callable[..., Objective]


def check_rows_that_do_not_count(make: Make) -> None:
    for seed in range(3):
        found = scene(make(), seed)
        torch.testing.assert_close(more_rows(found).loss(), found.loss())
        assert all(not one[ROWS:].any() for one in more_rows(found).gradients().values())


def check_places_that_are_no_tokens(make: Make) -> None:
    for seed in range(3):
        found = scene(make(), seed)
        torch.testing.assert_close(more_tokens(found).loss(), found.loss())


def check_order(make: Make) -> None:
    for seed in range(3):
        found = scene(make(), seed)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(ROWS))
        torch.testing.assert_close(reordered(found, order).loss(), found.loss())


def check_repetition(make: Make) -> None:
    found = scene(make(), 1)
    if found.objective.kind not in OTHERWISE["repeats"]:
        torch.testing.assert_close(reordered(found, torch.arange(ROWS).repeat(2)).loss(), found.loss())


def check_lowest(make: Make) -> None:
    kind = make().kind
    for seed in range(2):
        equal, apart = at_equality(make(), seed), scene(make(), seed)
        assert apart.loss() > 1e-3
        if kind not in OTHERWISE["zero"]:
            assert abs(equal.loss().item()) < 1e-9
            assert all(one.abs().max() < 1e-7 for one in equal.gradients().values())


def check_finite_differences(make: Make) -> None:
    found = reordered(scene(make(), 3), torch.arange(3))
    found = replace(found, target=replace(found.target, gold=torch.tensor([-1, *found.target.gold[1:]])))
    names = found.inside

    def loss(*leaves: Tensor) -> Tensor:
        return replace(found, said={**found.said, **dict(zip(names, leaves, strict=True))}).loss()

    leaves = tuple(found.said[name].requires_grad_(True) for name in names)
    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)


def check_reference(make: Make) -> None:
    kind = make().kind
    for settings in VARIANTS.get(kind, [{}]):
        for seed in range(2):
            found = scene(make(**settings), seed)
            found.target.gold[0] = -1
            expected = REFERENCES[kind](found)
            # `rank` steadies its correlations by a little, numpy does not.
            near = 1e-5 if kind == "rank" else 1e-9
            assert found.loss().item() == pytest.approx(expected, rel=near, abs=1e-12), settings


CHECKS = (
    check_rows_that_do_not_count,
    check_places_that_are_no_tokens,
    check_order,
    check_repetition,
    check_lowest,
    check_finite_differences,
    check_reference,
)


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def test_states_what_it_is(self, kind: str) -> None:
        assert member(kind).formula
        assert member(kind).source
        assert member(kind).lowest
        assert member(kind).needs <= signals.KINDS | {"gold", PEER}

    @pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
    def test_keeps(self, kind: str, check: Callable[[Make], None]) -> None:
        check(lambda **settings: made(kind, **settings))

    def test_wants_what_it_needs_and_hears(self, kind: str) -> None:
        wants = made(kind).wants(student_layers=STUDENT_LAYERS, teacher_layers=TEACHER_LAYERS)
        assert {signals.kind(name) for name in wants.teacher} == member(kind).needs - {"gold", PEER}
        assert {signals.kind(name) for name in wants.student} == {"logits"} | heard(made(kind))
        for one, most in ((wants.student, STUDENT_LAYERS), (wants.teacher, TEACHER_LAYERS)):
            assert all(1 <= signals.layer(name) <= most for name in one if "." in name)

    def test_a_student_without_layers_is_refused(self, kind: str) -> None:
        if signals.over_tokens(member(kind).needs):
            with pytest.raises(MismatchError, match="shows none"):
                made(kind).wants(student_layers=0, teacher_layers=TEACHER_LAYERS)

    def test_shapes_hold(self, kind: str) -> None:
        @jaxtyped(typechecker=beartype)
        def checked(
            logits: Float[Tensor, "rows classes"],
            told: Float[Tensor, "rows classes"],
            gold: Int[Tensor, rows],
            mask: Bool[Tensor, rows],
        ) -> Float[Tensor, ""]:
            return found.loss()

        found = scene(made(kind))
        target = found.target
        assert torch.isfinite(checked(found.said["logits"], target.logits, target.gold, target.mask))

    def test_logits_over_tokens_too(self, kind: str) -> None:
        if heard(made(kind)) != {"logits"}:
            return
        found = scene(made(kind))
        target = Target({name: one[None] for name, one in found.target.signals.items()}, found.target.gold[None],
                        found.target.mask[None])  # fmt: skip
        nested = replace(found, said={"logits": found.said["logits"][None]}, target=target)
        torch.testing.assert_close(nested.loss(), found.loss())

    def test_every_row_that_counts_has_a_slope(self, kind: str) -> None:
        found = scene(made(kind), 2)
        for name in found.inside:
            assert (found.gradients()[name].flatten(1).abs().sum(dim=1) > 0)[:-1].all()

    def test_no_row_that_counts_is_zero_not_nan(self, kind: str) -> None:
        found = scene(made(kind), 3)
        nothing = replace(found.target, gold=torch.full_like(found.target.gold, -1),
                          mask=torch.zeros_like(found.target.mask))  # fmt: skip
        empty = replace(found, target=nothing)
        assert empty.loss() == 0
        assert all(not one.any() for one in empty.gradients().values())

    def test_one_row_is_finite(self, kind: str) -> None:
        alone = reordered(scene(made(kind), 3), torch.tensor([2]))
        assert torch.isfinite(alone.loss())
        assert all(torch.isfinite(one).all() for one in alone.gradients().values())

    def test_texts_that_are_all_the_same_are_finite(self, kind: str) -> None:
        alike = reordered(scene(made(kind), 3), torch.tensor([2, 2, 2, 2]))
        assert torch.isfinite(alike.loss())
        assert all(torch.isfinite(one).all() for one in alike.gradients().values())

    def test_works_in_bf16(self, kind: str) -> None:
        found = scene(made(kind), 4)
        low = replace(found, said={name: one.bfloat16() for name, one in found.said.items()})
        if found.learned is not None:
            low = replace(low, learned=learnt(found.objective, found.said, dict(found.target.signals)).bfloat16())
        torch.testing.assert_close(low.loss().double(), found.loss(), rtol=0.1, atol=0.05)

    def test_every_setting_matters(self, kind: str) -> None:
        plain = made(kind)
        for name in set(type(plain).model_fields) - APART:
            if name.endswith("_end"):
                continue
            value = OTHER[kind, name] if (kind, name) in OTHER else getattr(plain, name) * 3
            changed = plain.model_copy(update={name: value})
            assert not torch.isclose(scene(changed, 5).loss(), scene(plain, 5).loss(), rtol=1e-4), name

    def test_what_changes_in_training_reaches_its_end(self, kind: str) -> None:
        for name in type(made(kind)).model_fields:
            if name.endswith("_end"):
                own = name.removesuffix("_end")
                moving = made(kind, **{own: 1.0, name: 3.0})
                values = [getattr(moving.at(share), own) for share in (0.0, 0.5, 1.0)]
                assert values == [1.0, 2.0, 3.0]
        part = made(kind, starts=0.25, ends=0.75)
        assert [part.at(share) is not None for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [
            False,
            True,
            True,
            False,
            False,
        ]


# Independent references, in numpy, a row or a token at a time.


def softmax(x: Any) -> Any:
    odds = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def sides(found: Scene, *, temperature: float = 1.0, told: str = "logits") -> tuple[Any, Any]:
    """The teacher's and the student's probabilities."""
    one, other = found.target.signals[told].numpy(), found.said["logits"].detach().numpy()
    return softmax(one / temperature), softmax(other / temperature)


def settings_of(found: Scene) -> Any:
    return found.objective


def by_forward_kl(found: Scene, *, told: str = "logits") -> float:
    t = settings_of(found).temperature
    p, q = sides(found, temperature=t, told=told)
    return float(t**2 * np.mean([kl_div(*pair).sum() for pair in zip(p, q, strict=True)]))


def by_reverse_kl(found: Scene) -> float:
    t = settings_of(found).temperature
    p, q = sides(found, temperature=t)
    return float(t**2 * np.mean([kl_div(*pair).sum() for pair in zip(q, p, strict=True)]))


def by_jensen_shannon(found: Scene) -> float:
    t, beta = settings_of(found).temperature, settings_of(found).beta
    p, q = sides(found, temperature=t)
    if beta == 0.5:
        return float(t**2 * np.mean([jensenshannon(*pair) ** 2 for pair in zip(p, q, strict=True)]))
    if beta in (0.0, 1.0):
        first, second = (p, q) if beta == 0.0 else (q, p)
        return float(t**2 * kl_div(first, second).sum(axis=1).mean())
    m = beta * p + (1 - beta) * q
    return float(t**2 * (beta * kl_div(p, m) + (1 - beta) * kl_div(q, m)).sum(axis=1).mean())


def by_hard_label(found: Scene, *, named: Tensor | None = None) -> float:
    right = found.target.gold if named is None else named
    known = right >= 0
    return float(torch.nn.functional.cross_entropy(found.said["logits"][known], right[known]))


def by_logit_mse(found: Scene) -> float:
    z, v = found.target.logits.numpy(), found.said["logits"].detach().numpy()
    return float(np.mean([np.var(one - other) for one, other in zip(z, v, strict=True)]))


def by_decoupled_kl(found: Scene) -> float:
    own = settings_of(found)
    p, q = sides(found, temperature=own.temperature)
    total = 0.0
    for row, gold in enumerate(found.target.gold.tolist()):
        y = gold if gold >= 0 else int(np.argmax(found.target.logits[row].numpy()))
        binary = kl_div([p[row, y], 1 - p[row, y]], [q[row, y], 1 - q[row, y]]).sum()
        rest = kl_div(np.delete(p[row], y) / (1 - p[row, y]), np.delete(q[row], y) / (1 - q[row, y])).sum()
        total += own.alpha * binary + own.beta * rest
    return float(own.temperature**2 * total / ROWS)


def by_rank(found: Scene) -> float:
    own = settings_of(found)
    p, q = sides(found, temperature=own.temperature)
    inter = np.mean([1 - np.corrcoef(p[row], q[row])[0, 1] for row in range(ROWS)])
    intra = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(CLASSES)])
    return float(own.temperature**2 * (own.inter * inter + own.intra * intra))


def projected(found: Scene, vectors: Any) -> Any:
    module = found.learned
    if module is None:
        return np.asarray(vectors)
    weight = getattr(module, "project", module).weight.detach().numpy()
    return np.asarray(vectors) @ weight.T


def pooled(found: Scene) -> tuple[Any, Any]:
    return found.said["embedding"].detach().numpy(), found.target.signals["embedding"].numpy()


def unit(vectors: Any) -> Any:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def by_cosine(found: Scene) -> float:
    own, told = pooled(found)
    return float(np.mean(1 - (unit(projected(found, own)) * unit(told)).sum(axis=-1)))


def by_contrastive(found: Scene) -> float:
    own, told = pooled(found)
    s, t = unit(projected(found, own)), unit(told)
    if found.learned is not None and len(found.learned.queue):
        queue = found.learned.queue.numpy()
        t = np.concatenate([t, unit(queue[queue.any(axis=1)])])
    scores = s @ t.T / settings_of(found).temperature
    return float(np.mean([np.log(np.exp(scores[i]).sum()) - scores[i, i] for i in range(ROWS)]))


def tokens_of(found: Scene) -> list[tuple[int, int]]:
    assert found.target.tokens is not None
    return [(row, place) for row, place in found.target.tokens.nonzero().tolist() if found.target.mask[row]]


def by_hidden(found: Scene) -> float:
    own = settings_of(found)

    def apart(m: int, n: int) -> float:
        total = 0.0
        for row, place in tokens_of(found):
            s = projected(found, found.said[f"hidden.{m}"][row, place].detach().numpy())
            t = found.target.signals[f"hidden.{n}"][row, place].numpy()
            total += ((unit(s) - unit(t)) ** 2).sum() if own.normalise else ((s - t) ** 2).mean()
        return total / len(tokens_of(found))

    if own.layers == "even":
        return (apart(1, 2) + apart(2, 4)) / 2
    if own.layers == "last":
        return apart(2, 4)
    # Two layers against four of half the weight: each of the student's stands twice, and each pair takes a quarter.
    costs = np.array([[apart(m, n) for n in (1, 2, 3, 4)] for m in (1, 1, 2, 2)])
    return float(costs[linear_sum_assignment(costs)].mean())


def by_attention(found: Scene) -> float:
    pairs = [(1, 2), (2, 4)] if settings_of(found).layers == "even" else [(2, 4)]
    total = 0.0
    for m, n in pairs:
        for row, place in tokens_of(found):
            inside = found.target.tokens[row].numpy()  # type: ignore[index]
            for head in range(HEADS):
                p = found.target.signals[f"attention.{n}"][row, place, :, head].numpy()[inside]
                q = found.said[f"attention.{m}"][row, place, :, head].detach().numpy()[inside]
                total += kl_div(p, q).sum()
    return float(total / len(pairs) / len(tokens_of(found)) / HEADS)


def by_minilm_relation(found: Scene) -> float:
    own = settings_of(found)
    heads, layer, total = own.relation_heads, own.teacher_layer or 4, 0.0
    student, teacher = found.said["relations.2"].detach().numpy(), found.target.signals[f"relations.{layer}"].numpy()
    for row, place in tokens_of(found):
        inside = found.target.tokens[row].numpy()  # type: ignore[index]
        for part, head in itertools.product(range(3), range(heads)):
            relations = []
            for side in (teacher, student):
                vectors = np.split(side[row, :, part], heads, axis=-1)[head]
                relations.append(softmax(vectors[inside] @ vectors[place] / math.sqrt(vectors.shape[-1])))
            total += kl_div(*relations).sum()
    return float(total / len(tokens_of(found)) / 3 / heads)


def huber(one: float, other: float) -> float:
    gap = abs(one - other)
    return 0.5 * gap**2 if gap < 1 else gap - 0.5


def by_relational(found: Scene) -> float:
    own, (s, t) = settings_of(found), pooled(found)
    pairs = list(itertools.combinations(range(ROWS), 2))
    far = [{pair: np.linalg.norm(side[pair[0]] - side[pair[1]]) for pair in pairs} for side in (s, t)]
    means = [np.mean(list(one.values())) for one in far]
    distance = np.mean([huber(far[0][pair] / means[0], far[1][pair] / means[1]) for pair in pairs])
    angles = []
    for i, j, k in itertools.permutations(range(min(ROWS, own.angle_rows)), 3):
        angles.append(huber(*(float(unit(side[i] - side[j]) @ unit(side[k] - side[j])) for side in (s, t))))
    likeness = ((unit(s @ s.T) - unit(t @ t.T)) ** 2).sum() / ROWS**2
    return float(own.distance * distance + own.angle * np.mean(angles) + own.similarity * likeness)


REFERENCES: dict[str, Callable[[Scene], float]] = {
    "attention": by_attention,
    "contrastive": by_contrastive,
    "cosine": by_cosine,
    "decoupled_kl": by_decoupled_kl,
    "forward_kl": by_forward_kl,
    "hard_label": by_hard_label,
    "pseudo_label": lambda found: by_hard_label(found, named=found.target.signals["label"]),
    "hidden": by_hidden,
    "jensen_shannon": by_jensen_shannon,
    "logit_mse": by_logit_mse,
    "minilm_relation": by_minilm_relation,
    "mutual": lambda found: by_forward_kl(found, told=PEER),
    "rank": by_rank,
    "relational": by_relational,
    "reverse_kl": by_reverse_kl,
}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "attention": [{}, {"layers": "even"}],
    "contrastive": [{}, {"queue": 3, "temperature": 0.2}],
    "decoupled_kl": [{}, {"alpha": 0.0}, {"alpha": 2.0, "beta": 0.5, "temperature": 3.0}],
    "hidden": [{}, {"layers": "last"}, {"layers": "emd"}, {"normalise": True}],
    "jensen_shannon": [{}, {"beta": 0.2}, {"beta": 0.0}, {"beta": 1.0, "temperature": 1.0}],
    "minilm_relation": [{}, {"relation_heads": 1, "teacher_layer": 2}],
    "mutual": [{"temperature": 3.0}],
    "rank": [{}, {"inter": 0.5, "intra": 3.0, "temperature": 2.0}],
    "relational": [{}, {"angle_rows": 4, "distance": 0.5}, {"similarity": 0.0}],
}


# Planted faults: one change in a member's own text, which some check has to notice.

MUTANTS: list[tuple[str, str, str]] = [
    ("attention", "looks.masked_fill(~inside, 0.0)", "looks"),
    ("attention", "return looks / total.masked_fill(total == 0, 1.0)", "return looks"),
    ("attention", "sum(dim=2).mean", "mean(dim=2).mean"),
    ("attention", "for side in (p, q))", "for side in (q, p))"),
    ("attention", "looks.sum(dim=2,", "looks.sum(dim=1,"),
    ("attention", "counts.sum().clamp(min=1)", "counts.numel()"),
    ("contrastive", "        same[place, place] = False\n", ""),
    ("contrastive", "scores.masked_fill(same, -torch.inf)", "scores"),
    ("contrastive", "/ self.temperature", "* self.temperature"),
    ("contrastive", "normalize(own, dim=-1) @", "own @"),
    ("contrastive", 'student["embedding"][target.mask], target.signals["embedding"][target.mask]',
     'student["embedding"], target.signals["embedding"]'),
    ("cosine", "1 - cosine_similarity", "cosine_similarity"),
    ("cosine", "rows.masked_fill(~target.mask, 0.0)", "rows"),
    ("cosine", "target.mask.sum().clamp(min=1)", "len(rows)"),
    ("decoupled_kl", "torch.where(target.gold >= 0, target.gold, z.argmax(dim=-1))", "z.argmax(dim=-1)"),
    ("decoupled_kl", "self.temperature**2 * ", ""),
    ("decoupled_kl", "self.beta * (p.exp()", "self.beta * (q.exp()"),
    ("decoupled_kl", "for chosen in (is_right, ~is_right)", "for chosen in (is_right,)"),
    ("decoupled_kl", "rows.masked_fill(~target.mask, 0.0)", "rows"),
    ("forward_kl", "self.temperature**2 * ", ""),
    ("forward_kl", "p.exp() * (p - q)", "q.exp() * (q - p)"),
    ("forward_kl", ".masked_fill(~target.mask, 0.0)", ""),
    ("forward_kl", "target.mask.sum().clamp(min=1)", "target.mask.numel()"),
    ("forward_kl", "sum(dim=-1)", "mean(dim=-1)"),
    ("hard_label", "target.mask & (target.gold >= 0)", "target.mask"),
    ("hard_label", "counts.sum().clamp(min=1)", "target.mask.sum()"),
    ("hard_label", "target.mask & (target.gold >= 0)", "target.gold >= 0"),
    ("hidden", "own if learned is None else learned(own)", "own if learned is None else learned(own) * 2"),
    ("hidden", "costs.detach()", "costs.detach() * 0"),
    ("hidden", "costs.detach()", "-costs.detach()"),
    ("hidden", "counts := target.counted", "counts := target.mask.unsqueeze(-1).expand_as(target.tokens)"),
    ("hidden", "counts := target.counted", "counts := target.tokens"),
    ("hidden", "(own - told).square().mean()", "(own - told).square().sum(dim=-1).mean()"),
    ("hidden", "_layers.even(student, teacher)", "[(1, 1), (student, teacher)]"),
    ("hidden", ".sum(dim=-1).mean()", ".mean()"),
    ("jensen_shannon", "self.temperature**2 * ", ""),
    ("jensen_shannon", "p + math.log(self.beta), q + math.log(1 - self.beta)",
     "p + math.log(1 - self.beta), q + math.log(self.beta)"),
    ("jensen_shannon", "(p, q) if self.beta == 0.0 else (q, p)", "(q, p) if self.beta == 0.0 else (p, q)"),
    ("jensen_shannon", "rows.masked_fill(~target.mask, 0.0)", "rows"),
    ("logit_mse", "gap = gap - gap.mean(dim=-1, keepdim=True)", "gap = gap * 1"),
    ("logit_mse", "gap.mean(dim=-1, keepdim=True)", "gap.mean(dim=0, keepdim=True)"),
    ("logit_mse", ".masked_fill(~target.mask, 0.0)", ""),
    ("minilm_relation", "scores.masked_fill(", "torch.nn.functional.dropout(scores, 0.0); (lambda *a: scores)("),
    ("minilm_relation", "each.masked_fill(~counts, 0.0)", "each"),
    ("minilm_relation", "/ math.sqrt(width)", ""),
    ("minilm_relation", "permute(0, 2, 3, 1, 4)", "permute(0, 2, 1, 3, 4)"),
    ("minilm_relation", "p.exp() * (p - q)", "q.exp() * (q - p)"),
    ("pseudo_label", ".masked_fill(~target.mask, 0.0)", ""),
    ("pseudo_label", "target.mask.sum().clamp(min=1)", "target.mask.numel()"),
    ("pseudo_label", "rows = -log_softmax", "rows = log_softmax"),
    ("mutual", "self.temperature**2 * ", ""),
    ("mutual", "u.exp() * (u - v)", "v.exp() * (v - u)"),
    ("mutual", ".masked_fill(~target.mask, 0.0)", ""),
    ("rank", "_apart(p.T, q.T)", "_apart(p, q)"),
    ("rank", "self.temperature**2 * ", ""),
    ("rank", "one - one.mean(dim=-1, keepdim=True)", "one"),
    ("rank", "[target.mask]", "[:]"),
    ("rank", "1 - alike", "alike"),
    ("relational", "own / own.mean()", "own / told.mean()"),
    ("relational", "[target.mask]", "[:]"),
    ("relational", "(middle != first) & (middle != second) & (first != second)", "middle != first"),
    ("relational", "smooth_l1_loss(own", "torch.nn.functional.mse_loss(own"),
    ("relational", "gaps = gaps / _lengths(gaps).unsqueeze(-1)", "gaps = gaps * 1"),
    ("relational", "normalize(vectors @ vectors.T, dim=-1)", "vectors @ vectors.T"),
    ("reverse_kl", "self.temperature**2 * ", ""),
    ("reverse_kl", "q.exp() * (q - p)", "p.exp() * (p - q)"),
    ("reverse_kl", ".masked_fill(~target.mask, 0.0)", ""),
]  # fmt: skip


def mutant(kind: str, before: str, after: str) -> type[Objective]:
    """The member as its text with one change would define it."""
    source = Path(inspect.getfile(member(kind))).read_text(encoding="utf-8")
    changed = source.replace(before, after)
    if changed == source:
        raise ValueError(f"{kind} has no `{before}` to change")
    module = types.ModuleType(f"tests.mutant_{kind}")
    sys.modules[module.__name__] = module
    try:
        exec(compile(changed, f"mutant of {kind}", "exec"), vars(module))  # noqa: S102  our own text
        found: type[Objective] = getattr(module, member(kind).__name__)
        found.model_rebuild(_types_namespace=vars(module))
    finally:
        del sys.modules[module.__name__]
    return found


def noticed(of: type[Objective], kind: str) -> str | None:
    """The name of the first check that a member does not pass."""

    def make(**settings: Any) -> Objective:
        return made(kind, of, **settings)

    for check in (*CHECKS, *OWN.get(kind, ())):
        try:
            check(make)
        except Exception:  # a fault may show as any error
            return check.__name__
    return None


@pytest.mark.parametrize(("kind", "before", "after"), MUTANTS, ids=lambda one: str(one)[:28])
def test_a_planted_fault_is_noticed(kind: str, before: str, after: str) -> None:
    assert noticed(mutant(kind, before, after), kind)


@pytest.mark.slow
def test_what_plants_nothing_is_an_error_and_no_fault_is_none() -> None:
    with pytest.raises(ValueError, match="to change"):
        mutant("forward_kl", "what is not there", "anything")
    for kind in KINDS:
        unchanged = mutant(kind, "from __future__", "# the same\nfrom __future__")
        assert noticed(unchanged, kind) is None, kind


def test_every_member_has_a_reference_and_faults() -> None:
    assert set(REFERENCES) == set(KINDS) == {kind for kind, _, _ in MUTANTS}


# What holds for one member alone.


def check_repetitions_are_no_negatives(make: Make) -> None:
    """A row that stands twice, or in the queue, weighs no more against itself."""
    found = scene(make(), 1)
    twice = reordered(found, torch.tensor([0, *range(ROWS)]))
    parts = [reordered(found, torch.arange(ROWS)).loss()]
    each = [replace(twice, target=replace(twice.target, mask=torch.tensor([k == 1, k == 0, *[True] * (ROWS - 1)])))
            for k in (0, 1)]  # fmt: skip
    parts += [one.loss() for one in each]
    torch.testing.assert_close(parts[1], parts[0])
    torch.testing.assert_close(parts[2], parts[0])
    again = scene(make(queue=ROWS), 1)
    before = again.loss()
    again.learned.queue.copy_(again.target.signals["embedding"])
    alone = [reordered(again, torch.tensor([k])).loss() for k in range(ROWS)]
    torch.testing.assert_close(torch.stack(alone).mean(), before)


OWN: dict[str, tuple[Callable[[Make], None], ...]] = {"contrastive": (check_repetitions_are_no_negatives,)}


def test_contrastive_takes_no_repetition_for_another() -> None:
    check_repetitions_are_no_negatives(lambda **settings: made("contrastive", **settings))


def test_contrastive_is_flat_where_equal_vectors_are_as_far_apart_as_they_go() -> None:
    """A simplex: what equal vectors leave is known, and no direction is better."""
    simplex = torch.eye(ROWS, dtype=torch.float64) - 1 / ROWS
    found = scene(made("contrastive"), widths=(ROWS, ROWS))
    told = {**found.target.signals, "embedding": simplex}
    equal = replace(found, said={**found.said, "embedding": simplex * 3}, target=replace(found.target, signals=told))
    far = (-1 / (ROWS - 1) - 1) / 0.5
    assert equal.loss().item() == pytest.approx(math.log(1 + (ROWS - 1) * math.exp(far)))
    assert equal.gradients()["embedding"].abs().max() < 1e-12
    assert found.loss() > equal.loss()


def test_the_queue_moves_on_in_training_alone_and_never_past_its_size() -> None:
    found = scene(made("contrastive", queue=8), 2)
    told = found.target.signals["embedding"]
    found.loss()
    assert not found.learned.queue.any()
    found.learned.train()
    first = found.loss()
    torch.testing.assert_close(found.learned.queue[:ROWS], told)
    assert not found.learned.queue[ROWS:].any()
    later = scene(found.objective, 3)
    replace(later, learned=found.learned).loss()
    assert len(found.learned.queue) == 8
    torch.testing.assert_close(found.learned.queue[:ROWS], later.target.signals["embedding"])
    torch.testing.assert_close(found.learned.queue[ROWS:], told[: 8 - ROWS])
    assert found.loss() > first


def test_hidden_emd_with_fewer_layers_is_zero_where_each_stands_for_as_many() -> None:
    found = scene(made("hidden", layers="emd"), widths=(8, 8))
    told = {f"hidden.{n}": found.said[f"hidden.{1 + (n > 2)}"].clone() for n in (1, 2, 3, 4)}
    balanced = replace(found, target=replace(found.target, signals={**found.target.signals, **told}))
    assert balanced.loss() < 1e-12
    assert all(one.abs().max() < 1e-12 for one in balanced.gradients().values())
    assert found.loss() > 0.1


def test_hidden_starts_at_the_identity_where_widths_are_equal_and_at_right_angles_elsewhere() -> None:
    equal, apart = (scene(made("hidden"), widths=one).learned.weight for one in ((8, 8), (6, 8)))
    torch.testing.assert_close(equal, torch.eye(8, dtype=torch.float64))
    torch.testing.assert_close(apart.T @ apart, torch.eye(6, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(apart, scene(made("hidden"), 7).learned.weight)
    assert scene(made("cosine"), widths=(8, 8)).learned is None


@pytest.mark.parametrize(("student", "teacher", "expected"), [
    (1, 6, [6]), (2, 6, [3, 6]), (3, 6, [2, 4, 6]), (4, 6, [2, 3, 5, 6]), (3, 4, [1, 3, 4]), (3, 3, [1, 2, 3]),
])  # fmt: skip
def test_layers_are_spread_evenly(student: int, teacher: int, expected: list[int]) -> None:
    from stillroom.objectives import _layers

    assert _layers.even(student, teacher) == list(zip(range(1, student + 1), expected, strict=True))
    named = made("hidden").wants(student_layers=student, teacher_layers=teacher).teacher
    assert named == {f"hidden.{one}" for one in expected}


def test_other_heads_are_refused_for_attention_and_widths_that_do_not_divide_for_relations() -> None:
    with pytest.raises(MismatchError, match="2 heads"):
        made("attention").learned(student={"attention.2": 2}, teacher={"attention.4": 12})
    with pytest.raises(MismatchError, match="width 32"):
        made("minilm_relation", relation_heads=12).learned(student={"relations.2": 24}, teacher={"relations.4": 32})
    with pytest.raises(MismatchError, match="at most the 4"):
        made("minilm_relation", teacher_layer=5).wants(student_layers=2, teacher_layers=4)


def test_attention_recorded_in_half_precision_is_finite() -> None:
    found = scene(made("attention"), 2)
    sharp = {name: looked(one**40, lengths()).half().double() if "attention" in name else one
             for name, one in found.target.signals.items()}  # fmt: skip
    said = {name: one * (one > 0.2) if "attention" in name else one for name, one in found.said.items()}
    half = replace(found, said=said, target=replace(found.target, signals=sharp))
    assert torch.isfinite(half.loss())
    assert all(torch.isfinite(one).all() for one in half.gradients().values())


def test_a_target_without_tokens_is_a_mistake() -> None:
    found = scene(made("hidden"))
    with pytest.raises(TypeError, match="without tokens"):
        replace(found, target=replace(found.target, tokens=None)).loss()


def test_relational_does_not_see_turning_scaling_or_moving() -> None:
    found = scene(made("relational", similarity=0.0), widths=(8, 8))
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(8, 8)))
    moved = 3 * found.target.signals["embedding"] @ torch.from_numpy(turn) + 5
    assert replace(found, said={**found.said, "embedding": moved}).loss() < 1e-9


def test_decoupled_kl_weighted_as_kl_weighs_it_is_kl() -> None:
    """KL = the right class against the rest + (1 − p_y) of the rest: with one row, both are the same."""
    found = reordered(scene(made("decoupled_kl"), 4), torch.tensor([0]))
    p, _ = sides(found, temperature=1.5)
    share = 1 - float(p[0, found.target.gold[0]])
    kl = replace(found, objective=made("forward_kl", temperature=1.5)).loss()
    torch.testing.assert_close(replace(found, objective=made("decoupled_kl", beta=share)).loss(), kl)


def test_jensen_shannon_over_beta_becomes_kl() -> None:
    found, kl = scene(made("jensen_shannon", beta=1e-6), 1), scene(made("forward_kl"), 1)
    assert (found.loss() / 1e-6).item() == pytest.approx(kl.loss().item(), rel=1e-3)
    ends = [replace(found, objective=made("jensen_shannon", beta=one)).loss() for one in (0.0, 1.0)]
    torch.testing.assert_close(ends, [kl.loss(), scene(made("reverse_kl"), 1).loss()])


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jensen_shannon", "decoupled_kl", "mutual"])
def test_slopes_are_of_one_size_at_every_temperature(kind: str) -> None:
    """What dropping τ² would break: without it the slope at τ = 8 is some sixty times smaller."""
    norms = [float(scene(made(kind, temperature=one), 7).gradients()["logits"].norm()) for one in (1.0, 8.0)]
    assert 0.15 < norms[1] / norms[0] < 6


@pytest.mark.parametrize("kind", sorted(kind for kind in KINDS if heard(made(kind)) == {"logits"}))
def test_a_shift_of_logits_is_not_seen(kind: str) -> None:
    found = scene(made(kind), 8)
    shifted = replace(found, said={"logits": found.said["logits"] + 5})
    torch.testing.assert_close(shifted.loss(), found.loss())


def test_forward_kl_by_hand() -> None:
    """Two rows, τ = 2: the slope of each is τ (q − p) over the number of rows (Hinton et al.)."""
    found = reordered(scene(made("forward_kl"), 1), torch.arange(2))
    p, q = sides(found, temperature=2.0)
    np.testing.assert_allclose(found.gradients()["logits"].numpy(), 2 * (q - p) / 2, atol=1e-12)


def test_kl_becomes_centred_mse_at_high_temperature() -> None:
    """The τ → ∞ limit: the slope of τ² KL tends to (ṽ − z̃) / C, which is half that of the centred MSE."""
    slopes = [scene(made(kind, **own), 10).gradients()["logits"]
              for kind, own in (("forward_kl", {"temperature": 1e4}), ("logit_mse", {}))]  # fmt: skip
    torch.testing.assert_close(slopes[0], slopes[1] / 2, rtol=1e-2, atol=1e-4)


def test_members_are_loaded_without_torch() -> None:
    for kind in KINDS:
        source = inspect.getsource(importlib.import_module(f"stillroom.objectives.{kind}"))
        assert "\nimport torch" not in source


def test_rank_has_a_slope_where_a_student_says_nothing_yet() -> None:
    found = scene(made("rank"), 1)
    silent = replace(found, said={"logits": torch.zeros_like(found.said["logits"])})
    assert silent.loss().item() == pytest.approx(2.0, abs=1e-3)
    slopes = silent.gradients()["logits"]
    assert torch.isfinite(slopes).all()
    assert (slopes.abs().sum(dim=1) > 1).all()
