"""A network as one module that is called for its signals: what several devices need to share out its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from torch import nn

from stillroom.students import Network

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor


@final
class Speaking(nn.Module):
    """A network, called with ids, mask and the names of the signals that are wanted of it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.inner = network.module
        self._tell = network.tell

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> Mapping[str, Tensor]:
        """The signals."""
        return self._tell(ids, mask, wanted)
