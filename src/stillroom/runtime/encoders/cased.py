"""Token ids that also tell how each token is written, for tokenizers that lower every letter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from stillroom.core.scripted import Scripted
from stillroom.core.words import Traced, Words
from stillroom.runtime.encoders import Encode, Ids, Reach, ReadWords, Trace, WordEncoder
from stillroom.runtime.encoders.tokens import FILE, Tokens, words_of

#: How a token can be written: without capitals, with one at its start, in capitals alone, with some inside.
WAYS = 4


@final
class Cased(WordEncoder):
    """The tokens of a text, each as `id + way · size`: what it is, and in which of four ways it is written.

    Names are told by their capitals, and a tokenizer that lowers every letter hides them.
    """

    kind: Literal["cased"] = "cased"
    tokens: Tokens
    """How texts become tokens."""
    size: int = Field(ge=1)
    """How many tokens there are."""

    def open(self, folder: Path) -> Encode:
        """The tokenizer in a folder."""
        read = self.open_words(folder)
        return lambda texts: read(texts)[0]

    def open_reach(self, folder: Path) -> Reach:
        """As far as its tokens go."""
        return self.tokens.open_reach(folder)

    def in_browser(self, folder: Path) -> Scripted:
        """The tokenizer's script, and the ways to write a token."""
        return Scripted({"kind": self.kind, "size": self.size}).holding(tokens=self.tokens.in_browser(folder))

    def open_words(self, folder: Path) -> ReadWords:
        """The same with the words that the tokens make."""
        tokenizer = self.tokens.ready(Tokenizer.from_file(str(folder / FILE)))

        def read(texts: Sequence[str]) -> tuple[list[Ids], Words]:
            found = tokenizer.encode_batch(list(texts), add_special_tokens=self.tokens.special)
            return [self._told(text, one.ids, one.offsets) for text, one in zip(texts, found, strict=True)], words_of(
                found
            )

        return read

    def trace(self, written: str) -> Trace:
        """The same for one text, for a tokenizer as `tokenizer.json` would hold it, with where each token stands."""
        plain = self.tokens.trace(written)

        def trace(text: str) -> Traced:
            found = plain(text)
            return replace(found, ids=self._told(text, found.ids, found.places))

        return trace

    def _told(self, text: str, ids: Sequence[int] | Ids, places: Any) -> Ids:
        """Ids that also tell how their tokens are written."""
        plain = np.array(ids if len(ids) else [self.tokens.unknown], dtype=np.int32)
        if text == text.lower():  # most texts of some sources: nothing to look at
            return plain
        ways = np.array([_way(text[start:end]) for start, end in places] or [0], dtype=np.int32)
        return plain + np.int32(self.size) * ways


def _way(written: str) -> int:
    """0: without capitals, 1: one at its start, 2: capitals alone (two or more), 3: some inside."""
    if written.islower() or written == written.lower():
        return 0
    if len(written) > 1 and written.isupper():
        return 2
    return 1 if written[0].isupper() and written[1:] == written[1:].lower() else 3
