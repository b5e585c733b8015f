"""Batches hold every row once, within their budget, and texts of like length together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stillroom.core import batches

LENGTHS = st.lists(st.integers(1, 60), max_size=200)


@given(lengths=LENGTHS, budget=st.integers(1, 300))
def test_by_tokens_every_text_is_there_once_and_the_budget_is_kept(lengths: list[int], budget: int) -> None:
    found = batches.by_tokens(lengths, budget=budget)
    assert sorted(place for one in found for place in one.tolist()) == list(range(len(lengths)))
    for one in found:
        padded = len(one) * max(lengths[place] for place in one)
        assert padded <= budget or len(one) == 1


@given(lengths=LENGTHS, budget=st.integers(1, 300))
def test_by_tokens_the_longest_come_first_and_no_batch_could_have_taken_the_next(
    lengths: list[int], budget: int
) -> None:
    found = batches.by_tokens(lengths, budget=budget)
    order = [lengths[place] for one in found for place in one]
    assert order == sorted(lengths, reverse=True)
    for one in found[:-1]:
        assert (len(one) + 1) * max(lengths[place] for place in one) > budget


@given(lengths=LENGTHS, size=st.integers(1, 20), window=st.integers(1, 5), seed=st.integers(0, 9))
def test_by_rows_every_row_is_there_once_and_only_the_last_of_a_window_is_short(
    lengths: list[int], size: int, window: int, seed: int
) -> None:
    found = batches.by_rows(lengths, size=size, rng=np.random.default_rng(seed), window=window)
    assert sorted(place for one in found for place in one.tolist()) == list(range(len(lengths)))
    assert [len(one) for one in found if len(one) != size] == ([len(lengths) % size] if len(lengths) % size else [])


@given(lengths=LENGTHS, size=st.integers(1, 20), seed=st.integers(0, 9))
def test_by_rows_inside_a_window_lengths_do_not_overlap(lengths: list[int], size: int, seed: int) -> None:
    """One window over everything: sorted, cut, and the batches shuffled."""
    found = batches.by_rows(lengths, size=size, rng=np.random.default_rng(seed), window=len(lengths) + 1)
    cut = sorted([[lengths[place] for place in one] for one in found], key=lambda one: (one[0], one[-1], -len(one)))
    assert [length for one in cut for length in one] == sorted(lengths)


def test_by_rows_sorts_within_windows_and_shuffles_across_them() -> None:
    """With windows of two batches, texts of every length are in the first window, and an epoch begins anywhere."""
    lengths = list(range(1, 401))
    found = batches.by_rows(lengths, size=10, rng=np.random.default_rng(0), window=2)
    assert all(one.tolist() == sorted(one.tolist()) for one in found), "sorted inside"
    spans = [int(one[-1] - one[0]) for one in found]
    assert np.median(spans) > 50, "not one window over everything"
    whole = batches.by_rows(lengths, size=10, rng=np.random.default_rng(0), window=40)
    assert {int(one[-1] - one[0]) for one in whole} == {9}
    begins = [int(one[0]) for one in whole]
    assert begins != sorted(begins), "an epoch does not go from short to long"


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_pad_keeps_every_id_and_marks_the_rest(lengths: list[int]) -> None:
    ids = [np.arange(1, length + 1, dtype=np.int32) for length in lengths]
    table, mask = batches.pad(ids)
    assert table.shape == mask.shape == (len(lengths), max(lengths))
    for row, counted, one in zip(table, mask, ids, strict=True):
        assert row[counted].tolist() == one.tolist()
        assert not row[~counted].any()
