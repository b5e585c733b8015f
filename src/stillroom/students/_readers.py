"""Students that read token vectors in their order: the tables, a body over them, a head."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn

from stillroom.core import seeds
from stillroom.core.words import Words
from stillroom.runtime.encoders.cased import WAYS, Cased
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Ids, Inside, _optimizers
from stillroom.students._vocabulary import ENCODER
from stillroom.tasks import Task

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

    from stillroom.runtime.encoders import ReadWords

_SCALE = 4.0


class Body(Protocol):
    """What makes one vector of a text, or one of each of its tokens; a module of torch."""

    @property
    def width(self) -> int:
        """Of the vector that it gives."""

    def __call__(
        self, vectors: Float[Tensor, "batch length dimensions"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch *length width"]:
        """One vector a text, or a token, from its tokens' vectors; those of padding are zero, and stand at the end."""

    def flops(self, ids: int) -> float:
        """Floating-point operations for one text of so many ids."""


#: A body over vectors of so many dimensions.
Build = Callable[[int], Body]


@final
class Tables(nn.Module):
    """A vector and a log-weight a token, both trained, with sparse gradients.

    Where tokens tell how they are written, a vector for each of the `ways` is added.
    """

    def __init__(
        self, vectors: NDArray[np.float32], weights: NDArray[np.float32], *, dropout: float, ways: int = 1
    ) -> None:
        super().__init__()
        self.ways = nn.Parameter(torch.zeros(ways, vectors.shape[1])) if ways > 1 else None
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
        plain = ids if self.ways is None else ids % len(self.vectors.weight)
        weights = self.scale * self.log_weights(plain).exp() * mask.unsqueeze(-1)
        weighted: Tensor = weights * self.vectors(plain)
        if self.ways is not None:
            weighted = weighted + self.ways[ids // len(self.vectors.weight)] * mask.unsqueeze(-1)
        return weighted

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.vectors.weight)

    def folded(self) -> Float[Tensor, "tokens dimensions"]:
        """The same as one row a token."""
        with torch.no_grad():
            rows: Tensor = self.scale * self.log_weights.weight.exp() * self.vectors.weight
        return rows


@final
class Rows(nn.Module):
    """What `Tables` become: one row a token, and one a way to write it."""

    def __init__(
        self, rows: Float[Tensor, "tokens dimensions"], ways: Float[Tensor, "ways dimensions"] | None = None
    ) -> None:
        super().__init__()
        self.rows = nn.Parameter(rows)
        self.ways = None if ways is None else nn.Parameter(ways)

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self.rows)

    def forward(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> Float[Tensor, "batch length dimensions"]:
        """The rows."""
        size = len(self.rows)
        found = self.rows[ids] if self.ways is None else self.rows[ids % size] + self.ways[ids // size]
        return found * mask.unsqueeze(-1)


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
    ) -> Float[Tensor, "batch *length classes"]:
        """Logits, of a text or of each token."""
        return self.both(ids, mask)[0]

    def both(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]
    ) -> tuple[Float[Tensor, "batch *length classes"], Float[Tensor, "batch *length width"]]:
        """Logits, and the vectors that they are made from."""
        vectors = self.body(self.tables(ids, mask), mask)
        logits: Tensor = self.head(self.dropout(vectors))
        return logits, vectors


@final
class ReaderNetwork:
    """A reader with its tokenizer, kept in the file of its kind."""

    def __init__(self, module: Reader, tokenizer: Path, *, file: str, shape: str = "pooled") -> None:
        self.module = module
        self.shape = shape
        # Spans are told by capitals too; of a text as a whole they say little.
        self.encoder = ENCODER if module.tables.ways is None else Cased(tokens=ENCODER, size=module.tables.size)
        self._tokenizer, self._file = tokenizer, file
        self._encode = self.encoder.open(tokenizer.parent)

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

    def read(self, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """The same, and their words."""
        return self._read(texts)

    @cached_property
    def _read(self) -> ReadWords:
        return self.encoder.open_words(self._tokenizer.parent)

    def inside(self) -> Inside:
        """From the weighted vectors of its tokens on, and of how these are written; padding has zeros."""
        written = self._tokenizer.read_text(encoding="utf-8")
        return Inside(self.module, self.module.tables, self.encoder.trace(written), torch.zeros(1))

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Tensor]:
        """Logits, and what they are made from."""
        logits, vectors = self.module.both(ids, mask)
        return {"logits": logits, "embedding": vectors}

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
        tables = self.module.tables
        weights = {"rows": tables.folded().to(torch.float16)}
        weights |= {} if tables.ways is None else {"ways": tables.ways.detach()}
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
        tables = Tables(vectors, weights, dropout=token_dropout, ways=WAYS if task.shape == "tokens" else 1)
        module = Reader(tables, build(vectors.shape[1]), classes=len(task.outputs), dropout=dropout)
    return ReaderNetwork(module, tokenizer, file=file, shape=task.shape)


def reopen(build: Build, folder: Path, *, file: str, shape: str) -> ReaderNetwork:
    """The student in a folder."""
    weights = load_file(folder / file)
    tables = {name: weights.pop(name).float() for name in ("rows", "ways") if name in weights}
    rows = Rows(**tables)
    module = Reader(rows, build(rows.rows.shape[1]), classes=len(weights["head.bias"]))
    module.load_state_dict({**{f"tables.{name}": one for name, one in tables.items()}, **weights})
    return ReaderNetwork(module, folder / TOKENIZER, file=file, shape=shape)
