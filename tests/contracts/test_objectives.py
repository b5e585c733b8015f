"""Every objective, found by itself, keeps what it promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped
from torch import Tensor

from stillroom.core import signals
from stillroom.core.errors import MismatchError
from stillroom.objectives import PEER, Target
from tests.objectives.checks import CHECKS, Make
from tests.objectives.scenes import KINDS, STUDENT_LAYERS, TEACHER_LAYERS, heard, learnt, made, member, reordered, scene

#: Other values for a setting that can't simply be tripled.
OTHER: dict[tuple[str, str], Any] = {
    ("jensen_shannon", "beta"): 0.2,
    ("cosine", "prefixes"): (2, 5),
    ("cross_tokenizer", "by"): "rank",
    ("sequence", "smoothing"): 0.3,
    ("on_policy", "divergence"): "reverse_kl",
    ("hidden", "layers"): "last",
    ("hidden", "normalise"): True,
    ("attention", "layers"): "even",
    ("minilm_relation", "teacher_layer"): 2,
    ("minilm_relation", "relation_heads"): 1,
}
#: Settings that only count at the end of training, in its course, or in a queue: tested apart.
APART = {"kind", "weight", "starts", "ends", "queue"}
#: Settings that decide what the student writes, and not what a loss is: tested with the rounds, in test_rehearsal.py.
OF_WRITING = {("on_policy", name) for name in ("share", "rounds", "writes", "temperature")}


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def test_states_what_it_is(self, kind: str) -> None:
        assert member(kind).formula
        assert member(kind).source
        assert member(kind).lowest
        assert {member(kind).formula, member(kind).source} <= {
            line.partition(": ")[2].removesuffix(".") for line in (member(kind).__doc__ or "").splitlines()
        }
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

    def test_a_row_that_counts_twice_is_as_two_rows(self, kind: str) -> None:
        """Of those that weigh; recipes with others refuse rows that count for more."""
        if not member(kind).weighs:
            return
        found = scene(made(kind), 6)
        rows = torch.arange(len(found.target.mask))
        weights = torch.where(rows == 1, 2.0, 1.0)
        weighed = replace(found, target=replace(found.target, weights=weights)).loss()
        torch.testing.assert_close(weighed.double(), reordered(found, torch.tensor([1, *rows.tolist()])).loss())
        alike = replace(found, target=replace(found.target, weights=torch.full_like(weights, 0.25))).loss()
        torch.testing.assert_close(alike.double(), found.loss())

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
        for name, exact in found.gradients().items():
            rough = low.gradients()[name].double()
            assert (rough - exact).norm() <= 0.1 * exact.norm(), name

    def test_every_setting_matters(self, kind: str) -> None:
        plain = made(kind)
        for name in set(type(plain).model_fields) - APART:
            if name.endswith("_end") or (kind, name) in OF_WRITING:
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


def test_members_are_loaded_without_torch() -> None:
    """In an interpreter that has loaded nothing yet: whichever module would bring torch in, directly or not."""
    code = f"""
import sys
from stillroom.core import plugins
for kind in {KINDS!r}:
    plugins.member("objectives", kind)
    if "torch" in sys.modules:
        sys.exit(f"{{kind}} loads torch")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
