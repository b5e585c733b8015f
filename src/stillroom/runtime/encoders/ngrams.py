"""Hashed word and character n-grams: features that need no vocabulary."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from stillroom.runtime.encoders import Encode, Encoder, Ids

_WORD = re.compile(r"\w+|[^\w\s]")
_WORD_SALT, _CHARACTER_SALT = 0x5EED, 0xC4A2
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ over the golden ratio: Fibonacci hashing
_EMPTY_TEXT = np.zeros(1, dtype=np.int32)


@lru_cache(maxsize=16_384)
def _of_word(word: str, bits: int, shortest: int, longest: int) -> tuple[int, tuple[int, ...]]:
    """The hash of a word, and the buckets of the word and its character n-grams. Words come back, so they are kept."""
    coded = word.encode("utf-8", "surrogatepass")
    marked = b"<" + coded + b">"
    grams = [
        marked[start : start + length]
        for length in range(shortest, longest + 1)
        for start in range(len(marked) - length + 1)
    ]
    own, mask, hashed = zlib.crc32(coded, _WORD_SALT), (1 << bits) - 1, zlib.crc32
    return own, (own & mask, *[hashed(gram, _CHARACTER_SALT) & mask for gram in grams])


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
            return [self._text(text) for text in texts]

        return encode

    def chunk(self, chunk: str) -> tuple[list[int], list[int]]:
        """The buckets of what stands in a run of characters without spaces, pairs apart, and the hash of each word."""
        buckets: list[int] = []
        hashes: list[int] = []
        for word in _WORD.findall(chunk.lower()):
            own, found = _of_word(word, self.bits, self.shortest, self.longest)
            hashes.append(own)
            buckets += found
        return buckets, hashes

    def pairs(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.int64]:
        """The buckets of pairs of neighbouring words, from the words' hashes."""
        mixed = left.astype(np.uint64) * _MIX + right.astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX
        return (mixed >> np.uint64(64 - self.bits)).astype(np.int64)

    def _text(self, text: str) -> Ids:
        buckets: list[int] = []
        hashes: list[int] = []
        for chunk in text.split():
            of_chunk, words = self.chunk(chunk)
            buckets += of_chunk
            hashes += words
        found = np.array(buckets, dtype=np.int64)
        if self.word_pairs and len(hashes) > 1:
            words_of_text = np.array(hashes, dtype=np.int64)
            found = np.concatenate([found, self.pairs(words_of_text[:-1], words_of_text[1:])])
        return found.astype(np.int32) if len(found) else _EMPTY_TEXT
