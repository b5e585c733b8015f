from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stillroom.runtime.lexicon import Lexicon, split


def describe(chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    sums = np.array([[len(chunk), sum(map(ord, chunk)) % 97] for chunk in chunks], dtype=np.float32)
    return sums, np.zeros((len(chunks), 2), dtype=np.int64)


@given(st.lists(st.lists(st.text("abc", min_size=1, max_size=4), max_size=6), min_size=1, max_size=40))
def test_sums_are_what_each_text_adds_up_to_whatever_was_seen_before(texts: list[list[str]]) -> None:
    lexicon = Lexicon(describe, width=2, capacity=5)
    for _ in range(3):
        sums, _, starts = lexicon.look_up(texts)
        found = np.add.reduceat(sums, starts, axis=0)
        expected = [describe(chunks)[0].sum(axis=0) if chunks else np.zeros(2) for chunks in texts]
        np.testing.assert_allclose(found, np.array(expected))


def test_memory_is_bounded() -> None:
    lexicon = Lexicon(describe, width=2, capacity=100)
    for start in range(0, 5000, 50):
        lexicon.look_up([[f"word{number}" for number in range(start, start + 50)]])
    assert len(lexicon.sums) <= 1024


def test_threads_do_not_take_each_other_s_places() -> None:
    """Each look-up learns a chunk of its own, and another thread gets its turn while that is described."""

    def slowly(chunks: list[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        time.sleep(1e-4)
        return np.array([[float(chunk)] for chunk in chunks], np.float32), np.zeros((len(chunks), 2), np.int64)

    lexicon = Lexicon(slowly, width=1, capacity=50)

    def wrong(thread: int) -> int:
        asked = [[thread * 1000 + number, number] for number in range(1, 60)]
        found = [lexicon.look_up([[str(chunk)] for chunk in chunks])[0][:, 0].tolist() for chunks in asked]
        return sum(one != other for one, other in zip(found, asked, strict=True))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(wrong, range(4))) == [0, 0, 0, 0]


def test_only_plain_texts_are_split_here() -> None:
    assert split("a  b\tc\n") == ["a", "b", "c"]
    assert split("a\x0bb") is None
    assert split("a\u2028b") is None
    assert split("") == []
