"""What the words, word pairs and characters of a text add: rows of a hashed table, worked out once a chunk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.runtime.encoders.ngrams import NGrams


@final
class Grams:
    """Sums of a table's rows over n-grams, and in one more column how many there are."""

    def __init__(self, table: NDArray[np.float16], reader: NGrams) -> None:
        # Widened once: at every text that would cost more than all else that its pairs cost.
        counted = np.concatenate([table.astype(np.float32), np.ones((len(table), 1), dtype=np.float32)], axis=1)
        self._none = len(counted)  # a row that adds nothing
        self._table = np.concatenate([counted, np.zeros((1, counted.shape[1]), dtype=np.float32)])
        self._reader, self._read = reader, reader.open(Path())

    @property
    def width(self) -> int:
        """Columns of the sums, with the one that counts."""
        return int(self._table.shape[1])

    def describe(self, chunks: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The sums of each chunk, and the hashes of its first and its last word."""
        read = self._reader.read(chunks)
        sums = np.add.reduceat(self._table[read.buckets], np.cumsum(read.counts) - read.counts, axis=0)
        hashes, ends = read.hashes, np.cumsum(read.words) - 1
        starts = ends - read.words + 1
        if self._reader.word_pairs:
            pairs = np.append(self._reader.pairs(hashes[:-1], hashes[1:]), self._none)
            pairs[ends] = self._none  # a chunk's last word has no neighbour in it
            sums += np.add.reduceat(self._table[pairs], starts, axis=0)
        return sums, np.stack([hashes[starts], hashes[ends]], axis=1)

    def join(self, sums: NDArray[np.float32], edges: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
        """Add, to each chunk but a text's last, the pair that it makes with the chunk after it."""
        if self._reader.word_pairs:
            pairs = self._reader.pairs(edges[:-1, 1], edges[1:, 0])
            pairs[starts[1:] - 1] = self._none
            sums[:-1] += self._table[pairs]

    def whole(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The sums of each text, as its encoder reads it."""
        buckets = self._read(texts)
        counts = np.array([len(one) for one in buckets])
        sums: NDArray[np.float32] = np.add.reduceat(
            self._table[np.concatenate(buckets)], np.cumsum(counts) - counts, axis=0
        )
        return sums


def scores(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over the square root of how many there are."""
    found: NDArray[np.float32] = np.divide(sums[:, :-1], np.sqrt(sums[:, -1:]), dtype=np.float32)
    return found
