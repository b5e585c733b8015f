"""Students that read token vectors in their order: the tables, a body that makes one vector of a text, a head."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from stillroom.core import seeds
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Ids, _optimizers
from stillroom.students._vocabulary import ENCODER
from stillroom.tasks import Task

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

_SCALE = 4.0


class Body(Protocol):
    """What makes one vector of a text; a module of torch."""

    @property
    def width(self) -> int:
        """Of the vector that it gives."""

    def __call__(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch width"]:
        """One vector a text, from its tokens' vectors; those of padding are zero, and stand at the end."""

    def flops(self, ids: int) -> float:
        """Floating-point operations for one text of so many ids."""


#: A body over vectors of so many dimensions.
Build = Callable[[int], Body]


@final
class Tables(nn.Module):
    """A vector and a log-weight a token, both trained, with sparse gradients."""

    def __init__(self, vectors: NDArray[np.float32], weights: NDArray[np.float32], *, dropout: float) -> None:
        super().__init__()
        self.vectors = nn.Embedding.from_pretrained(torch.from_numpy(vectors), freeze=False, sparse=True)
        log_weights = torch.from_numpy(np.log(weights))[:, None]
        self.log_weights = nn.Embedding.from_pretrained(log_weights, freeze=False, sparse=True)
        self.scale = nn.Parameter(torch.tensor(_SCALE))
        self.dropout = dropout

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dimensions"]:
        """The weighted vectors. A token that is left out in training keeps its place, with a vector of zeros."""
        if self.training and self.dropout:
            mask = mask & (torch.rand(mask.shape, device=mask.device) >= self.dropout)
        weights = self.scale * self.log_weights(ids).exp() * mask.unsqueeze(-1)
        weighted: Tensor = weights * self.vectors(ids)
        return weighted

    def folded(self) -> Float[Tensor, "tokens dimensions"]:
        """The same as one row a token."""
        with torch.no_grad():
            rows: Tensor = self.scale * self.log_weights.weight.exp() * self.vectors.weight
        return rows


@final
class Rows(nn.Module):
    """What `Tables` become: one row a token."""

    def __init__(self, rows: Float[Tensor, "tokens dimensions"]) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dimensions"]:
        """The rows."""
        found: Tensor = self.rows[ids] * mask.unsqueeze(-1)
        return found


@final
class Reader(nn.Module):
    """Tables, a body and a linear head."""

    def __init__(self, tables: Tables | Rows, body: Body, *, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.tables = tables
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(body.width, classes)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        return self.both(ids, mask)[0]

    def both(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch width"]]:
        """Logits, and the vector of a text that they are made from."""
        pooled = self.body(self.tables(ids, mask), mask)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits, pooled


@final
class ReaderNetwork:
    """A reader with its tokenizer, kept in the file of its kind."""

    def __init__(self, module: Reader, tokenizer: Path, *, file: str) -> None:
        self.module = module
        self.encoder = ENCODER
        self._tokenizer, self._file = tokenizer, file
        self._encode = ENCODER.open(tokenizer.parent)

    @property
    def layers(self) -> int:
        """None that it tells of."""
        return 0

    @property
    def heads(self) -> tuple[str, ...]:
        """One."""
        return ("logits",)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, without special tokens."""
        return self._encode(texts)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits, and the vector of a text."""
        logits, pooled = self.module.both(ids, mask)
        return {"logits": logits, "embedding": pooled}

    def strata(self) -> list[list[nn.Parameter]]:
        """The head, the body, the tables."""
        parts: tuple[nn.Module, ...] = (self.module.head, self._body(), self.module.tables)
        return [list(part.parameters()) for part in parts]

    def optimizers(self, learning_rate: float) -> list[torch.optim.Optimizer]:
        """Sparse Adam for the tables, AdamW for the rest."""
        return _optimizers.sparse_apart(self.module, learning_rate)

    def flops(self, ids: Ids) -> float:
        """Those of the body and of the head."""
        return self.module.body.flops(len(ids)) + 2.0 * self.module.head.in_features * self.module.head.out_features

    def save(self, folder: Path) -> None:
        """Write one row a token in half precision, the other weights as they are, and the tokenizer."""
        if not isinstance(self.module.tables, Tables):
            raise AssertionError("only a student in training is saved; one that came back is on disk already")
        weights = {"rows": self.module.tables.folded().to(torch.float16)}
        for part, module in (("body", self._body()), ("head", self.module.head)):
            weights |= {f"{part}.{name}": one.detach() for name, one in module.named_parameters()}
        save_file({name: one.contiguous() for name, one in weights.items()}, folder / self._file)
        shutil.copyfile(self._tokenizer, folder / TOKENIZER)

    def _body(self) -> nn.Module:
        return cast(nn.Module, self.module.body)


def fresh(
    build: Build,
    vectors: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    dropout: float,
    token_dropout: float,
    tokenizer: Path,
    file: str,
    task: Task,
    seed: int,
) -> ReaderNetwork:
    """A student before its first step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds.derive(seed, "students/readers"))
        tables = Tables(vectors, weights, dropout=token_dropout)
        module = Reader(tables, build(vectors.shape[1]), classes=len(task.outputs), dropout=dropout)
    return ReaderNetwork(module, tokenizer, file=file)


def reopen(build: Build, folder: Path, *, file: str) -> ReaderNetwork:
    """The student in a folder."""
    weights = load_file(folder / file)
    rows = Rows(weights.pop("rows").float())
    module = Reader(rows, build(rows.rows.shape[1]), classes=len(weights["head.bias"]))
    module.load_state_dict({"tables.rows": rows.rows.data, **weights})
    return ReaderNetwork(module, folder / TOKENIZER, file=file)
