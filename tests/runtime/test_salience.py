"""How sentences stand in their texts, and which are best."""

from __future__ import annotations

import numpy as np

from stillroom.runtime import salience

LENGTHS, COUNTS = np.array([4, 8, 6, 5, 3, 9, 2]), np.array([6, 1])


def test_first_and_last_are_told_apart_and_the_middle_is_not() -> None:
    found = salience.standing(LENGTHS, COUNTS)
    assert found.shape == (7, salience.STANDING)
    assert len(np.unique(found[:6, :8], axis=0)) == 6
    many = salience.standing(np.full(12, 5), np.array([12]))[:, :8]
    assert len(np.unique(many, axis=0)) == 7, "three at either end, and all between"
    np.testing.assert_array_equal(many[4], many[7])


def test_a_text_knows_nothing_of_its_neighbours() -> None:
    whole, vectors = salience.standing(LENGTHS, COUNTS), np.eye(7, dtype=np.float32)
    np.testing.assert_array_equal(whole[6:], salience.standing(LENGTHS[6:], COUNTS[1:]))
    near = salience.closeness(vectors, COUNTS)
    np.testing.assert_allclose(near, [*[6**-0.5] * 6, 1.0], rtol=1e-6)


def test_nothing_stands_in_no_text() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert salience.standing(none, none).shape == (0, salience.STANDING)
    assert salience.best(none.astype(np.float32), none, most=2) == []


def test_the_best_come_first_and_of_equals_the_earlier() -> None:
    scores = np.array([1, 3, 3, 2, 0, 3, 9], dtype=np.float32)
    assert salience.best(scores, COUNTS, most=3) == [[1, 2, 5], [0]]
