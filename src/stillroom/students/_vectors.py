"""What networks that embed texts have in common: they read tokens and tell one vector a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from stillroom.runtime.encoders.tokens import Tokens
from stillroom.students import Ids

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor, nn

M = TypeVar("M", bound="nn.Module")


class VectorNetwork(Generic[M]):
    """A module that embeds texts, with its tokenizer."""

    def __init__(self, module: M, tokenizer: str, encoder: Tokens) -> None:
        self.module, self.tokenizer, self.encoder = module, tokenizer, encoder
        self._encode = encoder.read(tokenizer)

    @property
    def shape(self) -> str:
        """A vector a text."""
        return "vectors"

    @property
    def layers(self) -> int:
        """None that it tells of: its teacher tells of none."""
        return 0

    @property
    def heads(self) -> tuple[str, ...]:
        """One."""
        return ("embedding",)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, as its encoder reads them."""
        return self._encode(texts)

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> dict[str, Float[Tensor, "batch width"]]:
        """The vector."""
        return {"embedding": self.module(ids, mask)}
