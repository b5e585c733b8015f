"""Adds up the rows of a text's tokens, chunk by chunk where chunks are read alone as they are read in a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.runtime.encoders import Encode, EncodeChunks
from stillroom.runtime.lexicon import Lexicon, split
from stillroom.runtime.runners._grams import Grams


@final
class Adder:
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
