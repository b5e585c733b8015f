"""Runs a static student that embeds texts on numpy: one vector a chunk, summed, brought to length one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners import Encoded, Serve
from stillroom.runtime.runners._adder import Adder

FILE = "static_vectors.safetensors"
_ROWS = 256  # texts at a time: their vectors then stay in the processor's cache


@final
class StaticVectors(Encoded):
    """Runs a static student that embeds texts on numpy.

    A text's vector is `Σ_t rows[t]` at length one; `rows` already holds each token's weight and the map into the
    teacher's space, so that a token costs one addition. A text without a token has the zero vector.
    """

    kind: Literal["static_vectors"] = "static_vectors"
    encoder: Tokens
    """How texts become tokens."""
    by_chunks: bool
    """Whether the tokenizer was seen to read a text as it reads its chunks (checked when the student was exported)."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same sums, each text read as a whole."""
        return Scripted({"kind": self.kind, "file": FILE}, files=(FILE,)).holding(
            encoder=self.encoder.in_browser(folder)
        )

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        # The table stays in half precision: only rows that some text has are ever widened.
        rows = load_file(folder / FILE)["rows"]
        adder = Adder(rows, None, *self.encoder.open_both(folder))
        width = rows.shape[1]

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            vectors = np.empty((len(texts), width), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                part = texts[start : start + _ROWS]
                sums = (adder.by_chunks(part) if self.by_chunks else adder.whole(part))[:, :width]
                lengths = np.sqrt(np.einsum("tw,tw->t", sums, sums))
                vectors[start : start + _ROWS] = sums / np.maximum(lengths, 1e-12)[:, None]
            return vectors

        return serve
