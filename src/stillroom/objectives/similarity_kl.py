"""Which texts of a batch lie nearest to each text: the teacher's distribution of likeness over the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class SimilarityKl(Objective):
    """Which texts of a batch lie nearest to each text: the teacher's distribution of likeness over the others.

    What it says depends on who is in the batch: the more texts, the more of them have something to do with each other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    formula: ClassVar[str] = (
        "mean over rows i of Σ_j p_ij log(p_ij / q_ij), p_i = softmax over j ≠ i of cos(t_i, t_j)/τ, q_i the same of "
        "the student"
    )
    source: ClassVar[str] = "Fang et al., SEED, arXiv 2101.04731 (there over a queue of the teacher's)"
    lowest: ClassVar[str] = "0 where all cosines are the teacher's, or differ by what is the same in a row"

    kind: Literal["similarity_kl"] = "similarity_kl"
    temperature: float = Field(0.05, gt=0)
    """τ: the smaller, the more the nearest count."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import log_softmax, normalize

        own = student["embedding"][target.mask]
        told = target.signals["embedding"][target.mask].to(own.dtype)
        if len(own) < 2:
            return student["embedding"].sum() * 0.0
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        q, p = (
            log_softmax((one @ one.T / self.temperature).masked_fill(itself, -torch.inf), dim=-1)
            for one in (normalize(own, dim=-1), normalize(told, dim=-1))
        )
        terms = (p.exp() * (p - q)).masked_fill(itself, 0.0)
        return terms.sum(dim=-1).mean()
