"""The body of the bigru student in torch: a recurrent layer that reads a text from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


class _TwoWays(nn.Module):
    """One gated recurrent layer in each direction (Cho et al. 2014).

    The one that reads backwards gets each text turned round within its own length, so that it begins at the last token
    and not in padding. Both are then plain layers, which export as such.
    """

    def __init__(self, units: int, dimensions: int) -> None:
        super().__init__()
        self.units = units
        self.forwards = nn.GRU(dimensions, units, batch_first=True)
        self.backwards = nn.GRU(dimensions, units, batch_first=True)

    def states(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Tensor, Tensor, Int[Tensor, "batch length 1"]]:
        """The states of both, those of the second turned round, and where each stands before it is turned."""
        tokens = mask.sum(dim=1, keepdim=True)
        places = torch.arange(mask.shape[1], device=mask.device)
        turned = torch.where(mask, tokens - 1 - places, places).unsqueeze(-1)
        there = self.forwards(vectors)[0]
        back = self.backwards(vectors.gather(1, turned.expand(-1, -1, vectors.shape[2])))[0]
        return there, back, turned

    def flops(self, ids: int) -> float:
        """The products of both directions."""
        weights = sum(weight.numel() for weight in self.parameters() if weight.dim() > 1)
        return float(2 * ids * weights)


@final
class BiGru(_TwoWays):
    """The highest and the mean of both layers' states over a text."""

    @property
    def width(self) -> int:
        """Highest and mean, of both directions."""
        return 4 * self.units

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """The highest and the mean states."""
        there, back, _ = self.states(vectors, mask)
        # Where a state stands does not matter to its maximum or mean: it need not be turned back.
        states, inside = torch.cat([there, back], dim=2), mask.unsqueeze(-1)
        highest = states.masked_fill(~inside, -torch.inf).amax(dim=1)
        return torch.cat([highest, (states * inside).sum(dim=1) / mask.sum(dim=1, keepdim=True)], dim=1)


@final
class LocalBiGru(_TwoWays):
    """Both layers' states at each token, beside its vector."""

    def __init__(self, units: int, dimensions: int) -> None:
        super().__init__(units, dimensions)
        self.width = 2 * units + dimensions

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """The states and the vectors."""
        there, back, turned = self.states(vectors, mask)
        return torch.cat([vectors, there, back.gather(1, turned.expand(-1, -1, self.units))], dim=2)
