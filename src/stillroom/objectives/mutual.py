"""What a second student says that learns beside this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import PEER, Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Mutual(Objective):
    """What a second student says that learns beside this one (the recipe's `peer`), as divergence from it."""

    needs: ClassVar[frozenset[str]] = frozenset({PEER})
    formula: ClassVar[str] = "τ² · mean over rows of KL(softmax(u/τ) ‖ softmax(v/τ)), u the peer's logits, held fixed"
    source: ClassVar[str] = "Zhang et al., Deep Mutual Learning, arXiv 1706.00384 (there with τ = 1)"
    lowest: ClassVar[str] = "0 where the two students say the same"

    kind: Literal["mutual"] = "mutual"
    temperature: float = Field(1.0, gt=0)
    """τ; the gradient is scaled by τ², so that the weight means the same at every temperature."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        from torch.nn.functional import log_softmax

        u = log_softmax(target.signals[PEER].to(student["logits"].dtype) / self.temperature, dim=-1)
        v = log_softmax(student["logits"] / self.temperature, dim=-1)
        rows = (u.exp() * (u - v)).sum(dim=-1).masked_fill(~target.mask, 0.0)
        return self.temperature**2 * rows.sum() / target.mask.sum().clamp(min=1)
