"""Each text's vector nearer to the teacher's vector of that text than to its vectors of others."""

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
class Contrastive(Objective):
    """Each text's vector nearer to the teacher's vector of that text than to its vectors of others.

    The others are those of the batch and, from a queue, of batches before it. The queue moves on in training alone and
    is kept with the checkpoint. What points the same way as a text's own vector is its repetition, and no other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    formula: ClassVar[str] = (
        "−mean over rows i of log(exp(s_i·t_i/τ) / Σ_j exp(s_i·t_j/τ)), s = W h_S and t = h_T at length 1, j over "
        "i, the batch and the queue, without repetitions of i; W is learned where the widths differ"
    )
    source: ClassVar[str] = (
        "InfoNCE, arXiv 1807.03748, of student against teacher as in CRD, arXiv 1910.10699; the queue: MoCo, "
        "arXiv 1911.05722 (there of a slow copy of the student)"
    )
    lowest: ClassVar[str] = (
        "towards 0 where each s_i equals t_i and is far from the others on the scale of τ; equal vectors leave "
        "log Σ_j exp((t_i·t_j − 1)/τ)"
    )

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(0.07, gt=0)
    """τ: the smaller, the more the nearest of the others count."""
    temperature_end: float | None = Field(None, gt=0)
    """τ at the end of training, reached in a straight line; None: it stays."""
    queue: int = Field(0, ge=0)
    """How many of the teacher's earlier vectors to hold against a text beside those of the batch."""

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """W, where the widths differ, and the queue, where there is one."""
        wide, wanted = student["embedding"], teacher["embedding"]
        if wide == wanted and not self.queue:
            return None
        from stillroom.objectives._memory import Memory

        project = None if wide == wanted else projection(wide, wanted, name=self.kind)
        return Memory(project, rows=self.queue, width=wanted)

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        own, told = student["embedding"][target.mask], target.signals["embedding"][target.mask]
        if not len(own):
            return student["embedding"].sum() * 0.0
        others = told.double()
        if learned is not None:
            own, earlier = learned(own, told)
            others = torch.cat([others, earlier.double()])
        # In double: only what is the same vector points the same way to the twelfth digit.
        others = normalize(others, dim=-1)
        same = others[: len(own)] @ others.T > 1 - 1e-12
        place = torch.arange(len(own), device=own.device)
        same[place, place] = False
        scores = normalize(own, dim=-1) @ others.to(own.dtype).T / self.temperature
        return cross_entropy(scores.masked_fill(same, -torch.inf), place)
