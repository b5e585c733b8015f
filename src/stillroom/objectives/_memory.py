"""The teacher's vectors of earlier batches, and a projection where widths differ: for a contrast beyond a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@final
class Memory(nn.Module):
    """A projection, if one is needed, and a queue; what is not filled yet is zero, and evaluation fills nothing."""

    queue: Tensor

    def __init__(self, project: nn.Linear | None, *, rows: int, width: int) -> None:
        super().__init__()
        self.project = project
        self.register_buffer("queue", torch.zeros(rows, width))

    def forward(
        self, own: Float[Tensor, "rows width"], told: Float[Tensor, "rows others"]
    ) -> tuple[Float[Tensor, "rows others"], Float[Tensor, "earlier others"]]:
        """The student's vectors, projected, and the teacher's of before; these of the teacher's come into the queue."""
        queue = self.queue
        if self.training:
            self.queue = torch.cat([told.to(queue), queue])[: len(queue)]
        return own if self.project is None else self.project(own), queue[queue.any(dim=-1)]
