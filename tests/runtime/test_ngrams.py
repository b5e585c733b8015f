"""Buckets of words and characters: held to a second way to work them out, a slice of bytes at a time."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.runtime.encoders.ngrams import NGrams


def by_slices(text: str, own: NGrams) -> tuple[Counter[int], list[int]]:
    """The buckets of a text without its pairs, and the hashes of its words."""
    buckets: Counter[int] = Counter()
    hashes = []
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        coded = word.encode("utf-8", "surrogatepass")
        hashes.append(zlib.crc32(coded, 0x5EED))
        buckets[hashes[-1] % 2**own.bits] += 1
        marked = b"<" + coded + b">"
        for length in range(own.shortest, own.longest + 1):
            for start in range(len(marked) - length + 1):
                buckets[zlib.crc32(marked[start : start + length], 0xC4A2) % 2**own.bits] += 1
    return buckets, hashes


@given(texts=st.lists(st.text(max_size=20), max_size=4), sizes=st.sampled_from([(3, 5), (1, 1), (2, 7), (1, 4)]))
def test_buckets_are_those_of_slices(texts: list[str], sizes: tuple[int, int]) -> None:
    own = NGrams(bits=20, shortest=sizes[0], longest=sizes[1])
    read = own.read(texts)
    found = np.split(read.buckets, np.cumsum(read.counts)[:-1])
    words = np.split(read.hashes, np.cumsum(read.words)[:-1])
    for text, buckets, hashes in zip(texts, found, words, strict=bool(texts)):
        assert (Counter(buckets.tolist()), hashes.tolist()) == by_slices(text, own)


@pytest.mark.parametrize("pairs", [True, False])
def test_a_text_has_its_own_pairs_alone(pairs: bool) -> None:
    own = NGrams(bits=16, word_pairs=pairs)
    texts = ["one", "", "two words", "  ", "and three of them", "x" * 70_000] * 90
    sliced = {text: by_slices(text, own) for text in set(texts)}
    for text, ids in zip(texts, own.open(Path())(texts), strict=True):
        buckets, hashes = Counter(sliced[text][0]), sliced[text][1]
        if pairs and len(hashes) > 1:
            buckets.update(own.pairs(np.array(hashes[:-1]), np.array(hashes[1:])).tolist())
        assert Counter(ids.tolist()) == (buckets or Counter([0]))
