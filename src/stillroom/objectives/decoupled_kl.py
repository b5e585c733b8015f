"""The teacher's softened probabilities in two parts: how sure it is of a class, and how it ranks the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class DecoupledKL(Objective):
    """The teacher's softened probabilities in two parts: how sure it is of a class, and how it ranks the others.

    In KL the second part is weighted by how unsure the teacher is; here its weight is a setting of its own.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    formula: ClassVar[str] = (
        "τ² · mean over rows of α KL((p_y, 1 − p_y) ‖ (q_y, 1 − q_y)) + β KL(p̂ ‖ q̂), p̂ and q̂ softmax over the "
        "classes but y; y is gold where known, else argmax z"
    )
    source: ClassVar[str] = "Zhao et al., Decoupled Knowledge Distillation, arXiv 2203.08679 (there y is always gold)"
    lowest: ClassVar[str] = "0 where softmax(v/τ) equals softmax(z/τ)"

    kind: Literal["decoupled_kl"] = "decoupled_kl"
    alpha: float = Field(1.0, ge=0)
    """The weight of the right class against all others."""
    beta: float = Field(2.0, ge=0)
    """The weight of the other classes among themselves; with two classes there is nothing among them."""
    temperature: float = Field(2.0, gt=0)
    """τ; the gradient is scaled by τ², so that the weight means the same at every temperature."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import log_softmax, one_hot

        v = student["logits"] / self.temperature
        z = target.logits.to(v.dtype) / self.temperature
        right = torch.where(target.gold >= 0, target.gold, z.argmax(dim=-1))
        is_right = one_hot(right.long(), v.shape[-1]).bool()
        p, q = log_softmax(z, dim=-1), log_softmax(v, dim=-1)
        rows = torch.zeros_like(v[..., 0])
        # The right class, and all the others together.
        for chosen in (is_right, ~is_right):
            p_of, q_of = (one.masked_fill(~chosen, -math.inf).logsumexp(dim=-1) for one in (p, q))
            rows = rows + self.alpha * p_of.exp() * (p_of - q_of)
        # The others among themselves; what stands for the right class is the same finite number on both sides.
        p, q = (log_softmax(one.masked_fill(is_right, -math.inf), dim=-1).masked_fill(is_right, 0.0) for one in (z, v))
        rows = rows + self.beta * (p.exp() * (p - q)).sum(dim=-1)
        return self.temperature**2 * rows.masked_fill(~target.mask, 0.0).sum() / target.mask.sum().clamp(min=1)
