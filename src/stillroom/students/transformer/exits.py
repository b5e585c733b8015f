"""Heads that answer before the last layer has spoken, and the network in the pieces between them.

A head reads the mean of a layer's vectors (as DeeBERT, 2004.12993, puts one after each layer, there on the first token)
and learns beside the last one. A text of whose answer it is sure needs no more layers. Each piece is a network of the
same kind with some of the layers: its tables of vectors are those of the whole, or, further up, whatever came before.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import nn

from stillroom.core import seeds
from stillroom.students.transformer import pruning
from stillroom.teachers import _listening

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

FILE = "exits.safetensors"


@final
class Exit(nn.Module):
    """Answers from the mean of a layer's vectors over a text's tokens."""

    def __init__(self, *, width: int, classes: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.out = nn.Linear(width, classes)

    def forward(
        self, hidden: Float[Tensor, "batch length width"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        counted = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)
        logits: Tensor = self.out(torch.tanh(self.dense(mean)))
        return logits


@final
class Piece(nn.Module):
    """The layers from one head to the next: called with ids, or with the vectors that the piece before it gave."""

    def __init__(self, inner: Any, head: Exit | None, *, first: bool) -> None:
        super().__init__()
        self.inner, self.head = inner, head
        self._given = "input_ids" if first else "inputs_embeds"

    def forward(self, given: Tensor, mask: Bool[Tensor, "batch length"]) -> Tensor | tuple[Tensor, Tensor]:
        """Logits and, but for the last piece, the vectors that they come from."""
        told = {self._given: given, "attention_mask": mask.long()}
        if self.head is None:
            logits: Tensor = self.inner(**told).logits
            return logits
        hidden: Tensor = self.inner.base_model(**told).last_hidden_state
        return self.head(hidden, mask), hidden


@final
class _Given(nn.Module):
    """In the place of the tables: the vectors are there already."""

    def forward(self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None, *_: Any, **__: Any) -> Any:
        return inputs_embeds


def made(inner: Any, layers: Sequence[int], *, seed: int) -> nn.ModuleDict:
    """A new head after each of these layers (the first is 1), drawn by chance.

    Raises:
        MismatchError: an architecture that can't be cut into pieces.
    """
    width = pruning.parts(inner)[0].up.in_features if layers else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "students/transformer/exits"))
        return nn.ModuleDict({str(one): Exit(width=width, classes=inner.config.num_labels) for one in layers})


def save(heads: nn.ModuleDict, folder: Path) -> None:
    """Write the heads, where there are any."""
    from safetensors.torch import save_file

    if len(heads):
        save_file(heads.state_dict(), folder / FILE)


def reopen(folder: Path) -> nn.ModuleDict:
    """The heads in a folder, none where none were written."""
    from safetensors.torch import load_file

    if not (folder / FILE).is_file():
        return nn.ModuleDict()
    weights = load_file(folder / FILE)
    layers = sorted(int(name.partition(".")[0]) for name in weights if name.endswith("out.bias"))
    sizes = {one: weights[f"{one}.out.weight"].shape for one in layers}
    with torch.random.fork_rng(devices=[]):
        found = nn.ModuleDict({str(one): Exit(width=size[1], classes=size[0]) for one, size in sizes.items()})
    found.load_state_dict(weights)
    return found


def pieces(inner: Any, heads: nn.ModuleDict) -> list[Piece]:
    """The network cut after each layer with a head: copies, so that it stays whole."""
    ends = [int(one) for one in heads]
    found = []
    for start, end in zip([0, *ends], [*ends, int(inner.config.num_hidden_layers)], strict=True):
        head: Any = copy.deepcopy(heads[str(end)]) if str(end) in heads else None
        found.append(Piece(_between(inner, start, end), head, first=start == 0).eval())
    return found


def _between(inner: Any, start: int, end: int) -> Any:
    """A copy of the network with the layers from `start` to `end` alone."""
    part = copy.deepcopy(inner)
    holder, name = _listening.stack(part)
    setattr(holder, name, nn.ModuleList(list(getattr(holder, name))[start:end]))
    part.config.num_hidden_layers = end - start
    if start:
        part.base_model.embeddings = _Given()
        if hasattr(part.base_model, "embeddings_project"):
            part.base_model.embeddings_project = nn.Identity()
    return part
