"""Additive students at the speed of a dictionary: what a run of characters between two spaces adds is worked out once.

A static or a bag student adds up a vector for each token or n-gram. Text repeats itself: a few thousand chunks (runs
between spaces) make up most of what anybody writes. So each chunk's sum is kept, and a text costs a look-up a chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.runtime.encoders import Encode, EncodeChunks

Floats = NDArray[np.float32]
#: What chunks add: their sums `[chunks, width]`, and for each chunk two numbers of its edges `[chunks, 2]`.
Describe = Callable[[list[str]], tuple[Floats, NDArray[np.int64]]]

_EMPTY = ""
_CAPACITY = 65_536


def split(text: str) -> list[str] | None:
    """The chunks of a text, or None where it holds characters that only its tokenizer should judge.

    Printable text has no white space but the plain space, so the chunks are the same whoever splits.
    """
    if text.isprintable():
        return text.split()
    plain = text.replace("\n", " ").replace("\t", " ").replace("\r", " ")
    return plain.split() if plain.isprintable() else None


@final
class Lexicon:
    """What each chunk seen so far adds. It starts anew when it holds `capacity` chunks, so memory is bounded.

    A server asks from several threads: one looks up at a time, and takes its sums with it.
    """

    def __init__(self, describe: Describe, *, width: int, capacity: int = _CAPACITY) -> None:
        self._describe, self._width, self._capacity = describe, width, capacity
        self._alone = threading.Lock()
        self._clear()

    def _clear(self) -> None:
        self._slots: dict[str, int] = {_EMPTY: 0}
        self.sums = np.zeros((1024, self._width), dtype=np.float32)
        self.edges = np.zeros((1024, 2), dtype=np.int64)

    def look_up(self, texts: Sequence[list[str]]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """The sums and edges of every chunk of every text, end to end, and where each text begins.

        A text without chunks has one that adds nothing.
        """
        flat: list[str] = []
        starts: list[int] = []
        for chunks in texts:
            starts.append(len(flat))
            flat.extend(chunks or (_EMPTY,))
        with self._alone:
            if len(self._slots) > self._capacity:
                self._clear()
            slots = list(map(self._slots.get, flat))
            if None in slots:
                self._learn(chunk for chunk, slot in zip(flat, slots, strict=True) if slot is None)
                slots = list(map(self._slots.get, flat))
            places = np.array(slots, dtype=np.int64)
            return self.sums[places], self.edges[places], np.array(starts, dtype=np.int64)

    def _learn(self, chunks: Iterable[str]) -> None:
        new = list(dict.fromkeys(chunks))
        first = len(self._slots)
        needed = first + len(new)
        if needed > len(self.sums):
            rows = max(needed, 2 * len(self.sums))
            self.sums = np.concatenate([self.sums, np.zeros((rows - len(self.sums), self._width), np.float32)])
            self.edges = np.concatenate([self.edges, np.zeros((rows - len(self.edges), 2), np.int64)])
        self.sums[first:needed], self.edges[first:needed] = self._describe(new)
        self._slots.update(zip(new, range(first, needed), strict=True))


@final
class Readings:
    """The tokens of each chunk seen so far, for students that mind their order. It starts anew at `capacity` chunks.

    One thread looks up at a time, as in a lexicon.
    """

    def __init__(self, read: Encode, read_chunks: EncodeChunks, *, capacity: int = _CAPACITY) -> None:
        self._read, self._read_chunks, self._capacity = read, read_chunks, capacity
        self._alone = threading.Lock()
        self._known: dict[str, list[int]] = {}

    def whole(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All ids end to end, and how many each text has, as the tokenizer takes the texts; none has none."""
        ids = self._read(texts)
        return np.concatenate(ids).astype(np.int64), np.array([len(one) for one in ids], dtype=np.int64)

    def by_chunks(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The same, chunk by chunk; texts that only the tokenizer should judge go to it whole."""
        chunks = [split(text) or [] for text in texts]
        with self._alone:
            known = self._known
            if len(known) > self._capacity:
                known.clear()
            self._learn([chunk for chunk in dict.fromkeys(chain.from_iterable(chunks)) if chunk not in known])
            ids = [list(chain.from_iterable([known[chunk] for chunk in one])) for one in chunks]
        again = [place for place, one in enumerate(ids) if not one]
        if again:
            for place, one in zip(again, self._read([texts[place] for place in again]), strict=True):
                ids[place] = one.tolist()
        counts = np.array([len(one) for one in ids], dtype=np.int64)
        return np.fromiter(chain.from_iterable(ids), np.int64, int(counts.sum())), counts

    def _learn(self, new: Sequence[str]) -> None:
        if new:
            ids, counts = self._read_chunks(new)
            self._known.update(zip(new, (one.tolist() for one in np.split(ids, np.cumsum(counts)[:-1])), strict=True))
