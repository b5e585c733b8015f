"""Token ids from a tokenizer of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.runtime.encoders import Encode, EncodeChunks, Encoder, Ids

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
        """The tokenizer in a folder, without padding; a text without tokens gets `unknown`."""
        return self.read((folder / FILE).read_text(encoding="utf-8"))

    def read(self, written: str) -> Encode:
        """The same for a tokenizer as `tokenizer.json` would hold it."""
        return self._encode(self._ready(Tokenizer.from_str(written)))

    def open_both(self, folder: Path) -> tuple[Encode, EncodeChunks]:
        """The tokenizer for texts, and for chunks that it would split anyway, which it reads in half the time.

        Opened once for both: that is a tenth of a first prediction.
        """
        tokenizer = self._ready(Tokenizer.from_file(str(folder / FILE)))
        return self._encode(tokenizer), _encode_chunks(tokenizer)

    def _encode(self, tokenizer: Tokenizer) -> Encode:
        nothing = np.array([self.unknown], dtype=np.int32)

        def encode(texts: Sequence[str]) -> list[Ids]:
            found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=self.special)
            return [np.array(one.ids, dtype=np.int32) if one.ids else nothing for one in found]

        return encode

    def _ready(self, tokenizer: Tokenizer) -> Tokenizer:
        tokenizer.no_padding()
        if self.max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_tokens)
        return tokenizer


def _encode_chunks(tokenizer: Tokenizer) -> EncodeChunks:
    def encode(chunks: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        found = tokenizer.encode(" ".join(chunks), add_special_tokens=False)
        starts = np.cumsum([0, *(len(chunk) + 1 for chunk in chunks[:-1])])
        # A token may begin with the space before its chunk; where it ends is certain.
        ends = np.array(found.offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
        owners = np.searchsorted(starts, ends - 1, side="right") - 1
        return np.array(found.ids, dtype=np.int64), np.bincount(owners, minlength=len(chunks))

    return encode
