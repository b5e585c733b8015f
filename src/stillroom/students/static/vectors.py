"""The static student that embeds texts, in torch: vectors, weights and a map in training, then one row a token."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn.functional import embedding, embedding_bag, normalize

from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.runners.static_vectors import FILE
from stillroom.students import Ids, Inside, _optimizers
from stillroom.students._vectors import VectorNetwork
from stillroom.students._vocabulary import ENCODER

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

# What a token counts has far to go beside its vector: its steps are so much longer.
_PACE = 5.0
# The largest number of a row: half precision has its finest steps well below it, and length is of no account.
_LARGEST = 64.0


@final
class Growing(nn.Module):
    """`M · unit(Σ_t exp(w_t) v_t)` at length one; tables get sparse gradients.

    `mute` are tokens that say nothing: an unknown one, and what stands where there is none.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        weights: NDArray[np.float32],
        bridge: NDArray[np.float32],
        *,
        mute: Sequence[int],
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.mute: Tensor
        self.register_buffer("mute", torch.tensor(sorted(mute)), persistent=False)
        self.vectors = nn.Embedding.from_pretrained(torch.from_numpy(vectors), freeze=False, sparse=True)
        log_weights = torch.from_numpy(np.log(weights))[:, None] / _PACE
        self.log_weights = nn.Embedding.from_pretrained(log_weights, freeze=False, sparse=True)
        self.bridge = nn.Parameter(torch.from_numpy(bridge))
        self.token_dropout = token_dropout

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """Vectors of length one."""
        mask = mask & ~torch.isin(ids, self.mute)
        if self.training and self.token_dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.token_dropout)
        # Only what counts is looked up: a batch may hold a document beside a question.
        counts, flat = mask.sum(dim=1), ids[mask]
        weights = (_PACE * embedding(flat, self.log_weights.weight, sparse=True).squeeze(-1)).exp()
        total = embedding_bag(flat, self.vectors.weight, counts.cumsum(0) - counts, mode="sum", sparse=True,
                              per_sample_weights=weights)  # fmt: skip
        return normalize(normalize(total, dim=-1) @ self.bridge.T, dim=-1)

    def folded(self) -> dict[str, Tensor]:
        """The same function with one row a token: its vector, times its weight, through the map."""
        with torch.no_grad():
            rows = (_PACE * self.log_weights.weight).exp() * self.vectors.weight @ self.bridge.T
            rows[self.mute] = 0.0
            rows = rows * (_LARGEST / rows.abs().max().clamp(min=1e-12))
        return {"rows": rows.to(torch.float16).contiguous()}


@final
class Folded(nn.Module):
    """What `Growing` becomes: the sum of rows at length one."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.rows = nn.Parameter(weights["rows"].float())
        self.inlet = nn.Identity()  # where the rows of tokens can be seen

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """Vectors of length one."""
        total = (self.inlet(self.rows[ids]) * mask.to(self.rows.dtype).unsqueeze(-1)).sum(dim=1)
        return normalize(total, dim=-1)


@final
class StaticVectorNetwork(VectorNetwork[Growing | Folded]):
    """A static student that embeds texts, with its tokenizer."""

    def rows(self) -> NDArray[np.float32]:
        """A row a token, `[tokens, width]`."""
        weights = self.module.folded() if isinstance(self.module, Growing) else dict(self.module.named_parameters())
        found: NDArray[np.float32] = weights["rows"].detach().float().numpy()
        return found

    def modules(self) -> list[Any]:
        """As sentence-transformers has them: a table, and what brings its mean to length one."""
        from sentence_transformers.sentence_transformer.modules import Normalize, StaticEmbedding

        return [StaticEmbedding(Tokenizer.from_str(self.tokenizer), embedding_weights=self.rows()), Normalize()]

    def inside(self) -> Inside | None:
        """From the rows of its tokens on; None in training. What says nothing is the mean row.

        Zeros would not do: a sum of rows points where it points however short it is, and zeros point nowhere.
        """
        if not isinstance(self.module, Folded):
            return None
        blank = self.module.rows.detach().mean(dim=0)
        return Inside(self.module, self.module.inlet, self.encoder.trace(self.tokenizer), blank)

    def strata(self) -> list[list[nn.Parameter]]:
        """The map, the tables."""
        weights = dict(self.module.named_parameters())
        return [[one] for name, one in weights.items() if name == "bridge"] + [
            [one for name, one in weights.items() if name != "bridge"]
        ]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the tables, AdamW for the map."""
        return _optimizers.sparse_apart(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """One addition a token and dimension, and the division by the length; as it is served, folded."""
        width = self.module.bridge.shape[0] if isinstance(self.module, Growing) else self.module.rows.shape[1]
        return float((len(ids) + 3) * width)

    def save(self, folder: Path) -> None:
        """Write the folded rows in half precision, and the tokenizer."""
        if not isinstance(self.module, Growing):
            raise AssertionError("only a student in training is saved; a folded one is on disk already")
        save_file(self.module.folded(), folder / FILE)
        (folder / TOKENIZER).write_text(self.tokenizer, encoding="utf-8")


def begun(
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32],
    bridge: NDArray[np.float32],
    *,
    tokenizer: str,
    token_dropout: float,
) -> StaticVectorNetwork:
    """A student before its first step."""
    mute = {ENCODER.unknown}
    model = json.loads(tokenizer)["model"]
    if "unk_token" in model:
        mute |= {
            place for place in (Tokenizer.from_str(tokenizer).token_to_id(model["unk_token"]),) if place is not None
        }
    module = Growing(vectors, weights, bridge, mute=sorted(mute), token_dropout=token_dropout)
    return StaticVectorNetwork(module, tokenizer, ENCODER)


def reopen(folder: Path) -> StaticVectorNetwork:
    """The folded student in a folder."""
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    return StaticVectorNetwork(Folded(load_file(folder / FILE)), tokenizer, ENCODER)
