"""Runs a static student on numpy: one vector a chunk, summed, through a small head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Encoded, Serve
from stillroom.runtime.runners._adder import Adder
from stillroom.runtime.runners._grams import Grams, scores

FILE = "static.safetensors"
_ROWS = 256  # texts at a time: their vectors then stay in the processor's cache


@final
class Static(Encoded):
    """Runs a static student on numpy.

    Logits are `head · relu(Σ_t rows[t] / n + bias) + head_bias + Σ_f features[f] / √m` over the n tokens of a text and,
    where it has a table of them, its m words, pairs of words and character n-grams. `rows` already holds each token's
    weight and the first layer, so that a token costs one addition of a short vector.
    """

    kind: Literal["static"] = "static"
    encoder: Tokens
    """How texts become tokens."""
    features: NGrams | None = None
    """How they become words, pairs and character n-grams, where it has scores for those."""
    by_chunks: bool
    """Whether the tokenizer was seen to read a text as it reads its chunks (checked when the student was exported)."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same sums, each text read as a whole."""
        own = Scripted({"kind": self.kind, "file": FILE}, files=(FILE,))
        parts = {"features": self.features.in_browser(folder)} if self.features else {}
        return own.holding(encoder=self.encoder.in_browser(folder), **parts)

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        weights = load_file(folder / FILE)
        # The tables stay in half precision: only rows that some text has are ever widened.
        rows = weights.pop("rows")
        grams = Grams(weights.pop("features"), self.features) if self.features else None
        bias, head, head_bias = (weights[name].astype(np.float32) for name in ("bias", "head", "head_bias"))
        adder = Adder(rows, grams, *self.encoder.open_both(folder))
        width = len(bias)

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(head_bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                part = texts[start : start + _ROWS]
                sums = adder.by_chunks(part) if self.by_chunks else adder.whole(part)
                counts = sums[:, width : width + 1]
                found = np.maximum(sums[:, :width] / counts + bias, 0.0) @ head.T + head_bias
                if grams is not None:
                    found += scores(sums[:, width + 1 :])
                logits[start : start + _ROWS] = found
            return logits

        return serve
