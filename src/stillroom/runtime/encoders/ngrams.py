"""Hashed word and character n-grams: features that need no vocabulary."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stillroom.core import characters
from stillroom.core.characters import LETTERS
from stillroom.core.scripted import Scripted
from stillroom.runtime.encoders import Encode, Encoder, Ids

_WORD = re.compile(r"\w+|[^\w\s]")
_WORD_SALT, _CHARACTER_SALT = 0x5EED, 0xC4A2
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: Fibonacci hashing
_EMPTY_TEXT = np.zeros(1, dtype=np.int32)
_AT_ONCE = 256  # texts: what is worked out of them on the way then stays in the processor's cache


def _crc_table() -> NDArray[np.uint32]:
    """What CRC-32 makes of each byte (ISO 3309, the reflected polynomial 0xEDB88320)."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320), np.uint32(0)) ^ (table >> np.uint32(1))
    return table


_CRC = _crc_table()


@final
@dataclass(frozen=True)
class Read:
    """What stands in some texts, end to end: buckets without those of pairs, and the hash of each word."""

    buckets: NDArray[np.int64]
    counts: NDArray[np.int64]
    """How many buckets each text has."""
    hashes: NDArray[np.int64]
    words: NDArray[np.int64]
    """How many words each text has."""


@final
class NGrams(Encoder):
    """Words, pairs of neighbouring words and character n-grams inside words, hashed into buckets."""

    kind: Literal["ngrams"] = "ngrams"
    bits: int = Field(18, ge=8, le=26)
    """The table has 2^bits buckets."""
    word_pairs: bool = True
    """Whether pairs of neighbouring words count too."""
    shortest: int = Field(3, ge=1)
    """The shortest character n-grams, in characters."""
    longest: int = Field(5, ge=1)
    """Character n-grams of these lengths are cut from `<word>`."""

    @model_validator(mode="after")
    def _ordered(self) -> NGrams:
        if self.longest < self.shortest:
            raise ValueError("`longest` no smaller than `shortest`")
        return self

    def open(self, folder: Path) -> Encode:
        """The features; nothing is read from the folder."""

        def encode(texts: Sequence[str]) -> list[Ids]:
            return [
                ids for start in range(0, len(texts), _AT_ONCE) for ids in self._ids(texts[start : start + _AT_ONCE])
            ]

        return encode

    def in_browser(self, folder: Path) -> Scripted:
        """The same hashes; what a word is made of is told."""
        return Scripted({**self.model_dump(mode="json"), "letters": LETTERS}, made={LETTERS: characters.letters()})

    def read(self, texts: Sequence[str]) -> Read:
        """The buckets and words of texts; what texts that begin and end at spaces have together, each has alone."""
        found = [_WORD.findall(text.lower()) for text in texts]
        words = np.array([len(one) for one in found], dtype=np.int64)
        coded = [word.encode("utf-8", "surrogatepass") for word in chain.from_iterable(found)]
        hashes = np.array([zlib.crc32(word, _WORD_SALT) for word in coded], dtype=np.int64)
        if not coded:
            return Read(buckets=hashes, counts=words, hashes=hashes, words=words)  # none of all
        data = np.frombuffer(b"<" + b"><".join(coded) + b">", dtype=np.uint8)
        sizes = np.array([len(word) + 2 for word in coded])
        ends = np.cumsum(sizes)
        left = np.repeat(ends, sizes) - np.arange(len(data))
        # One line a place: the word's own bucket where it begins, and the grams that begin there and end in the word.
        lengths = np.arange(self.shortest, self.longest + 1)
        stands = np.zeros((len(data), 1 + len(lengths)), dtype=np.bool_)
        stands[ends - sizes, 0] = True
        stands[:, 1:] = left[:, None] >= lengths
        hashed = np.zeros(stands.shape, dtype=np.uint32)
        hashed[ends - sizes, 0] = hashes
        hashed[:, 1:] = _hashed(data, self.shortest, self.longest)
        counts = _sums(_sums(stands.sum(axis=1), sizes), words)
        return Read(hashed[stands].astype(np.int64) & ((1 << self.bits) - 1), counts, hashes, words)

    def pairs(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        """The buckets of pairs of neighbouring words, from the words' hashes."""
        mixed = left.astype(np.uint64) * _MIX + right.astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
        return (mixed >> np.uint64(64 - self.bits)).astype(np.int64)

    def _ids(self, texts: Sequence[str]) -> list[Ids]:
        read = self.read(texts)
        parts = np.split(read.buckets.astype(np.int32), np.cumsum(read.counts)[:-1])
        if self.word_pairs:
            pairs = self.pairs(read.hashes[:-1], read.hashes[1:]).astype(np.int32)
            ends = np.cumsum(read.words)
            spans = zip((ends - read.words).tolist(), ends.tolist(), strict=True)
            parts = [
                np.append(part, pairs[start : end - 1]) if end else part
                for part, (start, end) in zip(parts, spans, strict=True)
            ]
        return [part if len(part) else _EMPTY_TEXT for part in parts]


def _hashed(data: NDArray[np.uint8], shortest: int, longest: int) -> NDArray[np.uint32]:
    """`zlib.crc32` of so many bytes from each place on, a column a length; past the end, of zeros."""
    padded = np.concatenate([data, np.zeros(longest, dtype=np.uint8)])
    found = np.empty((len(data), longest - shortest + 1), dtype=np.uint32)
    state = np.full(len(data), _CHARACTER_SALT ^ 0xFFFFFFFF, dtype=np.uint32)
    for length in range(1, longest + 1):
        state = _CRC[(state ^ padded[length - 1 : length - 1 + len(data)]) & 0xFF] ^ (state >> 8)
        if length >= shortest:
            found[:, length - shortest] = ~state
    return found


def _sums(values: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sums of so many values each; of none 0."""
    until = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(counts)
    found: NDArray[np.int64] = until[ends] - until[ends - counts]
    return found
