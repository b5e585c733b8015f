"""The static student in torch: in training with vectors, weights and a head, afterwards folded into fewer numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from stillroom.core import seeds
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.encoders.tokens_and_ngrams import TokensAndNGrams
from stillroom.runtime.runners.static import FILE
from stillroom.students import Ids, Inside, _optimizers
from stillroom.students._vocabulary import ENCODER
from stillroom.tasks import Task

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.runtime.encoders.ngrams import NGrams
    from stillroom.students.static import Static


# The scores of n-grams begin at zero and have far to go: their steps are so much longer than those of the rest.
_PACE = 3.0


@final
class Scores(nn.Module):
    """Scores of words, pairs and character n-grams, summed, over the root of their number; ids from `first` on."""

    def __init__(self, table: Float[Tensor, "buckets classes"], *, first: int, pace: float, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(table, freeze=False, sparse=True)
        self.first, self.pace, self.dropout = first, pace, dropout

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """What they add to the logits; tokens are passed over."""
        mask = mask & (ids >= self.first)
        if self.training and self.dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.dropout)
        counted = mask.to(self.table.weight.dtype)
        total = torch.einsum("bl,blc->bc", counted, self.table((ids - self.first).clamp(min=0)))
        return self.pace * total / counted.sum(dim=1, keepdim=True).clamp(min=1).sqrt()


@final
class Growing(nn.Module):
    """Vectors, log-weights and a head, all trained; tables get sparse gradients."""

    def __init__(
        self, settings: Static, vectors: NDArray[np.float32], weights: NDArray[np.float32], classes: int
    ) -> None:
        super().__init__()
        self.vectors = nn.Embedding.from_pretrained(torch.from_numpy(vectors), freeze=False, sparse=True)
        log_weights = torch.from_numpy(np.log(weights))[:, None]
        self.log_weights = nn.Embedding.from_pretrained(log_weights, freeze=False, sparse=True)
        # The mean of unit vectors is short; the head learns best from inputs of size about one.
        self.scale = nn.Parameter(torch.tensor(4.0))
        self.first = nn.Linear(vectors.shape[1], settings.hidden)
        self.head = nn.Linear(settings.hidden, classes)
        self.dropout = nn.Dropout(settings.dropout)
        self.token_dropout = settings.token_dropout
        self.features = None
        if settings.features is not None:
            table = torch.zeros(1 << settings.features.bits, classes)
            self.features = Scores(table, first=len(vectors), pace=_PACE, dropout=settings.feature_dropout)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits from the weighted mean of the vectors, and the scores of n-grams."""
        return self.both(ids, mask)[0]

    def both(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch width"]]:
        """Logits, and the weighted mean that most of them is made from."""
        added = 0.0 if self.features is None else self.features(ids, mask)
        if self.features is not None:
            mask = mask & (ids < self.features.first)
            longest = int(mask.sum(dim=1).max())  # tokens stand before n-grams
            mask = mask[:, :longest]
            ids = ids[:, :longest].masked_fill(~mask, 0)
        if self.training and self.token_dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.token_dropout)
        weights = self.log_weights(ids).squeeze(-1).exp() * mask
        total = torch.einsum("bl,bld->bd", weights, self.vectors(ids))
        mean = self.scale * total / mask.sum(dim=1, keepdim=True).clamp(min=1)
        logits: Tensor = self.head(self.dropout(torch.relu(self.first(mean)))) + added
        return logits, mean

    def folded(self) -> dict[str, Tensor]:
        """The same function with one row a token: its vector, times its weight, through the first layer."""
        with torch.no_grad():
            rows = self.scale * self.log_weights.weight.exp() * self.vectors.weight @ self.first.weight.T
        found = {"rows": rows, "bias": self.first.bias, "head": self.head.weight, "head_bias": self.head.bias}
        if self.features is not None:
            found["features"] = self.features.pace * self.features.table.weight
        return {name: tensor.detach().to(torch.float16).contiguous() for name, tensor in found.items()}


