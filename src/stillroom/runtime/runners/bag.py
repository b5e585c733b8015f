"""Runs a bag student on numpy: one row of class scores a chunk, summed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.lexicon import Lexicon
from stillroom.runtime.runners import Runner, Serve

FILE = "bag.safetensors"
_ROWS = 256


@final
class Bag(Runner):
    """Runs a bag student on numpy: logits are `Σ_f table[f] / √n + bias` over the n features of a text."""

    kind: Literal["bag"] = "bag"
    encoder: NGrams
    """How texts become features."""

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; there is nothing to share out over threads."""
        weights = load_file(folder / FILE)
        table, bias = weights["table"].astype(np.float32), weights["bias"].astype(np.float32)
        # One more column counts features.
        table = np.concatenate([table, np.ones((len(table), 1), dtype=np.float32)], axis=1)
        empty = table[0]

        def describe(chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            parts = [self.encoder.chunk(chunk) for chunk in chunks]
            counts = np.array([len(buckets) for buckets, _ in parts])
            flat = np.fromiter(chain.from_iterable(buckets for buckets, _ in parts), np.int64, int(counts.sum()))
            sums = np.add.reduceat(table[flat], np.cumsum(counts) - counts, axis=0)
            spans = np.array([len(words) for _, words in parts])
            hashes = np.fromiter(chain.from_iterable(words for _, words in parts), np.int64, int(spans.sum()))
            ends = np.cumsum(spans) - 1
            if self.encoder.word_pairs:
                scores = np.zeros((len(hashes), table.shape[1]), dtype=np.float32)
                scores[:-1] = table[self.encoder.pairs(hashes[:-1], hashes[1:])]
                scores[ends] = 0.0  # a chunk's last word has no neighbour in it
                sums += np.add.reduceat(scores, ends - spans + 1, axis=0)
            return sums, np.stack([hashes[ends - spans + 1], hashes[ends]], axis=1)

        lexicon = Lexicon(describe, width=table.shape[1])

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                rows, edges, starts = lexicon.look_up([text.split() for text in texts[start : start + _ROWS]])
                if self.encoder.word_pairs:
                    self._add_pairs(rows, edges, starts, table)
                sums = np.add.reduceat(rows, starts, axis=0)
                sums[sums[:, -1] == 0] = empty
                logits[start : start + _ROWS] = sums[:, :-1] / np.sqrt(sums[:, -1:]) + bias
            return logits

        return serve

    def _add_pairs(
        self,
        rows: NDArray[np.float32],
        edges: NDArray[np.int64],
        starts: NDArray[np.int64],
        table: NDArray[np.float32],
    ) -> None:
        """Add, to each chunk but a text's last, the pair that it makes with the chunk after it."""
        follows = np.ones(len(rows), dtype=bool)
        follows[starts] = False
        right = np.flatnonzero(follows)
        rows[right - 1] += table[self.encoder.pairs(edges[right - 1, 1], edges[right, 0])]
