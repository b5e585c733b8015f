"""Token ids from a tokenizer of the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
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
        """The tokenizer in a folder, without padding; a text without tokens gets `unknown`."""
        return self.read((folder / FILE).read_text(encoding="utf-8"))

    def read(self, written: str) -> Encode:
        """The same for a tokenizer as `tokenizer.json` would hold it."""
        tokenizer = self._ready(Tokenizer.from_str(written))
        nothing = np.array([self.unknown], dtype=np.int32)

        def encode(texts: Sequence[str]) -> list[Ids]:
            found = tokenizer.encode_batch_fast(list(texts), add_special_tokens=self.special)
            return [np.array(one.ids, dtype=np.int32) if one.ids else nothing for one in found]

        return encode

    def open_chunks(self, folder: Path) -> Callable[[Sequence[str]], tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """The tokenizer for chunks that it would split anyway: all their ids end to end, and how many each has.

        They are read as one text, which takes half the time that many small ones do.
        """
        tokenizer = self._ready(Tokenizer.from_file(str(folder / FILE)))

        def encode(chunks: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
            found = tokenizer.encode(" ".join(chunks), add_special_tokens=False)
            starts = np.cumsum([0, *(len(chunk) + 1 for chunk in chunks[:-1])])
            # A token may begin with the space before its chunk; where it ends is certain.
            ends = np.array(found.offsets, dtype=np.int64).reshape(-1, 2)[:, 1]
            owners = np.searchsorted(starts, ends - 1, side="right") - 1
            return np.array(found.ids, dtype=np.int64), np.bincount(owners, minlength=len(chunks))

        return encode

    def _ready(self, tokenizer: Tokenizer) -> Tokenizer:
        tokenizer.no_padding()
        if self.max_tokens is None:
            tokenizer.no_truncation()
        else:
            tokenizer.enable_truncation(self.max_tokens)
        return tokenizer
