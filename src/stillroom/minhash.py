"""How alike two texts are, and a quick way to find those that may be.

The likeness is the Jaccard index of the sets of five-character shingles, case folded, runs of white space as one blank.
Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman, *Mining of
Massive Datasets*, 3.4). 21 bands of 6 of the 128 permutations find a pair at 0.8 with probability 1 − (1 − 0.8⁶)²¹ =
0.998, and at 0.9 with 1 − 10⁻⁷; the 9 bands of 13 that datasketch picks for that threshold would miss six in ten at
0.8. The signatures are our own because numpy makes them for many texts at a time; a test holds them to datasketch and
to the true index.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
PERMUTATIONS = 128
BANDS = 21
BAND_ROWS = 6

_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xC2B2AE3D27D4EB4F)


def normalised(text: str) -> str:
    """The text as near twins are compared: case folded, each run of white space one blank."""
    return " ".join(text.casefold().split())


def shingles(text: str) -> frozenset[str]:
    """The five-character pieces of a normalised text; one that is shorter is its own only piece."""
    return frozenset(text[start : start + SHINGLE] for start in range(max(1, len(text) - SHINGLE + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of two sets' elements that both hold."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def signatures(texts: Sequence[str]) -> NDArray[np.uint32]:
    """MinHash signatures of normalised texts, `[texts, permutations]`.

    Two agree at each place with a probability that is their Jaccard index.
    """
    lengths = np.array([max(len(text), SHINGLE) for text in texts])
    codes = "".join(text.ljust(SHINGLE, "\0") for text in texts).encode("utf-32-le")
    points = np.frombuffer(codes, "<u4").astype(np.uint64)
    windows = len(points) - SHINGLE + 1
    hashes = np.zeros(windows, np.uint64)
    for place, factor in enumerate(_MIX):
        hashes += points[place : place + windows] * np.uint64(factor)
    inside = np.ones(len(points), np.bool_)
    ends = np.cumsum(lengths)
    for back in range(1, SHINGLE):
        inside[ends - back] = False  # windows that would reach into the next text
    kept = mixed(hashes)[inside[:windows]].astype(np.uint32)
    starts = np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)[:-1]])
    result = np.empty((len(texts), PERMUTATIONS), np.uint32)
    turned = np.empty_like(kept)
    for column, (odd, shift) in enumerate(_permutations()):
        np.multiply(kept, odd, out=turned)
        np.add(turned, shift, out=turned)
        result[:, column] = np.minimum.reduceat(turned, starts)
    return result


@functools.cache
def _permutations() -> tuple[tuple[np.uint32, np.uint32], ...]:
    """Odd factors and shifts: h ↦ a·h + b is a permutation of the 32-bit numbers. Always the same ones."""
    numbers = mixed(np.arange(1, 2 * PERMUTATIONS + 1, dtype=np.uint64)).astype(np.uint32).reshape(-1, 2)
    return tuple((factor | np.uint32(1), shift) for factor, shift in numbers)


def mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes whose every bit depends on every bit (the finish of splitmix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(_MIX[1])
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(_MIX[2])
    return hashes ^ (hashes >> np.uint64(31))


def bands(signed: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """A key for each band of each signature, `[texts, bands]`: texts that share one are candidates."""
    parts = signed[:, : BANDS * BAND_ROWS].reshape(len(signed), BANDS, BAND_ROWS).astype(np.uint64)
    keys = np.arange(1, BANDS + 1, dtype=np.uint64) * np.uint64(_MIX[0])
    result = np.broadcast_to(keys, parts.shape[:2]).copy()
    for place in range(BAND_ROWS):
        result = mixed(result * np.uint64(_MIX[3]) + parts[:, :, place])
    return result
