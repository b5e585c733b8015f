"""The body of the bigru student in torch: a recurrent layer that reads a text from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


@final
class BiGru(nn.Module):
    """One gated recurrent layer in each direction (Cho et al. 2014); of its states the highest and the mean.

    The one that reads backwards gets each text turned round within its own length, so that it begins at the last token
    and not in padding. Both are then plain layers, which export as such.
    """

    def __init__(self, units: int, dimensions: int) -> None:
        super().__init__()
        self.units = units
        self.forwards = nn.GRU(dimensions, units, batch_first=True)
        self.backwards = nn.GRU(dimensions, units, batch_first=True)

    @property
    def width(self) -> int:
        """Highest and mean, of both directions."""
        return 4 * self.units

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """The highest and the mean states."""
        tokens = mask.sum(dim=1, keepdim=True)
        places = torch.arange(mask.shape[1], device=mask.device)
        turned = torch.where(mask, tokens - 1 - places, places).unsqueeze(-1)
        there = self.forwards(vectors)[0]
        back = self.backwards(vectors.gather(1, turned.expand(-1, -1, vectors.shape[2])))[0]
        # Where a state stands does not matter to its maximum or mean: it need not be turned back.
        states, inside = torch.cat([there, back], dim=2), mask.unsqueeze(-1)
        highest = states.masked_fill(~inside, -torch.inf).amax(dim=1)
        return torch.cat([highest, (states * inside).sum(dim=1) / tokens], dim=1)

    def flops(self, ids: int) -> float:
        """The products of both directions."""
        weights = sum(weight.numel() for weight in self.parameters() if weight.dim() > 1)
        return float(2 * ids * weights)
