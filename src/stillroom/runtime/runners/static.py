"""Runs a static student on numpy: one vector a chunk, summed, through a small head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.lexicon import Lexicon, split
from stillroom.runtime.runners import Runner, Serve

FILE = "static.safetensors"
_ROWS = 256  # texts at a time: their vectors then stay in the processor's cache


@final
class Static(Runner):
    """Runs a static student on numpy.

    Logits are `head · relu(Σ_t rows[t] / n + bias) + head_bias` over the n tokens of a text: `rows` already holds each
    token's weight and the first layer, so that a token costs one addition of a short vector.
    """

    kind: Literal["static"] = "static"
    encoder: Tokens
    by_chunks: bool
    """Whether the tokenizer was seen to split at spaces whatever stands around them (checked when it was exported)."""

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        weights = load_file(folder / FILE)
        rows = weights["rows"].astype(np.float32)
        bias, head, head_bias = (weights[name].astype(np.float32) for name in ("bias", "head", "head_bias"))
        encode = self.encoder.open(folder)
        width = rows.shape[1]

        def add_tokens(texts: Sequence[str]) -> NDArray[np.float32]:
            ids = encode(texts)
            counts = np.array([len(one) for one in ids])
            sums = np.empty((len(ids), width + 1), dtype=np.float32)
            sums[:, :width] = np.add.reduceat(rows[np.concatenate(ids)], np.cumsum(counts) - counts, axis=0)
            sums[:, width] = counts
            return sums

        def describe(chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            return add_tokens(chunks), np.zeros((len(chunks), 2), dtype=np.int64)

        lexicon = Lexicon(describe, width=width + 1)

        def add_up(texts: Sequence[str]) -> NDArray[np.float32]:
            chunks = [split(text) if self.by_chunks else None for text in texts]
            sums = lexicon.add_up(*lexicon.look_up([found or [] for found in chunks]))
            whole = [place for place, found in enumerate(chunks) if not found]
            if whole:
                sums[whole] = add_tokens([texts[place] for place in whole])
            return sums

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(head_bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                sums = add_up(texts[start : start + _ROWS])
                hidden = np.maximum(sums[:, :width] / sums[:, width:] + bias, 0.0)
                logits[start : start + _ROWS] = hidden @ head.T + head_bias
            return logits

        return serve
