"""Token ids, and after them the buckets of words and characters, for students that look at both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import Field

from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders import Encode, Encoder, Ids, Reach
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.encoders.tokens import FILE, Tokens


@final
class TokensAndNGrams(Encoder):
    """The tokens of a text, then its n-grams, whose ids begin where those of tokens end."""

    kind: Literal["tokens_and_ngrams"] = "tokens_and_ngrams"
    tokens: Tokens
    """How texts become tokens."""
    ngrams: NGrams
    """How they become buckets."""
    first: int = Field(ge=1)
    """The id of the first bucket: how many tokens there are."""

    def open(self, folder: Path) -> Encode:
        """Both, with the tokenizer in a folder."""
        return self.read((folder / FILE).read_text(encoding="utf-8"))

    def open_reach(self, folder: Path) -> Reach:
        """As far as its tokens go; the n-grams are those of the whole text."""
        return self.tokens.open_reach(folder)

    def in_browser(self, folder: Path) -> Scripted:
        """Both."""
        own = Scripted({"kind": self.kind, "first": self.first})
        return own.holding(tokens=self.tokens.in_browser(folder), ngrams=self.ngrams.in_browser(folder))

    def read(self, written: str) -> Encode:
        """The same for a tokenizer as `tokenizer.json` would hold it."""
        to_tokens, to_buckets = self.tokens.read(written), self.ngrams.open(Path())

        def encode(texts: Sequence[str]) -> list[Ids]:
            pairs = zip(to_tokens(texts), to_buckets(texts), strict=True)
            return [np.concatenate([tokens, buckets + np.int32(self.first)]) for tokens, buckets in pairs]

        return encode
