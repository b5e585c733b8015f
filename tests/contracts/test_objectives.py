"""Every objective, found by itself: what it promises, and the faults that it must not have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Bool, Float, Int, jaxtyped
from torch import Tensor

from stillroom.core import plugins
from stillroom.objectives import Objective, Target

KINDS = plugins.names("objectives")


def aimed(logits: Tensor, gold: Tensor, mask: Tensor) -> Target:
    return Target({"logits": logits, "peer": logits, "label": logits.argmax(dim=-1)}, gold, mask)


class Made:
    """An objective that is called with logits alone."""

    def __init__(self, inner: Objective) -> None:
        self.inner = inner
        self.needs = inner.needs

    def loss(self, student: Tensor, target: Target) -> Tensor:
        return self.inner.loss({"logits": student}, target)


def made(kind: str, **settings: Any) -> Made:
    return Made(plugins.build("objectives", {"kind": kind, **settings}))


def batch(seed: int, *, rows: int = 7, classes: int = 4, shift: float = 0.0) -> tuple[Tensor, Target]:
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn((rows, classes), generator=generator, dtype=torch.float64)
    teacher = torch.randn((rows, classes), generator=generator, dtype=torch.float64) * 2 + shift
    gold = torch.randint(0, classes, (rows,), generator=generator)
    return student, aimed(teacher, gold, torch.ones(rows, dtype=torch.bool))


def with_padding(student: Tensor, target: Target) -> tuple[Tensor, Target]:
    junk = torch.full((3, student.shape[1]), 50.0, dtype=student.dtype)
    junk[:, 0] = -50.0
    mask = torch.cat([target.mask, torch.zeros(3, dtype=torch.bool)])
    gold = torch.cat([target.gold, torch.ones(3, dtype=torch.long)])
    return torch.cat([student, junk]), aimed(torch.cat([target.logits, junk * -1]), gold, mask)


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def test_states_what_it_is(self, kind: str) -> None:
        member = type(made(kind).inner)
        assert member.formula
        assert member.source
        assert member.lowest
        assert member.needs <= {"logits", "label", "gold", "peer"}

    def test_shapes_hold(self, kind: str) -> None:
        @jaxtyped(typechecker=beartype)
        def checked(
            student: Float[Tensor, "*rows classes"],
            logits: Float[Tensor, "*rows classes"],
            gold: Int[Tensor, "*rows"],
            mask: Bool[Tensor, "*rows"],
        ) -> Float[Tensor, ""]:
            return made(kind).loss(student, aimed(logits, gold, mask))

        student, target = batch(0)
        assert torch.isfinite(checked(student, target.logits, target.gold, target.mask))
        tokens = aimed(target.logits[None], target.gold[None], target.mask[None])
        assert torch.isfinite(checked(student[None], tokens.logits, tokens.gold, tokens.mask))

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_padding_never_counts(self, kind: str, seed: int) -> None:
        student, target = batch(seed)
        plain = made(kind).loss(student, target)
        torch.testing.assert_close(made(kind).loss(*with_padding(student, target)), plain)

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_order_of_rows_does_not_matter(self, kind: str, seed: int) -> None:
        student, target = batch(seed)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(student)))
        shuffled = aimed(target.logits[order], target.gold[order], target.mask[order])
        torch.testing.assert_close(made(kind).loss(student[order], shuffled), made(kind).loss(student, target))

    @given(seed=st.integers(0, 1000))
    @settings(max_examples=20, deadline=None)
    def test_repeating_the_batch_changes_nothing(self, kind: str, seed: int) -> None:
        student, target = batch(seed)
        doubled = aimed(*(torch.cat([one, one]) for one in (target.logits, target.gold, target.mask)))
        torch.testing.assert_close(made(kind).loss(torch.cat([student] * 2), doubled), made(kind).loss(student, target))

    def test_gradient_agrees_with_finite_differences(self, kind: str) -> None:
        student, target = batch(1, rows=3)
        target.gold[0] = -1
        student.requires_grad_(True)
        assert torch.autograd.gradcheck(lambda one: made(kind).loss(one, target), (student,))

    def test_every_row_that_counts_has_a_gradient(self, kind: str) -> None:
        student, target = batch(2)
        student.requires_grad_(True)
        made(kind).loss(student, target).backward()
        assert student.grad is not None
        assert (student.grad.abs().sum(dim=1) > 0).all()

    def test_no_row_that_counts_is_zero_not_nan(self, kind: str) -> None:
        student, target = batch(3)
        student.requires_grad_(True)
        nothing = aimed(target.logits, torch.full_like(target.gold, -1), torch.zeros_like(target.mask))
        loss = made(kind).loss(student, nothing)
        loss.backward()
        assert loss == 0
        assert student.grad is not None
        assert not student.grad.any()

    def test_works_in_bf16(self, kind: str) -> None:
        student, target = batch(4)
        low = made(kind).loss(student.bfloat16(), target)
        torch.testing.assert_close(low.double(), made(kind).loss(student, target), rtol=0.05, atol=0.05)

    def test_every_setting_matters(self, kind: str) -> None:
        student, target = batch(5)
        plain = made(kind).inner
        for name in set(type(plain).model_fields) - {"kind", "weight", "starts", "ends"}:
            if name.endswith("_end"):
                continue
            changed = Made(plain.model_copy(update={name: getattr(plain, name) * 3}))
            assert not torch.isclose(changed.loss(student, target), made(kind).loss(student, target)), name


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "logits" in made(kind).needs])
@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_lowest_where_student_equals_teacher(kind: str, seed: int) -> None:
    student, target = batch(seed)
    equal = target.logits.clone().requires_grad_(True)
    loss = made(kind).loss(equal, target)
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert equal.grad is not None
    assert equal.grad.abs().max() < 1e-12
    assert made(kind).loss(student, target) > 1e-6


def test_forward_kl_by_hand() -> None:
    """Two rows, τ = 2: the gradient of each is τ (q − p) over the number of rows (Hinton et al.)."""
    student = torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[2.0, -1.0, 0.5], [1.0, 1.0, 1.0]], dtype=torch.float64)
    target = aimed(teacher, torch.tensor([-1, -1]), torch.tensor([True, True]))
    loss = made("forward_kl", temperature=2.0).loss(student, target)
    loss.backward()
    p, q = (
        np.exp(one / 2) / np.exp(one / 2).sum(axis=1, keepdims=True)
        for one in (teacher.numpy(), student.detach().numpy())
    )
    by_hand = 4 * (p * np.log(p / q)).sum(axis=1).mean()
    assert loss.item() == pytest.approx(by_hand, abs=1e-12)
    assert student.grad is not None
    np.testing.assert_allclose(student.grad.numpy(), 2 * (q - p) / 2, atol=1e-12)


def test_forward_kl_agrees_with_torch() -> None:
    student, target = batch(6)
    reference = torch.nn.functional.kl_div(
        torch.log_softmax(student, 1), torch.log_softmax(target.logits, 1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(made("forward_kl", temperature=1.0).loss(student, target), reference)


def test_forward_kl_gradients_are_of_one_size_at_every_temperature() -> None:
    """What dropping τ² would break: without it the gradient at τ = 8 is some sixty times smaller."""
    norms = []
    for temperature in (1.0, 8.0):
        student, target = batch(7)
        student.requires_grad_(True)
        made("forward_kl", temperature=temperature).loss(student, target).backward()
        assert student.grad is not None
        norms.append(float(student.grad.norm()))
    assert 0.2 < norms[1] / norms[0] < 5


def test_forward_kl_does_not_see_a_shift() -> None:
    student, target = batch(8)
    torch.testing.assert_close(made("forward_kl").loss(student + 5, target), made("forward_kl").loss(student, target))


def test_hard_label_agrees_with_torch_and_skips_rows_without_gold() -> None:
    student, target = batch(9)
    target.gold[2:4] = -1
    reference = torch.nn.functional.cross_entropy(student, target.gold, ignore_index=-1)
    torch.testing.assert_close(made("hard_label").loss(student, target), reference)


def test_logit_mse_by_hand() -> None:
    student = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    target = aimed(torch.tensor([[10.0, 14.0]], dtype=torch.float64), torch.tensor([-1]), torch.tensor([True]))
    assert made("logit_mse").loss(student, target).item() == pytest.approx(1.0)


def test_kl_becomes_centred_mse_at_high_temperature() -> None:
    """The τ → ∞ limit: the gradient of τ² KL tends to (ṽ − z̃) / C, which is half that of the centred MSE."""
    grads = {}
    for kind, extra in (("forward_kl", {"temperature": 1e4}), ("logit_mse", {})):
        student, target = batch(10)
        student.requires_grad_(True)
        made(kind, **extra).loss(student, target).backward()
        grads[kind] = student.grad
    assert grads["forward_kl"] is not None
    assert grads["logit_mse"] is not None
    torch.testing.assert_close(grads["forward_kl"], grads["logit_mse"] / 2, rtol=1e-2, atol=1e-4)
