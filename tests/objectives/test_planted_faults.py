"""Planted faults: one change in a member's own text, which some check has to notice."""

from __future__ import annotations

import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from stillroom.objectives import Objective
from tests.objectives.checks import CHECKS, OWN
from tests.objectives.references import REFERENCES
from tests.objectives.scenes import KINDS, made, member

MUTANTS: list[tuple[str, str, str]] = [
    ("attention", "looks.masked_fill(~inside, 0.0)", "looks"),
    ("attention", "return looks / total.masked_fill(total == 0, 1.0)", "return looks"),
    ("attention", "sum(dim=2).mean", "mean(dim=2).mean"),
    ("attention", "for side in (p, q))", "for side in (q, p))"),
    ("attention", "looks.sum(dim=2,", "looks.sum(dim=1,"),
    ("attention", "counts.sum().clamp(min=1)", "counts.numel()"),
    ("contrastive", "scores.masked_fill(same, -torch.inf)", "scores.masked_fill(same, -torch.inf)[:, :len(own)].T"),
    ("contrastive", "        same[place, place] = False\n", ""),
    ("contrastive", "scores.masked_fill(same, -torch.inf)", "scores"),
    ("contrastive", "/ self.temperature", "* self.temperature"),
    ("contrastive", "normalize(own, dim=-1) @", "own @"),
    ("contrastive", 'student["embedding"][target.mask], target.signals["embedding"][target.mask]',
     'student["embedding"], target.signals["embedding"]'),
    ("cosine", "target.mask.sum().clamp(min=1)", "own.shape[-1]"),
    ("cosine", "1 - cosine_similarity", "cosine_similarity"),
    ("cosine", "rows.masked_fill(~target.mask, 0.0)", "rows"),
    ("cosine", "target.mask.sum().clamp(min=1)", "len(rows)"),
    ("cross_tokenizer", "counts = target.mask & ", "counts = "),
    ("cross_tokenizer", "own[:, 1:].exp() - its[:, 1:].exp()", "own.exp() - its.exp()"),
    ("cross_tokenizer", "abs().sum(dim=-1)", "abs().mean(dim=-1)"),
    ("cross_tokenizer", "(p.exp() * (p - q)).sum(dim=-1) +", "(q.exp() * (q - p)).sum(dim=-1) +"),
    ("cross_tokenizer", " + _either(its[:, 0], own[:, 0])", ""),
    ("cross_tokenizer", "_either(its[:, 0], own[:, 0])", "_either(own[:, 0], its[:, 0])"),
    ("cross_tokenizer", " + not_p.exp() * (not_p - not_q)", ""),
    ("cross_tokenizer", "rows.mean()", "rows.sum() / target.mask.numel()"),
    ("sequence", '["sequence"][target.mask], target.signals["sequence"][target.mask]',
     '["sequence"], target.signals["sequence"]'),
    ("sequence", ", label_smoothing=self.smoothing", ""),
    ("sequence", "cross_entropy(logits, written", "cross_entropy(-logits, written"),
    ("similarity_kl", ".masked_fill(itself, -torch.inf)", ""),
    ("similarity_kl", "p.exp() * (p - q)", "q.exp() * (q - p)"),
    ("similarity_kl", "/ self.temperature", "* self.temperature"),
    ("similarity_kl", "terms.sum(dim=-1)", "terms.mean(dim=-1)"),
    ("similarity_kl", "normalize(own, dim=-1)", "own"),
    ("similarity_kl", '["embedding"][target.mask]', '["embedding"]'),
    ("decoupled_kl", "torch.where(target.gold >= 0, target.gold, z.argmax(dim=-1))", "z.argmax(dim=-1)"),
    ("decoupled_kl", "self.temperature**2 * ", ""),
    ("decoupled_kl", "(p.exp() * (p - q)).sum(dim=-1)", "(p.exp() * (p - q)).mean(dim=-1)"),
    ("decoupled_kl", "self.beta * (p.exp()", "self.beta * (q.exp()"),
    ("decoupled_kl", "for chosen in (is_right, ~is_right)", "for chosen in (is_right,)"),
    ("decoupled_kl", "rows.masked_fill(~target.mask, 0.0)", "rows"),
    ("forward_kl", "self.temperature**2 * ", ""),
    ("forward_kl", "p.exp() * (p - q)", "q.exp() * (q - p)"),
    ("forward_kl", "target.mean(rows)", "rows.mean()"),
    ("forward_kl", "target.mean(rows)", "target.mean(rows) * target.mask.sum() / target.mask.numel()"),
    ("forward_kl", "sum(dim=-1)", "mean(dim=-1)"),
    ("hard_label", "target.mask & (target.gold >= 0)", "target.mask"),
    ("hard_label", "dim=-1).gather", "dim=0).gather"),
    ("hard_label", "counts.sum().clamp(min=1)", "target.mask.sum()"),
    ("hard_label", "target.mask & (target.gold >= 0)", "target.gold >= 0"),
    ("hidden", "own if learned is None else learned(own)", "own if learned is None else learned(own) * 2"),
    ("hidden", "costs.detach()", "costs.detach() * 0"),
    ("hidden", "costs.detach()", "-costs.detach()"),
    ("hidden", "counts := target.counted", "counts := target.mask.unsqueeze(-1).expand_as(target.tokens)"),
    ("hidden", "counts := target.counted", "counts := target.tokens"),
    ("hidden", "(own - told).square().mean()", "(own - told).square().sum(dim=-1).mean()"),
    ("hidden", "_layers.even(student, teacher) if",
     "list(zip(range(1, student + 1), [b for _, b in _layers.even(student, teacher)][::-1])) if"),
    ("hidden", ".sum(dim=-1).mean()", ".mean()"),
    ("jensen_shannon", "self.temperature**2 * ", ""),
    ("jensen_shannon", "(q - m)).sum(dim=-1)", "(q - m)).mean(dim=-1)"),
    ("jensen_shannon", "first - second)).sum(dim=-1)", "first - second)).mean(dim=-1)"),
    ("jensen_shannon", "p + math.log(self.beta), q + math.log(1 - self.beta)",
     "p + math.log(1 - self.beta), q + math.log(self.beta)"),
    ("jensen_shannon", "(p, q) if self.beta == 0.0 else (q, p)", "(q, p) if self.beta == 0.0 else (p, q)"),
    ("jensen_shannon", "target.mean(rows)", "rows.mean()"),
    ("logit_mse", "gap = gap - gap.mean(dim=-1, keepdim=True)", "gap = gap * 1"),
    ("logit_mse", "gap.mean(dim=-1, keepdim=True)", "gap.mean(dim=0, keepdim=True)"),
    ("logit_mse", ".masked_fill(~target.mask, 0.0)", ""),
    ("minilm_relation", "scores.masked_fill(", "torch.nn.functional.dropout(scores, 0.0); (lambda *a: scores)("),
    ("minilm_relation", "each.masked_fill(~counts, 0.0)", "each"),
    ("minilm_relation", "/ math.sqrt(width)", ""),
    ("minilm_relation", "unflatten(-1, (self.relation_heads, width))",
     "unflatten(-1, (width, self.relation_heads)).transpose(-1, -2)"),
    ("minilm_relation", "scores.log_softmax(dim=-1)", "scores.log_softmax(dim=-2)"),
    ("minilm_relation", "p.exp() * (p - q)", "q.exp() * (q - p)"),
    ("on_policy", "target.gold[row], target.mask[row])", "target.gold[row], torch.ones_like(target.mask[row]))"),
    ("on_policy", "counted.sum().clamp(min=1)", "len(texts)"),
    ("on_policy", "torch.stack(texts).sum() / counted.sum()",
     "(torch.stack(texts) * target.mask.flatten(1).sum(1) if target.mask.dim() > 1 else torch.stack(texts)).sum() / "
     "target.mask.sum()"),
    ("on_policy", '{"kind": self.divergence', '{"kind": "forward_kl"'),
    ("on_policy", '"temperature": 1.0}', '"temperature": 2.0}'),
    ("pseudo_label", ".masked_fill(~target.mask, 0.0)", ""),
    ("pseudo_label", "dim=-1).gather", "dim=0).gather"),
    ("pseudo_label", "target.mask.sum().clamp(min=1)", "target.mask.numel()"),
    ("pseudo_label", "rows = -log_softmax", "rows = log_softmax"),
    ("mutual", "self.temperature**2 * ", ""),
    ("mutual", "(u - v)).sum(dim=-1)", "(u - v)).mean(dim=-1)"),
    ("mutual", "u.exp() * (u - v)", "v.exp() * (v - u)"),
    ("mutual", ".masked_fill(~target.mask, 0.0)", ""),
    ("rank", "_apart(p.T, q.T)", "_apart(p, q)"),
    ("rank", "self.temperature**2 * ", ""),
    ("rank", "one - one.mean(dim=-1, keepdim=True)", "one"),
    ("rank", "[target.mask]", "[:]"),
    ("rank", "1 - alike", "alike"),
    ("relational", "far / far.mean()", "far / further.mean()"),
    ("relational", "[target.mask]", "[:]"),
    ("relational", "count * (count - 1) * (count - 2)", "count**3"),
    ("relational", "gaps.transpose(-1, -2)", "gaps.detach().transpose(-1, -2)"),
    ("relational", "_angles(own, told)", "_angles(own[:32], told[:32])"),
    ("relational", "smooth_l1_loss(far", "torch.nn.functional.mse_loss(far"),
    ("relational", "gaps = gaps / _lengths(gaps).unsqueeze(-1)", "gaps = gaps * 1"),
    ("relational", "normalize(vectors @ vectors.T, dim=-1)", "vectors @ vectors.T"),
    ("reverse_kl", "self.temperature**2 * ", ""),
    ("reverse_kl", "(q - p)).sum(dim=-1)", "(q - p)).mean(dim=-1)"),
    ("reverse_kl", "q.exp() * (q - p)", "p.exp() * (p - q)"),
    ("reverse_kl", "target.mean(rows)", "rows.mean()"),
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
        except AssertionError:  # what merely ends in an error would need no check
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
