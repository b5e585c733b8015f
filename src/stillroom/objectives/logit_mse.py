"""The teacher's logits, as squared distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class LogitMSE(Objective):
    """The teacher's logits, as squared distance, both sides centred: softmax does not see a constant shift."""

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    formula: ClassVar[str] = "mean over rows of (1/C) ‖(v − v̄) − (z − z̄)‖²"
    source: ClassVar[str] = "Tang et al., arXiv 1903.12136 (there without the centring)"
    lowest: ClassVar[str] = "0 where v equals z up to a constant"

    kind: Literal["logit_mse"] = "logit_mse"

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        gap = student["logits"] - target.logits.to(student["logits"].dtype)
        gap = gap - gap.mean(dim=-1, keepdim=True)
        rows = (gap**2).mean(dim=-1).masked_fill(~target.mask, 0.0)
        return rows.sum() / target.mask.sum().clamp(min=1)
