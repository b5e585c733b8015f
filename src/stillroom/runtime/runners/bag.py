"""Runs a bag student on numpy: one row of class scores a chunk, summed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.lexicon import Lexicon
from stillroom.runtime.runners import Encoded, Serve
from stillroom.runtime.runners._grams import Grams, scores

FILE = "bag.safetensors"
_ROWS = 256


@final
class Bag(Encoded):
    """Runs a bag student on numpy: logits are `Σ_f table[f] / √n + bias` over the n features of a text."""

    kind: Literal["bag"] = "bag"
    encoder: NGrams
    """How texts become features."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same sums."""
        return Scripted({"kind": self.kind, "file": FILE}, files=(FILE,)).holding(
            encoder=self.encoder.in_browser(folder)
        )

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; there is nothing to share out over threads."""
        weights = load_file(folder / FILE)
        grams, bias = Grams(weights["table"], self.encoder), weights["bias"].astype(np.float32)
        lexicon = Lexicon(grams.describe, width=grams.width)
        empty = grams.whole([""])

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                rows, edges, starts = lexicon.look_up([text.split() for text in texts[start : start + _ROWS]])
                grams.join(rows, edges, starts)
                sums = np.add.reduceat(rows, starts, axis=0)
                sums[sums[:, -1] == 0] = empty
                logits[start : start + _ROWS] = scores(sums) + bias
            return logits

        return serve
