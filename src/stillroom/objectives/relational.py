"""How texts lie to each other: distances, angles and likeness among the texts of a batch, whatever the widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.objectives import Objective, Target

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn

    from stillroom.objectives import Said

_AT_ONCE = 1 << 19  # angles


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

    # In fp32 at least: there is no narrower way to take all distances without writing down every gap.
    sides = (one.to(torch.promote_types(one.dtype, torch.float32)) for one in (own, told))
    far, further = (_lengths(torch.pdist(one).unsqueeze(-1)) for one in sides)
    return smooth_l1_loss(far / far.mean(), further / further.mean())


def _angles(own: Float[Tensor, "rows width"], told: Float[Tensor, "rows others"]) -> Float[Tensor, ""]:
    import torch
    from torch.nn.functional import smooth_l1_loss
    from torch.utils.checkpoint import checkpoint

    if (count := len(own)) < 3:
        return own.sum() * 0.0

    def at(middles: Tensor, *sides: Tensor) -> Tensor:
        cosines = []
        for one in sides:
            gaps = one - one[middles].unsqueeze(1)
            gaps = gaps / _lengths(gaps).unsqueeze(-1)
            cosines.append(gaps @ gaps.transpose(-1, -2))
        # Three rows make an angle where no two of them are the same; elsewhere it is 0 or 1 on both sides alike.
        return smooth_l1_loss(cosines[0], cosines[1], reduction="sum")

    blocks = torch.arange(count, device=own.device).split(max(1, _AT_ONCE // count**2))
    if len(blocks) == 1:
        total = at(blocks[0], own, told)
    else:
        # Worked out again for the slope: kept, all angles would take memory with the cube of the batch.
        parts = [checkpoint(at, one, own, told, use_reentrant=False) for one in blocks]
        total = torch.stack(parts).sum()
    return total / (count * (count - 1) * (count - 2))


def _likeness(vectors: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    from torch.nn.functional import normalize

    return normalize(vectors @ vectors.T, dim=-1)
