"""Token ids sentence by sentence, each sentence closed by an id of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from pydantic import Field

from stillroom.core import sentences
from stillroom.runtime.encoders import Encode, Encoder, Ids
from stillroom.runtime.encoders.tokens import FILE, Tokens


@final
class Sentences(Encoder):
    """The tokens of each sentence of a text, and behind them the id `size`, which is no token's.

    So many of that id as there are sentences; a text without any has one.
    """

    kind: Literal["sentences"] = "sentences"
    tokens: Tokens
    """How a sentence becomes tokens."""
    size: int = Field(ge=1)
    """How many tokens there are."""
    unit: sentences.Unit = "sentences"
    """What a text is made of."""

    def open(self, folder: Path) -> Encode:
        """The tokenizer in a folder."""
        return self.read((folder / FILE).read_text(encoding="utf-8"))

    def read(self, written: str) -> Encode:
        """The same for a tokenizer as `tokenizer.json` would hold it."""
        encode, stop = self.tokens.read(written), np.array([self.size], dtype=np.int32)

        def read(texts: Sequence[str]) -> list[Ids]:
            places = [sentences.spans(text, unit=self.unit) for text in texts]
            pieces = iter(
                encode([text[start:end] for text, some in zip(texts, places, strict=True) for start, end in some])
            )
            return [
                np.concatenate([one for _ in some for one in (next(pieces), stop)]) if some else stop for some in places
            ]

        return read
