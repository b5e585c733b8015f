"""Runs a student that picks sentences on numpy: what a sentence says, where it stands, how near the middle it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import load_file

from stillroom.core import sentences
from stillroom.runtime import salience
from stillroom.runtime.encoders import Encode
from stillroom.runtime.encoders.sentences import Sentences
from stillroom.runtime.runners import Bounded, Encoded

FILE = "extractive.safetensors"
_ROWS = 64  # texts at a time: their vectors then stay in the processor's cache


@final
class Extractive(Encoded):
    """Runs a student that picks sentences: `direction · v + standing · s`, `v` the sum of `rows` at length one.

    `rows` already holds each token's weight. `s` is how the sentence stands in its text, and last how near `v` is to
    the middle of all of them (`stillroom.runtime.salience`).
    """

    kind: Literal["extractive"] = "extractive"
    encoder: Sentences
    """How texts become tokens, sentence by sentence."""
    sentences: int = Field(ge=1)
    """How many are picked."""

    def open(self, folder: Path, *, threads: int = 1) -> Bounded:
        """The student; numpy decides on threads itself, and there is little for it to share out."""
        return _Picker(self, load_file(folder / FILE), self.encoder.open(folder))


@final
class _Picker:
    """The student, opened."""

    def __init__(self, told: Extractive, weights: Mapping[str, NDArray[np.float32]], encode: Encode) -> None:
        self._told, self._weights, self._encode = told, weights, encode

    def __call__(self, texts: Sequence[str]) -> NDArray[np.object_]:
        return self.within(texts, [None] * len(texts))

    def within(self, texts: Sequence[str], words: Sequence[int | None]) -> NDArray[np.object_]:
        """The best sentences that there is room for, however many; where there is none for any, the best one."""
        written: NDArray[np.object_] = np.empty(len(texts), dtype=np.object_)
        size, unit = self._told.encoder.size, self._told.encoder.unit
        for start in range(0, len(texts), _ROWS):
            part = texts[start : start + _ROWS]
            ids = self._encode(part)
            counts = np.array([np.count_nonzero(one == size) for one in ids])
            scores = _scores(np.concatenate(ids), counts, self._weights, stop=size)
            ranked = salience.best(scores, counts, most=int(counts.max()))
            for place, (text, own) in enumerate(zip(part, ranked, strict=True), start=start):
                most = words[place]
                picks = own[: self._told.sentences] if most is None else _fitting(text, own, most=most, unit=unit)
                written[place] = sentences.joined(text, picks, unit=unit)
        return written


def _fitting(text: str, ranked: Sequence[int], *, most: int, unit: sentences.Unit) -> list[int]:
    """Of some sentences, the best first, those that have room for so many words together; the best one, if none has."""
    lengths = [sentences.words(text[start:end]) for start, end in sentences.spans(text, unit=unit)]
    found = []
    for place in ranked[: len(lengths)]:
        if lengths[place] <= most:
            found.append(place)
            most -= lengths[place]
    return found or list(ranked[:1])


def _scores(
    ids: NDArray[np.int32], counts: NDArray[np.int64], weights: Mapping[str, NDArray[np.float32]], *, stop: int
) -> NDArray[np.float32]:
    """A score a sentence, from all ids end to end and how many sentences each text has."""
    ends = np.flatnonzero(ids == stop)
    lengths = np.diff(ends, prepend=-1) - 1
    some = lengths > 0
    # The table stays in half precision: only rows that some text has are ever widened.
    rows = weights["rows"][ids[ids != stop]].astype(np.float32)
    vectors = np.zeros((len(ends), rows.shape[1]), dtype=np.float32)
    if len(rows):
        vectors[some] = np.add.reduceat(rows, (np.cumsum(lengths) - lengths)[some], axis=0)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    told = np.column_stack([salience.standing(lengths, counts), salience.closeness(vectors, counts)])
    found: NDArray[np.float32] = vectors @ weights["direction"] + told @ weights["standing"]
    return found
