"""Which texts of a batch lie nearest to each text: the teacher's distribution of likeness over the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target
from stillroom.objectives._projection import projection

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class SimilarityKl(Objective):
    """Which texts of a batch lie nearest to each text: the teacher's distribution of likeness over the others.

    What it says depends on who is in the batch: the more texts, the more of them have something to do with each other.
    With a queue the others are the teacher's vectors of the batch and of batches before it, so that texts of any length
    are held against each other whatever a batch is made of. The queue moves on in training alone and is kept with the
    checkpoint.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    formula: ClassVar[str] = (
        "mean over rows i of Σ_j p_ij log(p_ij / q_ij), p_i = softmax over j ≠ i of cos(t_i, t_j)/τ, q_i the same of "
        "the student; with a queue j is over it too, and q_i = softmax of cos(s_i, t_j)/τ"
    )
    source: ClassVar[str] = "Fang et al., SEED, arXiv 2101.04731 (there with a queue alone)"
    lowest: ClassVar[str] = "0 where all cosines are the teacher's, or differ by what is the same in a row"

    kind: Literal["similarity_kl"] = "similarity_kl"
    temperature: float = Field(0.05, gt=0)
    """τ: the smaller, the more the nearest count."""
    queue: int = Field(0, ge=0)
    """How many of the teacher's earlier vectors to hold against a text beside those of the batch."""

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """The queue, where there is one, and what brings the student's vectors to its width."""
        if not self.queue:
            return None
        from stillroom.objectives._memory import Memory

        wide, wanted = student["embedding"], teacher["embedding"]
        project = None if wide == wanted else projection(wide, wanted, name=self.kind)
        return Memory(project, rows=self.queue, width=wanted)

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import log_softmax, normalize

        own = student["embedding"][target.mask]
        told = target.signals["embedding"][target.mask].to(own.dtype)
        own, earlier = (own, told[:0]) if learned is None else learned(own, told)
        known = torch.cat([told, earlier.to(told)])
        if len(own) < 1 or len(known) < 2:
            return student["embedding"].sum() * 0.0
        own, told, known = normalize(own, dim=-1), normalize(told, dim=-1), normalize(known, dim=-1)
        others = own if learned is None else known
        itself = torch.eye(len(own), len(known), dtype=torch.bool, device=own.device)
        q, p = (
            log_softmax((one @ other.T / self.temperature).masked_fill(itself, -torch.inf), dim=-1)
            for one, other in ((own, others), (told, known))
        )
        terms = (p.exp() * (p - q)).masked_fill(itself, 0.0)
        return terms.sum(dim=-1).mean()
