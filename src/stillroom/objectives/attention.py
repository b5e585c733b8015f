"""Where the teacher looks: the distribution of each attention head over the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.core import signals
from stillroom.core.errors import MismatchError, Problem
from stillroom.objectives import Objective, Target, Wanted, _layers

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Attention(Objective):
    """Where the teacher looks: the distribution of each attention head over the tokens.

    Both sides are made to sum to 1 over the tokens that there are, since what was recorded in half precision does not.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    formula: ClassVar[str] = "mean over tokens t and heads a of KL(A^T_at ‖ A^S_at), mean over the matched layers"
    source: ClassVar[str] = (
        "Wang et al., MiniLM, arXiv 2002.10957 (there the last layer, without its value relations here)"
    )
    lowest: ClassVar[str] = "0 where every head looks where the teacher's looks"

    kind: Literal["attention"] = "attention"
    layers: Literal["even", "last"] = "last"
    """The last layer alone, or layer m of S with layer round(m · L / S) of L."""

    def wants(self, *, student_layers: int, teacher_layers: int) -> Wanted:
        """The layers that are matched, of each side.

        Raises:
            MismatchError: the student shows no layers.
        """
        _layers.refuse_none(self.kind, student_layers)
        pairs = self._pairs(student_layers, teacher_layers)
        return Wanted(
            student=signals.LOGITS | {signals.of_layer("attention", one) for one, _ in pairs},
            teacher=frozenset(signals.of_layer("attention", other) for _, other in pairs),
        )

    def _pairs(self, student: int, teacher: int) -> list[tuple[int, int]]:
        return _layers.even(student, teacher) if self.layers == "even" else _layers.last(student, teacher)

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """Nothing.

        Raises:
            MismatchError: the student has another number of heads.
        """
        own, told = (one[signals.layers(one, "attention")[-1]] for one in (student, teacher))
        if own != told:
            found, expected = f"a student of {own} heads", f"the teacher's {told}"
            raise MismatchError(Problem("objective", found, expected, "Choose `minilm_relation`, which splits anew."))
        return None

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the tokens and heads that count, and over the matched layers."""
        import torch

        counts = target.counted
        ends = [signals.layer(signals.layers(one, "attention")[-1]) for one in (student, target.signals)]
        found = []
        for one, other in self._pairs(*ends):
            q = student[signals.of_layer("attention", one)]
            p = target.signals[signals.of_layer("attention", other)].to(q.dtype)
            p, q = (_shared_out(side, counts) for side in (p, q))
            tiny = torch.finfo(q.dtype).tiny
            each = (p * (p.clamp(min=tiny).log() - q.clamp(min=tiny).log())).sum(dim=2).mean(dim=-1)
            found.append(each.sum() / counts.sum().clamp(min=1))
        return torch.stack(found).mean()


def _shared_out(
    looks: Float[Tensor, "rows from to heads"], tokens: Bool[Tensor, "rows to"]
) -> Float[Tensor, "rows from to heads"]:
    """Attention over the tokens that there are, summing to 1; 0 everywhere from a token that is padding."""
    inside = tokens[:, None, :, None] & tokens[:, :, None, None]
    looks = looks.masked_fill(~inside, 0.0)
    total = looks.sum(dim=2, keepdim=True)
    return looks / total.masked_fill(total == 0, 1.0)
