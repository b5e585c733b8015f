"""What an objective promises, a check each; each takes a way to make one, so that a faulty one can be handed in.

What a member can't promise is said in `OTHERWISE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from stillroom.objectives import Objective, Target
from tests.objectives.references import REFERENCES, VARIANTS
from tests.objectives.scenes import CLASSES, ROWS, at_equality, more_rows, more_tokens, reordered, scene

Make = Callable[..., Objective]
#: What a member does not promise, and why.
OTHERWISE = {
    "repeats": {
        "relational": "a text and its repetition are a pair of distance 0, which moves the mean distance",
        "contrastive": "every other text is there twice",
        "similarity_kl": "every other text is there twice, and each text beside its repetition",
    },
    "zero": {
        "hard_label": "the teacher's logits are no gold labels; held to its own least below",
        "pseudo_label": "the teacher's logits are no labels; held to its own least below",
        "contrastive": "equal vectors leave what the others' likeness makes of it; tested on a simplex below",
    },
}


def check_rows_that_do_not_count(make: Make) -> None:
    for seed in range(3):
        found = scene(make(), seed)
        more = more_rows(found)
        torch.testing.assert_close(more.loss(), found.loss())
        assert all(not one[ROWS:].any() for one in more.gradients().values())
        # Whoever takes as many rows as count, and not those that do, is right as long as these stand in front.
        behind = reordered(more, torch.arange(ROWS + 2).flip(0))
        torch.testing.assert_close(behind.loss(), found.loss())


def check_places_that_are_no_tokens(make: Make) -> None:
    for seed in range(3):
        found = scene(make(), seed)
        torch.testing.assert_close(more_tokens(found).loss(), found.loss())


def check_order(make: Make) -> None:
    """Also with as many rows as a real batch has, so that none is left out for standing late."""
    rng = np.random.default_rng(0)
    for settings in VARIANTS.get(make().kind, [{}]):
        for rows in (ROWS, 70):
            found = scene(make(**settings), rows)
            batch = np.arange(ROWS) if rows == ROWS else np.sort(rng.integers(0, ROWS, rows))
            mixed = rng.permutation(batch)
            losses = [reordered(found, torch.from_numpy(one)).loss() for one in (batch, mixed)]
            torch.testing.assert_close(*losses)


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
    assert torch.autograd.gradcheck(loss, leaves, fast_mode=True, raise_exception=False)


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


def check_slopes_of_the_reference(make: Make) -> None:
    """In the student's signals and in what is learned beside, along ways drawn by chance; the reference knows no torch.

    Its slope is that of central differences; their error is of the order of the step squared.
    """
    kind, step = make().kind, 1e-5
    for settings in VARIANTS.get(kind, [{}]):
        found = scene(make(**settings))
        learned = dict(found.learned.named_parameters()) if found.learned is not None else {}
        slopes = found.gradients()
        if learned:
            own = torch.autograd.grad(found.loss(), list(learned.values()))
            slopes |= {f"learned/{name}": one for name, one in zip(learned, own, strict=True)}
        for number in range(3):
            rng = np.random.default_rng(number)
            names = [*found.inside, *(f"learned/{name}" for name in learned)]
            way = {name: torch.from_numpy(rng.normal(size=tuple(slopes[name].shape))) for name in names}
            before, after = (REFERENCES[kind](found.moved(one, way)) for one in (-step, step))
            along = sum(float((slopes[name] * way[name]).sum()) for name in names)
            assert along == pytest.approx((after - before) / 2 / step, rel=1e-5, abs=1e-6), settings


CHECKS = (
    check_rows_that_do_not_count,
    check_places_that_are_no_tokens,
    check_order,
    check_repetition,
    check_lowest,
    check_finite_differences,
    check_reference,
    check_slopes_of_the_reference,
)


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


def check_certain_of_the_label_is_least(make: Make) -> None:
    """The surer of the label, the nearer to 0 and the flatter; sure of another, it costs what the logits are apart."""
    found = scene(make(), 1)
    named = found.target.gold if found.objective.kind == "hard_label" else found.target.signals["label"]
    right = torch.nn.functional.one_hot(named, CLASSES).double()
    losses = [replace(found, said={"logits": sure * right}) for sure in (0.0, 5.0, 60.0)]
    assert losses[0].loss().item() == pytest.approx(math.log(CLASSES))
    assert losses[0].loss() > losses[1].loss() > 1e-3
    assert 0 <= losses[2].loss() < 1e-12
    assert losses[2].gradients()["logits"].abs().max() < 1e-12
    wrong = replace(found, said={"logits": 60.0 * right.roll(1, dims=-1)})
    assert wrong.loss().item() == pytest.approx(60.0)


def check_texts_count_alike(make: Make) -> None:
    """However many tokens they have: in one of four tokens each weighs a quarter of what one alone does."""
    found = reordered(scene(make(), 1), torch.tensor([0, 1, 2, 3, 4, 4, 4, 4]))
    mask = torch.ones(2, 4, dtype=torch.bool)
    mask[1, 1:] = False
    target = Target({name: one.unflatten(0, (2, 4)) for name, one in found.target.signals.items()},
                    found.target.gold.unflatten(0, (2, 4)), mask)  # fmt: skip
    texts = replace(found, said={"logits": found.said["logits"].unflatten(0, (2, 4))}, target=target)
    alone = [reordered(found, torch.tensor([row])).loss() for row in range(5)]
    torch.testing.assert_close(texts.loss(), (torch.stack(alone[:4]).mean() + alone[4]) / 2)
    slopes = texts.gradients()["logits"].abs().sum(dim=-1)
    assert not slopes[1, 1:].any(), "what is masked counts"
    own = torch.stack([reordered(found, torch.tensor([row])).gradients()["logits"].abs().sum() for row in range(5)])
    torch.testing.assert_close(slopes[0] * 8, own[:4])
    torch.testing.assert_close(slopes[1, 0] * 2, own[4])


OWN: dict[str, tuple[Callable[[Make], None], ...]] = {
    "contrastive": (check_repetitions_are_no_negatives,),
    "hard_label": (check_certain_of_the_label_is_least,),
    "on_policy": (check_texts_count_alike,),
    "pseudo_label": (check_certain_of_the_label_is_least,),
}
