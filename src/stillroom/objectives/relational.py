"""How texts lie to each other: distances, angles and likeness among the texts of a batch, whatever the widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said


@final
class Relational(Objective):
    """How texts lie to each other: distances, angles and likeness among the texts of a batch, whatever the widths."""

    needs: ClassVar[frozenset[str]] = frozenset({"embedding"})
    formula: ClassVar[str] = (
        "distance · mean over pairs of Huber(ψ_S, ψ_T), ψ_ij = ‖h_i − h_j‖ over its mean; + angle · mean over "
        "triplets of Huber of cos ∠ijk; + similarity · (1/B²) ‖G_S − G_T‖², G the rows of H Hᵀ at length 1"
    )
    source: ClassVar[str] = (
        "Park et al., RKD, arXiv 1904.05068; Tung and Mori, similarity preserving, arXiv 1907.09682 (there with a "
        "weight of its own, beside the logits)"
    )
    lowest: ClassVar[str] = "0 where h_S is h_T turned, mirrored, or scaled; with distance and angle alone also moved"

    kind: Literal["relational"] = "relational"
    distance: float = Field(1.0, ge=0)
    """The weight of distances."""
    angle: float = Field(2.0, ge=0)
    """The weight of angles."""
    similarity: float = Field(0.0, ge=0)
    """The weight of likeness, a small number: it wants a large weight, such as 1000."""

    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the pairs and triplets of rows that count."""
        own = student["embedding"][target.mask]
        told = target.signals["embedding"][target.mask].to(own.dtype)
        if len(own) < 2:
            return student["embedding"].sum() * 0.0
        loss = self.distance * _distances(own, told) + self.angle * _angles(own, told)
        return loss + self.similarity * (_likeness(own) - _likeness(told)).square().mean()


def _lengths(gaps: Float[Tensor, "*any width"]) -> Float[Tensor, "*any"]:
    """Their lengths; a little above 0 at 0, where a root has no slope."""
    import torch

    return (gaps.square().sum(dim=-1) + torch.finfo(gaps.dtype).eps ** 2).sqrt()


def _distances(own: Float[Tensor, "rows width"], told: Float[Tensor, "rows others"]) -> Float[Tensor, ""]:
    import torch
    from torch.nn.functional import smooth_l1_loss

    first, second = torch.triu_indices(len(own), len(own), offset=1)
    own, told = (_lengths(one[first] - one[second]) for one in (own, told))
    return smooth_l1_loss(own / own.mean(), told / told.mean())


def _angles(own: Float[Tensor, "rows width"], told: Float[Tensor, "rows others"]) -> Float[Tensor, ""]:
    import torch
    from torch.nn.functional import smooth_l1_loss

    if (count := len(own)) < 3:
        return own.sum() * 0.0
    apart = ~torch.eye(count - 1, dtype=torch.bool, device=own.device)
    parts = []
    for middle in range(count):
        cosines = []
        for one in (own, told):
            gaps = torch.cat([one[:middle], one[middle + 1 :]]) - one[middle]
            gaps = gaps / _lengths(gaps).unsqueeze(-1)
            cosines.append((gaps @ gaps.T)[apart])
        parts.append(smooth_l1_loss(cosines[0], cosines[1]))
    return torch.stack(parts).mean()


def _likeness(vectors: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    from torch.nn.functional import normalize

    return normalize(vectors @ vectors.T, dim=-1)
