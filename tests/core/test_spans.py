"""Texts that two have cut otherwise, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stillroom.core import scored, spans

CUTS = st.lists(st.integers(1, 4), max_size=12).map(lambda sizes: np.cumsum(sizes))


def test_boundaries_by_hand() -> None:
    its, own = spans.shared(np.array([2, 5, 6, 9]), np.array([1, 2, 6, 7]))
    assert its.tolist() == [0, 1, 3]
    assert own.tolist() == [0, 2, 3]


def test_of_tokens_that_end_together_the_last_one_does() -> None:
    """Three for a character whose cuts are not told, beside one."""
    its, own = spans.shared(np.array([3, 3, 3, 4]), np.array([3, 4]))
    assert its.tolist() == [0, 3, 4]
    assert own.tolist() == [0, 1, 2]


@given(one=CUTS, other=CUTS)
def test_both_have_read_the_same_bytes_there(one: Any, other: Any) -> None:
    at = spans.shared(one, other)
    bytes_read = [np.append(0, ends)[counts] for ends, counts in zip((one, other), at, strict=True)]
    np.testing.assert_array_equal(*bytes_read)
    assert set(bytes_read[0].tolist()) == {0, *one.tolist()} & {0, *other.tolist()}


def lines(tokens: int, *, kept: int = 3, seed: int = 0) -> Any:
    table = np.random.default_rng(seed).normal(size=(tokens, 9)) * 2
    return scored.of_logits(table, np.arange(tokens), kept=kept)


def test_a_teacher_s_lines_on_other_tokens_by_hand() -> None:
    """The teacher's tokens 0, 1 2, 3 beside the student's 10, 11, 12 13: one for one, two in one, one in two."""
    said = lines(4)
    ids = np.array([[4, -1, 5], [1, 2, 3], [7, 8, 9], [-1, -1, -1]])
    found = spans.retold(said, ids, np.array([10, 11, 12, 13]), (np.array([0, 1, 3, 4]), np.array([0, 1, 2, 4])))
    assert found[:, 5].tolist() == [10, 11, 12, 13]
    np.testing.assert_allclose(found[:, 0], [0.0, said[1, 0] + said[2, 0], said[3, 0], 0.0], rtol=1e-6)
    np.testing.assert_array_equal(found[:3, 1:5], said[[0, 1, 3], 1:5])
    assert found[:, 6:].tolist() == [[4, -1, 5], [1, 2, 3], [-1, -1, -1], [-1, -1, -1]]
    assert found[3, 1:5].tolist() == [scored.LEAST] * 3 + [0.0]
    assert spans.told(found).tolist() == [True, True, True, False]
    assert spans.split(found).tolist() == [False, True, True, True]


def test_behind_the_last_shared_boundary_nothing_is_learned() -> None:
    said = lines(3)
    found = spans.retold(said, np.zeros((3, 3), np.int64), np.arange(5), (np.array([0, 2]), np.array([0, 1])))
    assert len(found) == 1
    assert spans.retold(said, np.zeros((3, 3), np.int64), np.arange(5), (np.array([0]), np.array([0]))).shape == (0, 9)


def test_what_has_next_to_nothing_is_no_token() -> None:
    """Of a vocabulary of fewer tokens than are told of, the others are the first again."""
    said = scored.of_logits(np.zeros((1, 2)), np.zeros(1, np.int64), kept=4)
    found = spans.retold(said, said[:, 7:].astype(np.int64), np.array([0]), (np.array([0, 1]), np.array([0, 1])))
    assert found[0, 7:].tolist() == [0, 1, -1, -1]


def test_a_span_that_begins_in_what_is_not_learned_from_has_no_number_and_still_its_tokens() -> None:
    """Of a text whose beginning was handed to who wrote it: `causal.behind` takes the numbers of that."""
    told = lines(4)
    told[:2, :5] = np.nan  # the teacher's first two of four tokens
    at = np.array([0, 1, 3, 4]), np.array([0, 2, 3, 4])
    found = spans.retold(told, told[:, 6:].astype(np.int64), np.arange(4), at)
    assert np.isnan(found[:3, :5]).all()  # the span of its second and third token begins there
    assert np.isfinite(found[3]).all()
    assert found[:, 5].tolist() == [0, 1, 2, 3]