@final
class Folded(nn.Module):
    """What `Growing` becomes: `head · relu(mean of rows + bias) + head_bias`, and the scores of n-grams."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.rows = nn.Parameter(weights["rows"].float())
        self.bias = nn.Parameter(weights["bias"].float())
        self.head = nn.Parameter(weights["head"].float())
        self.head_bias = nn.Parameter(weights["head_bias"].float())
        self.inlet = nn.Identity()  # where the rows of tokens can be seen
        self.features = None
        if "features" in weights:
            self.features = Scores(weights["features"].float(), first=len(self.rows), pace=1.0, dropout=0.0)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits from the mean of the rows."""
        tokens = mask & (ids < len(self.rows))
        counted = tokens.to(self.rows.dtype)
        rows = self.inlet(self.rows[ids.clamp(max=len(self.rows) - 1)])
        total = (rows * counted.unsqueeze(-1)).sum(dim=1)
        mean = total / counted.sum(dim=1, keepdim=True).clamp(min=1)
        logits = torch.relu(mean + self.bias) @ self.head.T + self.head_bias
        return logits if self.features is None else logits + self.features(ids, mask)


@final
class StaticNetwork:
    """A static student with its tokenizer, and the n-grams that it scores, if any."""

    def __init__(self, module: Growing | Folded, tokenizer: str, features: NGrams | None) -> None:
        self.module = module
        self.encoder: Tokens | TokensAndNGrams = ENCODER
        if module.features is not None and features is not None:
            self.encoder = TokensAndNGrams(tokens=ENCODER, ngrams=features, first=module.features.first)
        self._tokenizer = tokenizer
        self._encode = self.encoder.read(tokenizer)

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
        """The token ids of each text, without special tokens, and behind them its n-grams."""
        return self._encode(texts)

    def inside(self) -> Inside | None:
        """From the rows of its tokens on; None in training, and where n-grams are scored beside them."""
        if not isinstance(self.module, Folded) or not isinstance(self.encoder, Tokens):
            return None
        return Inside(self.module, self.module.inlet, self.encoder.trace(self._tokenizer), torch.zeros(1))

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits, and the mean vector of a text."""
        if not isinstance(self.module, Growing):
            return {"logits": self.module(ids, mask)}
        logits, mean = self.module.both(ids, mask)
        return {"logits": logits, "embedding": mean}

    def strata(self) -> list[list[nn.Parameter]]:
        """The head (with the scores of n-grams), the first layer, the tables."""
        weights = dict(self.module.named_parameters())
        low = {"vectors.weight", "log_weights.weight"}
        middle = {"scale", "first.weight", "first.bias"}
        top = [weight for name, weight in weights.items() if name not in low | middle]
        return [
            top,
            [weights[name] for name in sorted(middle & set(weights))],
            [weights[name] for name in sorted(low & set(weights))],
        ]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the tables, AdamW for the rest."""
        return _optimizers.sparse_apart(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """One addition a token and hidden unit, one an n-gram and class, and the head; as it is served, folded."""
        weights = self.module.folded() if isinstance(self.module, Growing) else dict(self.module.named_parameters())
        classes, hidden = weights["head"].shape
        grams = np.count_nonzero(ids >= len(weights["rows"]))
        return float((len(ids) - grams) * hidden + grams * classes + 3 * hidden + 2 * hidden * classes)

    def save(self, folder: Path) -> None:
        """Write the folded weights in half precision, and the tokenizer."""
        if not isinstance(self.module, Growing):
            raise AssertionError("only a student in training is saved; a folded one is on disk already")
        save_file(self.module.folded(), folder / FILE)
        (folder / TOKENIZER).write_text(self._tokenizer, encoding="utf-8")


def fresh(
    settings: Static,
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    tokenizer: str,
    task: Task,
    seed: int,
) -> StaticNetwork:
    """A student before its first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "students/static/head"))
        module = Growing(settings, vectors, weights, len(task.outputs))
    return StaticNetwork(module, tokenizer, settings.features)


def reopen(settings: Static, folder: Path) -> StaticNetwork:
    """The folded student in a folder."""
    tokenizer = (folder / TOKENIZER).read_text(encoding="utf-8")
    return StaticNetwork(Folded(load_file(folder / FILE)), tokenizer, settings.features)
