"""Runs a static student on numpy: one vector a chunk, summed, through a small head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.runtime.encoders import Encode, EncodeChunks
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.lexicon import Lexicon, split
from stillroom.runtime.runners import Runner, Serve
from stillroom.runtime.runners._grams import Grams, scores

FILE = "static.safetensors"
_ROWS = 256  # texts at a time: their vectors then stay in the processor's cache


@final
class Static(Runner):
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

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        weights = load_file(folder / FILE)
        # The tables stay in half precision: only rows that some text has are ever widened.
        rows = weights.pop("rows")
        grams = Grams(weights.pop("features"), self.features) if self.features else None
        bias, head, head_bias = (weights[name].astype(np.float32) for name in ("bias", "head", "head_bias"))
        adder = _Adder(rows, grams, *self.encoder.open_both(folder))
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


@final
class _Adder:
    """Adds up a text: its rows, the number of its tokens, and what its n-grams add, side by side."""

    def __init__(self, rows: NDArray[np.float16], grams: Grams | None, read: Encode, read_chunks: EncodeChunks) -> None:
        self._rows, self._grams, self._read, self._read_chunks = rows, grams, read, read_chunks
        self._width = rows.shape[1] + 1
        self._lexicon = Lexicon(self._describe, width=self._width + (grams.width if grams else 0))

    def whole(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as their tokenizer takes them."""
        ids = self._read(texts)
        sums = self._add(np.concatenate(ids).astype(np.int64), np.array([len(one) for one in ids]))
        return np.concatenate([sums, self._grams.whole(texts)], axis=1) if self._grams else sums

    def by_chunks(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts chunk by chunk; those that only the tokenizer should judge go to it whole."""
        chunks = [split(text) for text in texts]
        sums, edges, starts = self._lexicon.look_up([found or [] for found in chunks])
        if self._grams:
            self._grams.join(sums[:, self._width :], edges, starts)
        added: NDArray[np.float32] = np.add.reduceat(sums, starts, axis=0)
        again = [place for place, count in enumerate(added[:, self._width - 1].tolist()) if count == 0]
        if again:
            added[again] = self.whole([texts[place] for place in again])
        return added

    def _describe(self, chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        ids, counts = self._read_chunks(chunks)
        some = counts > 0
        sums = np.zeros((len(chunks), self._lexicon.sums.shape[1]), dtype=np.float32)
        edges = np.zeros((len(chunks), 2), dtype=np.int64)
        if len(ids):
            sums[some, : self._width] = self._add(ids, counts[some])
        if self._grams:
            sums[:, self._width :], edges = self._grams.describe(chunks)
        return sums, edges

    def _add(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Sums of runs of ids that stand end to end, none of them empty, and how many there are."""
        rows = np.add.reduceat(self._rows[ids].astype(np.float32), np.cumsum(counts) - counts, axis=0)
        sums: NDArray[np.float32] = np.concatenate([rows, counts[:, None].astype(np.float32)], axis=1)
        return sums
