"""Runs a static student on numpy: one vector a chunk, summed, through a small head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.runtime.encoders import Encode, EncodeChunks
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.lexicon import Lexicon, split
from stillroom.runtime.runners import Runner, Serve

FILE = "static.safetensors"
_ROWS = 256  # texts at a time: their vectors then stay in the processor's cache


_STEP = 1_000_003  # an odd number far from a power of two, so that pairs spread over the buckets


def bucket(left: Any, right: Any, buckets: int) -> Any:
    """The bucket of two neighbouring tokens, from their ids: arrays of numpy or tensors of torch alike."""
    return (left * _STEP + right) % buckets


@final
class Static(Runner):
    """Runs a static student on numpy.

    Logits are `head · relu(Σ_t rows[t] / n + bias) + head_bias + Σ_p pairs[p] / √n` over the n tokens of a text and its
    pairs of neighbours, where it has a table of pairs. `rows` already holds each token's weight and the first layer, so
    that a token costs one addition of a short vector.
    """

    kind: Literal["static"] = "static"
    encoder: Tokens
    """How texts become tokens."""
    by_chunks: bool
    """Whether the tokenizer was seen to read a text as it reads its chunks (checked when the student was exported)."""

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        weights = load_file(folder / FILE)
        # The table stays in half precision: only rows that some text has are ever widened.
        rows = weights.pop("rows")
        weights = {name: one.astype(np.float32) for name, one in weights.items()}
        read, read_chunks = self.encoder.open_both(folder)
        adder = _Adder(rows, weights.get("pairs"), read=read, read_chunks=read_chunks)
        bias, head, head_bias = (weights[name] for name in ("bias", "head", "head_bias"))
        width = len(bias)

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(head_bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                part = texts[start : start + _ROWS]
                sums = adder.by_chunks(part) if self.by_chunks else adder.whole(part)
                counts = sums[:, width : width + 1]
                found = np.maximum(sums[:, :width] / counts + bias, 0.0) @ head.T + head_bias
                if adder.pairs is not None:
                    found += sums[:, width + 1 :] / np.sqrt(counts)
                logits[start : start + _ROWS] = found
            return logits

        return serve


@final
class _Adder:
    """Adds up a text: its rows, the number of its tokens, and the scores of its pairs, side by side."""

    def __init__(
        self,
        rows: NDArray[np.float16],
        pairs: NDArray[np.float32] | None,
        *,
        read: Encode,
        read_chunks: EncodeChunks,
    ) -> None:
        self._rows, self.pairs, self._read, self._read_chunks = rows, pairs, read, read_chunks
        self._width = rows.shape[1] + 1
        self._lexicon = Lexicon(self._describe, width=self._width + (0 if pairs is None else pairs.shape[1]))

    def whole(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts as their tokenizer takes them."""
        ids = self._read(texts)
        return self._add(np.concatenate(ids).astype(np.int64), np.array([len(one) for one in ids]))

    def by_chunks(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts chunk by chunk; those that only the tokenizer should judge go to it whole."""
        chunks = [split(text) for text in texts]
        sums, edges, starts = self._lexicon.look_up([found or [] for found in chunks])
        if self.pairs is not None:
            follows = np.ones(len(sums), dtype=bool)
            follows[starts] = False
            right = np.flatnonzero(follows)
            scores = self.pairs[bucket(edges[right - 1, 1], edges[right, 0], len(self.pairs))]
            sums[right - 1, self._width :] += scores
        added: NDArray[np.float32] = np.add.reduceat(sums, starts, axis=0)
        # A chunk without tokens (a lone accent, say) would come between two that are neighbours.
        odd = np.add.reduceat(edges[:, 0] < 0, starts, dtype=np.int64) > 0
        again = [place for place, found in enumerate(chunks) if not found or odd[place]]
        if again:
            added[again] = self.whole([texts[place] for place in again])
        return added

    def _describe(self, chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        ids, counts = self._read_chunks(chunks)
        some = counts > 0
        sums = np.zeros((len(chunks), self._lexicon.sums.shape[1]), dtype=np.float32)
        edges = np.full((len(chunks), 2), -1, dtype=np.int64)
        if len(ids):
            last = np.cumsum(counts)[some] - 1
            sums[some] = self._add(ids, counts[some])
            edges[some] = np.stack([ids[last - counts[some] + 1], ids[last]], axis=1)
        return sums, edges

    def _add(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """Sums of runs of ids that stand end to end, none of them empty."""
        starts = np.cumsum(counts) - counts
        rows = np.add.reduceat(self._rows[ids].astype(np.float32), starts, axis=0)
        sums: NDArray[np.float32] = np.concatenate([rows, counts[:, None].astype(np.float32)], axis=1)
        if self.pairs is None:
            return sums
        scores = np.zeros((len(ids), self.pairs.shape[1]), dtype=np.float32)
        scores[:-1] = self.pairs[bucket(ids[:-1], ids[1:], len(self.pairs))]
        scores[starts + counts - 1] = 0.0  # the last token of a text has no neighbour in it
        return np.concatenate([sums, np.add.reduceat(scores, starts, axis=0)], axis=1)
