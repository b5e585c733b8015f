"""What holds for one objective alone, or for one kind of them: limits, gradients by hand, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from stillroom.core.errors import MismatchError
from stillroom.objectives import Target
from tests.objectives.checks import OWN, Make
from tests.objectives.references import REFERENCES, sides
from tests.objectives.scenes import KINDS, ROWS, at_equality, heard, lengths, looked, made, reordered, scene


@pytest.mark.parametrize(("kind", "check"), [(kind, one) for kind, own in OWN.items() for one in own])
def test_keeps_what_it_alone_promises(kind: str, check: Callable[[Make], None]) -> None:
    check(lambda **settings: made(kind, **settings))


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


@pytest.mark.parametrize("kind", ["contrastive", "similarity_kl"])
def test_the_queue_moves_on_in_training_alone_and_never_past_its_size(kind: str) -> None:
    found = scene(made(kind, queue=8), 2)
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
    assert found.loss() != first


def test_likeness_to_a_queue_is_what_the_reference_says() -> None:
    found = scene(made("similarity_kl", queue=8), 2)
    found.learned.train()
    scene(found.objective, 3).loss()
    replace(scene(found.objective, 4), learned=found.learned).loss()
    found.learned.eval()
    assert found.learned.queue.any()
    assert found.loss().item() == pytest.approx(REFERENCES["similarity_kl"](found))
    equal = at_equality(found.objective)
    equal.learned.train()
    equal.loss()
    assert equal.loss().item() == pytest.approx(0.0, abs=1e-12)
    alone = scene(found.objective, 5)
    one = replace(alone, target=replace(alone.target, mask=torch.arange(ROWS) < 1))
    assert one.loss().item() == 0.0, "there is nothing to be near to yet"


def test_a_queue_alone_learns_nothing_between_vectors_of_equal_width() -> None:
    """Else a student could leave to the matrix what it is to learn itself, and the matrix is let go of."""
    equal, apart = (scene(made("contrastive", queue=8), widths=one).learned for one in ((8, 8), (6, 8)))
    assert not list(equal.parameters())
    assert [tuple(one.shape) for one in apart.parameters()] == [(8, 6)]
    plain, queued = (scene(made("contrastive", queue=size), widths=(8, 8)) for size in (0, 8))
    torch.testing.assert_close(queued.loss(), plain.loss())
    torch.testing.assert_close(queued.gradients()["embedding"], plain.gradients()["embedding"])


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


def test_rank_has_a_slope_where_a_student_says_nothing_yet() -> None:
    found = scene(made("rank"), 1)
    silent = replace(found, said={"logits": torch.zeros_like(found.said["logits"])})
    assert silent.loss().item() == pytest.approx(2.0, abs=1e-3)
    slopes = silent.gradients()["logits"]
    assert torch.isfinite(slopes).all()
    assert (slopes.abs().sum(dim=1) > 1).all()


def test_what_can_not_be_written_takes_no_share_of_the_smoothing() -> None:
    """As if it were not there at all."""
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    written, mask = torch.tensor([0, 3, 2, 1, 0]), torch.ones(5, dtype=torch.bool)
    walled = torch.cat([logits, torch.full((5, 3), -torch.inf, dtype=torch.float64)], dim=1).requires_grad_()
    target = Target({"sequence": written}, torch.full((5,), -1), mask)
    plain, found = (made("sequence", smoothing=0.2).loss({"sequence": one}, target) for one in (logits, walled))
    torch.testing.assert_close(found, plain)
    found.backward()
    assert walled.grad is not None
    assert torch.isfinite(walled.grad).all()
    assert not walled.grad[:, 7:].any()
