"""How alike a text's tokens are to the teacher, in its queries, keys and values; heads and widths may differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.core import signals
from stillroom.core.errors import MismatchError, Problem
from stillroom.objectives import Objective, Target, Wanted, _layers

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class MiniLMRelation(Objective):
    """How alike a text's tokens are to the teacher, in its queries, keys and values; heads and widths may differ."""

    needs: ClassVar[frozenset[str]] = frozenset({"relations"})
    formula: ClassVar[str] = (
        "mean over X ∈ {Q, K, V}, relation heads a and tokens t of KL(R^T_Xat ‖ R^S_Xat), R_X = softmax(X Xᵀ/√d_r) "
        "over the text's tokens, heads side by side and split anew"
    )
    source: ClassVar[str] = "Wang et al., MiniLMv2, arXiv 2012.15828 (there a sum over Q, K and V)"
    lowest: ClassVar[str] = "0 where every relation is the teacher's"

    kind: Literal["minilm_relation"] = "minilm_relation"
    relation_heads: int = Field(8, ge=1)
    """In how many heads each side's vectors are split; both widths must divide by it."""
    teacher_layer: int | None = Field(None, ge=1)
    """Which of the teacher's layers, from 1; None: the last. For deep teachers, rather one above the middle."""

    def wants(self, *, student_layers: int, teacher_layers: int) -> Wanted:
        """The student's last layer, and the chosen one of the teacher.

        Raises:
            MismatchError: the student shows no layers, or the teacher has not so many.
        """
        _layers.refuse_none(self.kind, student_layers)
        chosen = self.teacher_layer or teacher_layers
        if teacher_layers and chosen > teacher_layers:
            expected = f"at most the {teacher_layers} that the teacher has"
            raise MismatchError(Problem("objective.teacher_layer", str(chosen), expected, "Ask for a lower one."))
        return Wanted(
            student=signals.LOGITS | {signals.of_layer("relations", student_layers)},
            teacher=frozenset({signals.of_layer("relations", chosen)}),
        )

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """Nothing.

        Raises:
            MismatchError: a width that does not divide by the number of relation heads.
        """
        for who, sizes in (("student", student), ("teacher", teacher)):
            wide = sizes[signals.layers(sizes, "relations")[-1]]
            if wide % self.relation_heads:
                found = f"{self.relation_heads} for a {who} of width {wide}"
                todo = "Choose a divisor of both widths."
                raise MismatchError(Problem("objective.relation_heads", found, "a divisor of the width", todo))
        return None

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over parts, relation heads and the tokens that count."""
        counts = target.counted
        told = target.signals
        layer = signals.layers(told, "relations")[-1]
        if self.teacher_layer is not None:
            layer = signals.of_layer("relations", self.teacher_layer)
        own = student[signals.layers(student, "relations")[-1]]
        q = self._relations(own, counts)
        p = self._relations(told[layer].to(own.dtype), counts)
        each = (p.exp() * (p - q)).sum(dim=-1).mean(dim=(1, 2))
        return each.masked_fill(~counts, 0.0).sum() / counts.sum().clamp(min=1)

    def _relations(
        self, said: Float[Tensor, "rows length parts width"], tokens: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, "rows parts heads length length"]:
        """The log of each token's relation to the others of its text."""
        import torch

        width = said.shape[-1] // self.relation_heads
        heads = said.unflatten(-1, (self.relation_heads, width)).permute(0, 2, 3, 1, 4)
        scores = heads @ heads.transpose(-1, -2) / math.sqrt(width)
        # Not −∞: what is no token on both sides must cancel, not be no number.
        scores = scores.masked_fill(~tokens[:, None, None, None, :], torch.finfo(scores.dtype).min / 4)
        found: Tensor = scores.log_softmax(dim=-1)
        return found
