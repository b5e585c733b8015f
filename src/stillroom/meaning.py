"""Which rows that something is judged on mean nearly what a row of another side means, as a student of vectors sees it.

For each judged row the nearest row of each side before its own, where their cosine is high enough. All pairs are
compared, a block at a time: work goes with the rows of both sides multiplied. Of the judged rows the vectors lie in a
file that is mapped into memory, of the others a few at a time are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import runtime
from stillroom.core.errors import InputError, Problem
from stillroom.overlap import Shared

MEANING = "meaning"
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
#: Reads the texts of a side, some at a time, as often as it is asked to.
Read = Callable[[], Iterator[Sequence[str]]]

_AT_ONCE = 1024
_BLOCK = 8192


def embedder(folder: str) -> tuple[Embed, str]:
    """What gives texts vectors of length one, served without torch, and the digest of its bundle.

    Raises:
        ArtifactError: no run or bundle there.
        InputError: one whose student gives something else.
    """
    student = runtime.load(Path(folder))
    if student.task.form.answer != "embedding":
        found, expected = f"a student for {student.task.kind}", "one that gives vectors (task `embeddings`)"
        raise InputError(Problem("evaluate.embedder", found, expected, "Name another run, or take it out."))
    return student.outputs, student.digest


def find(sides: Mapping[str, Read], rows: Mapping[str, int], *, embed: Embed, least: float, folder: Path,
         judged: Sequence[str]) -> Shared:  # fmt: skip
    """For each side: judged rows of those behind it, each with the row there that it is nearest to at `least`."""
    found: Shared = {side: {} for side in sides}
    known = _Judged(folder, {side: rows[side] for side in judged})
    for side in judged:
        for texts in sides[side]():
            for start in range(0, len(texts), _AT_ONCE):
                known.add(embed(texts[start : start + _AT_ONCE]))
    for side, read in sides.items():
        behind = [one for one in judged if side not in judged or judged.index(one) > judged.index(side)]
        if behind and rows[side]:
            found[side] = known.nearest(_vectors(read, embed), behind=behind, least=least)
    return found


def _vectors(read: Read, embed: Embed) -> Iterator[NDArray[np.float32]]:
    for texts in read():
        for start in range(0, len(texts), _AT_ONCE):
            yield embed(texts[start : start + _AT_ONCE])


@final
class _Judged:
    """The vectors of all rows that are judged, one side after the other."""

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._path = folder / "vectors"
        self._starts = dict(zip(sizes, np.cumsum([0, *list(sizes.values())[:-1]]).tolist(), strict=True))
        self._sizes = sizes
        self._vectors: Any = None
        self._next = 0

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Take the vectors of the next rows."""
        if self._vectors is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            shape = (sum(self._sizes.values()), vectors.shape[1])
            self._vectors = np.memmap(self._path, dtype=np.float32, mode="w+", shape=shape)
        self._vectors[self._next : self._next + len(vectors)] = vectors
        self._next += len(vectors)

    def nearest(
        self, others: Iterator[NDArray[np.float32]], *, behind: Sequence[str], least: float
    ) -> dict[tuple[str, int], int]:
        """The rows of some of these sides that have one among others that is near enough, and the nearest."""
        first = self._starts[behind[0]]
        best, where = np.full(self._next - first, -np.inf, dtype=np.float32), np.full(self._next - first, -1)
        seen = 0
        for vectors in others:
            for start in range(first, self._next, _BLOCK):
                near = self._vectors[start : start + _BLOCK] @ vectors.T
                part, highest = slice(start - first, start - first + len(near)), near.max(axis=1)
                closer = highest > best[part]
                where[part] = np.where(closer, seen + near.argmax(axis=1), where[part])
                best[part] = np.maximum(best[part], highest)
            seen += len(vectors)
        ends = np.array([self._starts[side] + self._sizes[side] - first for side in behind])
        found = {}
        for row in np.flatnonzero(best >= least).tolist():
            side = behind[int(np.searchsorted(ends, row, side="right"))]
            found[side, row + first - self._starts[side]] = int(where[row])
        return found
