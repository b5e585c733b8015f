"""The student's softened probabilities, as Kullback–Leibler divergence from the teacher's: it seeks one mode."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class ReverseKL(Objective):
    """The student's softened probabilities, as Kullback–Leibler divergence from the teacher's: it seeks one mode."""

    weighs: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"logits"})
    formula: ClassVar[str] = "τ² · mean over rows of Σ_c q_c (log q_c − log p_c), p = softmax(z/τ), q = softmax(v/τ)"
    source: ClassVar[str] = "Gu et al., MiniLLM, arXiv 2306.08543 (there over sequences, without τ)"
    lowest: ClassVar[str] = "0 where softmax(v/τ) equals softmax(z/τ)"

    kind: Literal["reverse_kl"] = "reverse_kl"
    temperature: float = Field(2.0, gt=0)
    """τ; the gradient is scaled by τ², so that the weight means the same at every temperature."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        from torch.nn.functional import log_softmax

        p = log_softmax(target.logits.to(student["logits"].dtype) / self.temperature, dim=-1)
        q = log_softmax(student["logits"] / self.temperature, dim=-1)
        rows = (q.exp() * (q - p)).sum(dim=-1)
        return self.temperature**2 * target.mean(rows)
