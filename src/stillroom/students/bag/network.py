"""The bag student in torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from stillroom.runtime.runners.bag import FILE
from stillroom.students import Ids

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.students.bag import Bag


@final
class Linear(nn.Module):
    """Scores of the features, summed and divided by the square root of their number."""

    def __init__(self, settings: Bag, classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(1 << settings.features.bits, classes, sparse=True)
        nn.init.zeros_(self.table.weight)
        self.bias = nn.Parameter(torch.zeros(classes))
        self.dropout = settings.dropout

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        if self.training and self.dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.dropout)
        counted = mask.to(self.bias.dtype)
        total = torch.einsum("bl,blc->bc", counted, self.table(ids))
        return total / counted.sum(dim=1, keepdim=True).clamp(min=1).sqrt() + self.bias


@final
class BagNetwork:
    """A bag student with its features."""

    def __init__(self, settings: Bag, module: Linear) -> None:
        self.module = module
        self.encoder = settings.features
        self._encode = settings.features.open(Path())

    @property
    def shape(self) -> str:
        """One answer a text."""
        return "pooled"

    @property
    def layers(self) -> int:
        """None: it has no inside."""
        return 0

    @property
    def heads(self) -> tuple[str, ...]:
        """One."""
        return ("logits",)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The buckets of the features of each text."""
        return self._encode(texts)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits: it has no inside."""
        return {"logits": self.module(ids, mask)}

    def strata(self) -> list[list[nn.Parameter]]:
        """All at once: it is a single layer."""
        return [list(self.module.parameters())]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the table, AdamW for the bias."""
        return [
            torch.optim.SparseAdam([self.module.table.weight], lr=learning_rate),
            torch.optim.AdamW([self.module.bias], lr=learning_rate, weight_decay=0.0, foreach=False),
        ]

    def flops(self, ids: Ids) -> float:
        """One addition a feature and class."""
        classes = len(self.module.bias)
        return float(len(ids) * classes + 2 * classes)

    def save(self, folder: Path) -> None:
        """Write the table in half precision, and the bias."""
        weights = {"table": self.module.table.weight, "bias": self.module.bias}
        save_file({name: one.detach().to(torch.float16).contiguous() for name, one in weights.items()}, folder / FILE)


def fresh(settings: Bag, *, classes: int) -> BagNetwork:
    """A student before its first step."""
    return BagNetwork(settings, Linear(settings, classes))


def reopen(settings: Bag, folder: Path) -> BagNetwork:
    """The student in a folder."""
    weights = load_file(folder / FILE)
    network = fresh(settings, classes=len(weights["bias"]))
    network.module.load_state_dict({"table.weight": weights["table"].float(), "bias": weights["bias"].float()})
    return network
