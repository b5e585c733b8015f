"""The divergence of both sides' softened probabilities from their mixture: bounded, between the two KL."""

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
class JensenShannon(Objective):
    """The divergence of both sides' softened probabilities from their mixture: bounded, between the two KL."""

    weighs: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    formula: ClassVar[str] = (
        "τ² · mean over rows of β KL(p ‖ m) + (1 − β) KL(q ‖ m), m = β p + (1 − β) q; KL(p ‖ q) at β = 0, KL(q ‖ p) "
        "at 1"
    )
    source: ClassVar[str] = "Agarwal et al., GKD, arXiv 2306.13649 (there per token, without τ²)"
    lowest: ClassVar[str] = "0 where softmax(v/τ) equals softmax(z/τ); at most τ² ln 2 at β = ½"

    kind: Literal["jensen_shannon"] = "jensen_shannon"
    beta: float = Field(0.5, ge=0, le=1)
    """The teacher's share of the mixture. Towards 0 and 1 the divergence fades; the ends themselves are the two KL."""
    temperature: float = Field(2.0, gt=0)
    """τ; the gradient is scaled by τ², so that the weight means the same at every temperature."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import log_softmax

        p = log_softmax(target.logits.to(student["logits"].dtype) / self.temperature, dim=-1)
        q = log_softmax(student["logits"] / self.temperature, dim=-1)
        if self.beta in (0.0, 1.0):
            first, second = (p, q) if self.beta == 0.0 else (q, p)
            rows = (first.exp() * (first - second)).sum(dim=-1)
        else:
            m = torch.logaddexp(p + math.log(self.beta), q + math.log(1 - self.beta))
            rows = (self.beta * p.exp() * (p - m) + (1 - self.beta) * q.exp() * (q - m)).sum(dim=-1)
        return self.temperature**2 * target.mean(rows)
