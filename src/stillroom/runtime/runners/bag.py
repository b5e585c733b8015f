"""Runs a bag student on numpy: one row of class scores a chunk, summed."""

from __future__ import annotations

from collections.abc import Sequence
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

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; there is nothing to share out over threads."""
        weights = load_file(folder / FILE)
        table, bias = weights["table"].astype(np.float32), weights["bias"].astype(np.float32)
        # One more column counts features.
        table = np.concatenate([table, np.ones((len(table), 1), dtype=np.float32)], axis=1)
        empty = table[0]

        def describe(chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
            sums = np.empty((len(chunks), table.shape[1]), dtype=np.float32)
            edges = np.empty((len(chunks), 2), dtype=np.int64)
            for place, chunk in enumerate(chunks):
                buckets, words = self.encoder.chunk(chunk)
                sums[place] = table[buckets].sum(axis=0)
                if self.encoder.word_pairs and len(words) > 1:
                    hashes = np.array(words, dtype=np.int64)
                    sums[place] += table[self.encoder.pairs(hashes[:-1], hashes[1:])].sum(axis=0)
                edges[place] = words[0], words[-1]
            return sums, edges

        lexicon = Lexicon(describe, width=table.shape[1])

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                slots, starts = lexicon.look_up([text.split() for text in texts[start : start + _ROWS]])
                rows = lexicon.sums[slots]
                if self.encoder.word_pairs:
                    self._add_pairs(rows, lexicon.edges[slots], starts, table)
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
