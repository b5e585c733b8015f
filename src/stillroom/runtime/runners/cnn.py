"""Runs a cnn student on numpy: what a token adds at each place of each window is worked out once."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.lexicon import Readings
from stillroom.runtime.runners import Encoded, Serve

FILE = "cnn.safetensors"
_ROWS = 32  # texts at a time: their sums then stay in the processor's cache
_NUMBERS = 16_000_000  # that are kept of tokens seen so far: 64 MB


@final
class Cnn(Encoded):
    """Runs a cnn student on numpy: logits are `head · relu(max_i Σ_j W_j · rows[t_{i+j}] + bias) + head_bias`.

    A window begins at each token i of a text, and past its end stand zeros. `W_j · rows[t]` is kept for tokens seen
    before, so that a convolution is a sum of rows that are looked up.
    """

    kind: Literal["cnn"] = "cnn"
    encoder: Tokens
    """How texts become tokens."""
    windows: tuple[int, ...]
    """How many tokens each convolution sees, in the order of its weights."""
    by_chunks: bool
    """Whether the tokenizer was seen to read a text as it reads its chunks (checked when the student was exported)."""

    def in_browser(self, folder: Path) -> Scripted:
        """The same convolutions, each text read as a whole."""
        own = Scripted({"kind": self.kind, "file": FILE, "windows": list(self.windows)}, files=(FILE,))
        return own.holding(encoder=self.encoder.in_browser(folder))

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        weights = load_file(folder / FILE)
        readings = Readings(*self.encoder.open_both(folder))
        read = readings.by_chunks if self.by_chunks else readings.whole
        convolve = _Convolutions(weights, self.windows)
        head, head_bias = weights["head.weight"].T, weights["head.bias"]

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), len(head_bias)), dtype=np.float32)
            for start in range(0, len(texts), _ROWS):
                ids, counts = read(texts[start : start + _ROWS])
                logits[start : start + _ROWS] = convolve(ids, counts) @ head + head_bias
            return logits

        return serve


@final
class _Convolutions:
    """The highest answers of all convolutions, from tables of what tokens add.

    A server asks from several threads: one looks up at a time, and takes along the tables that its slots are of. Nobody
    writes to a slot that was given out: others add rows after it, or begin new tables.
    """

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], windows: Sequence[int]) -> None:
        # The vectors stay in half precision: only those of tokens that some text has are ever widened.
        self._rows, self._bias, self._longest = weights["rows"], weights["body.bias"], windows[-1]
        parts = np.split(weights["body.weight"], np.cumsum(windows)[:-1] * (len(self._bias) // len(windows)))
        shares = [np.split(part, window) for part, window in zip(parts, windows, strict=True)]
        # One table a step into the window, over the channels of all windows that reach so far: those are the last ones.
        self._steps = [
            np.concatenate([one[step] for one in shares if step < len(one)]).T for step in range(self._longest)
        ]
        self._capacity = _NUMBERS // weights["body.weight"].shape[0]
        self._alone = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._known = 1  # slot 0 is what stands past the end of a text
        self._slots = np.zeros(len(self._rows), dtype=np.int64)
        self._tables = [np.zeros((1024, step.shape[1]), dtype=np.float32) for step in self._steps]

    def __call__(self, ids: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float32]:
        """One vector a text, from all ids end to end and how many each text has."""
        inside = np.arange(counts.max()) < counts[:, None]
        slots = np.zeros((len(counts), inside.shape[1] + self._longest - 1), dtype=np.int64)
        slots[:, : inside.shape[1]][inside], tables = self._look_up(ids)
        # Step by step, the longest text first: the texts that are still going on are then always the first ones.
        order = np.argsort(-counts, kind="stable")
        slots, inside = slots[order].T, inside[order].T
        added = tables[0].take(slots[: len(inside)][inside], axis=0)
        for step, table in enumerate(tables[1:], start=1):
            more = table.take(slots[step : step + len(inside)][inside], axis=0)
            reached = added[:, -more.shape[1] :]
            np.add(reached, more, out=reached)
        peaks = np.empty((len(counts), added.shape[1]), dtype=np.float32)
        peaks[order] = _highest(added, inside.sum(axis=1))
        vectors: NDArray[np.float32] = np.maximum(peaks + self._bias, 0.0)
        return vectors

    def _look_up(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[NDArray[np.float32]]]:
        """The slot of every token, and the tables that it is a slot of."""
        with self._alone:
            if self._known > self._capacity:
                self._clear()
            slots: NDArray[np.int64] = self._slots[ids]
            if not slots.all():
                self._learn(np.unique(ids[slots == 0]))
                slots = self._slots[ids]
            return slots, self._tables

    def _learn(self, tokens: NDArray[np.int64]) -> None:
        first, needed, size = self._known, self._known + len(tokens), len(self._tables[0])
        if needed > size:
            room = max(needed, 2 * size) - size
            self._tables = [np.pad(table, ((0, room), (0, 0))) for table in self._tables]
        vectors = self._rows[tokens].astype(np.float32)
        for table, step in zip(self._tables, self._steps, strict=True):
            table[first:needed] = vectors @ step
        self._slots[tokens] = np.arange(first, needed)
        self._known = needed


def _highest(rows: NDArray[np.float32], going: NDArray[np.int64]) -> NDArray[np.float32]:
    """The highest rows of each text, of rows that stand token by token: all texts' first ones, then the second ones."""
    highest, start = rows[: going[0]], int(going[0])
    for texts in going[1:].tolist():
        part = highest[:texts]
        np.maximum(part, rows[start : start + texts], out=part)
        start += texts
    return highest
