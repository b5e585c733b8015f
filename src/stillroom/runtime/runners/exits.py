"""Runs an exported student in pieces: texts of which an early answer is sure leave, the others go on together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import batches
from stillroom.runtime.runners import Serve
from stillroom.runtime.runners._graphs import Graphs, session

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NEVER = 2.0  # a threshold that no probability reaches


@final
class Exits(Graphs):
    """Runs an exported student in pieces: a text whose highest probability reaches the threshold goes no further."""

    kind: Literal["exits"] = "exits"
    files: tuple[str, ...] = Field(min_length=1)
    """The graphs' files in the bundle, in their order."""
    threshold: float = Field(NEVER, ge=0)
    """How high an early answer's highest probability has to be; 0: all leave at the first exit; above 1: none does."""

    def open(self, folder: Path, *, threads: int = 1) -> Serve:
        """Sessions of ONNX Runtime with so many threads."""
        sessions = [session(folder / one, threads=threads) for one in self.files]
        encode = self.encoder.open(folder)

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            logits = np.empty((len(texts), _classes(sessions[0])), dtype=np.float32)
            for _, rows, said in self._answers(sessions, encode(texts), threshold=self.threshold):
                logits[rows] = said  # of a text's answers the last one stays
            return logits

        return serve

    def heads(self, folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
        """What each head says of every text, `[heads, texts, classes]`: what a threshold can be chosen from."""
        sessions = [session(folder / one, threads=1) for one in self.files]
        logits = np.empty((len(sessions), len(texts), _classes(sessions[0])), dtype=np.float32)
        for place, rows, said in self._answers(sessions, self.encoder.open(folder)(texts), threshold=NEVER):
            logits[place, rows] = said
        return logits

    def _answers(
        self, sessions: Sequence[InferenceSession], ids: Sequence[NDArray[np.int32]], *, threshold: float
    ) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
        """By and by: a piece's place, some rows, and their logits there; those that are not sure come again later."""
        waiting = [_Waiting(self.tokens_per_batch) for _ in sessions]

        def run(place: int, rows: NDArray[np.int64], given: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
            name = "hidden" if place else "ids"
            said, *onward = sessions[place].run(None, {name: given, "mask": mask})
            if onward:
                for one in np.flatnonzero(sureness(said) < threshold):
                    waiting[place + 1].add(int(rows[one]), onward[0][one, : mask[one].sum()])
            return np.asarray(said)

        for rows in batches.by_tokens([len(one) for one in ids], budget=self.tokens_per_batch):
            yield 0, rows, run(0, rows, *batches.pad([ids[row] for row in rows]))
            # Those that go on leave as soon as they fill a batch: memory does not grow with texts.
            for place in range(1, len(sessions)):
                for batch in waiting[place].full():
                    yield place, batch[0], run(place, *batch)
        for place in range(1, len(sessions)):
            for batch in waiting[place].rest():
                yield place, batch[0], run(place, *batch)


def sureness(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The highest probability of each answer, along the last axis."""
    wide = logits.astype(np.float64)
    found: NDArray[np.float64] = 1.0 / np.exp(wide - wide.max(axis=-1, keepdims=True)).sum(axis=-1)
    return found


def leaving(heads: NDArray[np.float32], *, threshold: float) -> NDArray[np.int64]:
    """At which head each text leaves, from what every head says, `[heads, texts, classes]`."""
    sure = sureness(heads) >= threshold
    sure[-1] = True
    found: NDArray[np.int64] = sure.argmax(axis=0)
    return found


_Batch = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]


@final
class _Waiting:
    """Texts on their way to the next piece, longest first as they came."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._rows: list[int] = []
        self._hidden: list[NDArray[np.float32]] = []

    def add(self, row: int, hidden: NDArray[np.float32]) -> None:
        """One more, without padding."""
        self._rows.append(row)
        self._hidden.append(hidden)

    def full(self) -> Iterator[_Batch]:
        """Batches that nothing more would fit into."""
        while self._rows and len(self._rows) >= self._size():
            yield self._next(self._size())

    def rest(self) -> Iterator[_Batch]:
        """Everything that is left."""
        while self._rows:
            yield self._next(self._size())

    def _size(self) -> int:
        return max(1, self._budget // max(1, len(self._hidden[0])))

    def _next(self, size: int) -> _Batch:
        rows, hidden = self._rows[:size], self._hidden[:size]
        del self._rows[:size], self._hidden[:size]
        lengths = np.array([len(one) for one in hidden])
        mask = np.arange(lengths.max()) < lengths[:, None]
        given = np.zeros((*mask.shape, hidden[0].shape[1]), dtype=np.float32)
        given[mask] = np.concatenate(hidden)
        return np.array(rows, dtype=np.int64), given, mask


def _classes(first: InferenceSession) -> int:
    return int(first.get_outputs()[0].shape[1])
