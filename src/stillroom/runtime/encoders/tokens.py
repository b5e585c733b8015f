"""Token ids from a tokenizer of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.runtime.encoders import Encode, Encoder, Ids

FILE = "tokenizer.json"


@final
class Tokens(Encoder):
    """Token ids from the `tokenizer.json` in the student's folder."""

    kind: Literal["tokens"] = "tokens"
    special: bool
    """Whether to add the tokens that a transformer expects around a text."""
    max_tokens: int | None = Field(None, ge=1)
    """Longer texts are cut, special tokens kept; None: they are not."""
    unknown: int = Field(0, ge=0)
    """The id for a text that has no token at all."""

    def open(self, folder: Path) -> Encode:
        """The tokenizer, without padding; a text without tokens gets `unknown`."""
        pieces = self.pieces(folder)
        nothing = np.array([self.unknown], dtype=np.int32)

        def encode(texts: Sequence[str]) -> list[Ids]:
            return [ids if len(ids) else nothing for ids in pieces(texts)]

        return encode

    def pieces(self, folder: Path) -> Encode:
        """The tokenizer, without padding, for parts of texts: a part without tokens gets none."""
        tokenizer = Tokenizer.from_file(str(folder / FILE))
        tokenizer.no_padding()
        if self.max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_tokens)

        def encode(texts: Sequence[str]) -> list[Ids]:
            found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=self.special)
            return [np.array(one.ids, dtype=np.int32) for one in found]

        return encode
