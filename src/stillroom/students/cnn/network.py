"""The body of the cnn student in torch: convolutions over token vectors, as sums of what each token adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


@final
class Convolutions(nn.Module):
    """For each window and channel the highest answer over a text, `relu(max_i Σ_j W_j · x[i+j] + b)`.

    A window begins at each token; past the end of a text stand zeros. What a token adds at each place of each window is
    one product of matrices: that is what eight-bit formats know how to shrink, and what the runner on numpy keeps.
    """

    def __init__(self, windows: Sequence[int], channels: int, dimensions: int) -> None:
        super().__init__()
        self.windows, self.channels = tuple(windows), channels
        self.weight = nn.Parameter(torch.empty(sum(windows) * channels, dimensions))
        self.bias = nn.Parameter(torch.zeros(len(windows) * channels))
        for window, part in zip(windows, self.weight.data.split([one * channels for one in windows]), strict=True):
            bound = (window * dimensions) ** -0.5
            nn.init.uniform_(part, -bound, bound)

    @property
    def width(self) -> int:
        """Channels of all windows."""
        return len(self.windows) * self.channels

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """The highest answers."""
        length, outside = vectors.shape[1], ~mask.unsqueeze(-1)
        added = nn.functional.pad(vectors @ self.weight.T, (0, 0, 0, max(self.windows) - 1))
        peaks, place = [], 0
        for window in self.windows:
            total = added[:, :length, place : place + self.channels]
            for step in range(1, window):
                start = place + step * self.channels
                total = total + added[:, step : step + length, start : start + self.channels]
            place += window * self.channels
            peaks.append(total.masked_fill(outside, -torch.inf).amax(dim=1))
        return torch.relu(torch.cat(peaks, dim=1) + self.bias)

    def flops(self, ids: int) -> float:
        """The products and their sums; where rows of them are kept, as the runner on numpy does, only the sums."""
        return float(ids * (2 * self.weight.numel() + self.weight.shape[0]))
