"""The body of the cnn student in torch: convolutions over token vectors, as sums of what each token adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor


class _Windows(nn.Module):
    """For each window and channel, at each token, `Σ_j W_j · x[i+j]`; before and past a text stand zeros.

    What a token adds at each place of each window is one product of matrices: that is what eight-bit formats know how
    to shrink, and what the runner on numpy keeps.
    """

    def __init__(self, windows: Sequence[int], channels: int, dimensions: int) -> None:
        super().__init__()
        self.windows, self.channels = tuple(windows), channels
        self.weight = nn.Parameter(torch.empty(sum(windows) * channels, dimensions))
        self.bias = nn.Parameter(torch.zeros(len(windows) * channels))
        for window, part in zip(windows, self.weight.data.split([one * channels for one in windows]), strict=True):
            bound = (window * dimensions) ** -0.5
            nn.init.uniform_(part, -bound, bound)

    def sums(self, vectors: Float[Tensor, "batch length dimensions"], *, centred: bool) -> list[Tensor]:
        """A window's sums after the other, `[batch, length, channels]`: it begins at its token, or lies around it."""
        length, most = vectors.shape[1], max(self.windows) - 1
        added = nn.functional.pad(vectors @ self.weight.T, (0, 0, most if centred else 0, most))
        found, place = [], 0
        for window in self.windows:
            first = most - (window - 1) // 2 if centred else 0
            total = added[:, first : first + length, place : place + self.channels]
            for step in range(1, window):
                column = place + step * self.channels
                total = total + added[:, first + step : first + step + length, column : column + self.channels]
            place += window * self.channels
            found.append(total)
        return found

    def flops(self, ids: int) -> float:
        """The products and their sums; where rows of them are kept, as the runner on numpy does, only the sums."""
        return float(ids * (2 * self.weight.numel() + self.weight.shape[0]))


@final
class Convolutions(_Windows):
    """For each window and channel the highest answer over a text, `relu(max_i Σ_j W_j · x[i+j] + b)`."""

    @property
    def width(self) -> int:
        """Channels of all windows."""
        return len(self.windows) * self.channels

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """The highest answers."""
        outside = ~mask.unsqueeze(-1)
        peaks = [one.masked_fill(outside, -torch.inf).amax(dim=1) for one in self.sums(vectors, centred=False)]
        return torch.relu(torch.cat(peaks, dim=1) + self.bias)


@final
class LocalConvolutions(_Windows):
    """For each window and channel the answer around each token, `relu(Σ_j W_j · x[i+j] + b)`, beside its vector."""

    def __init__(self, windows: Sequence[int], channels: int, dimensions: int) -> None:
        super().__init__(windows, channels, dimensions)
        self.width = len(windows) * channels + dimensions

    def forward(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length width"]:
        """The answers and the vectors."""
        found = torch.cat(self.sums(vectors, centred=True), dim=2)
        return torch.cat([vectors, torch.relu(found + self.bias)], dim=2)
