"""The frontier, the choice, and what a choice flatters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stillroom.core import plugins
from stillroom.metrics import share
from stillroom.search import choice

ACCURACY = plugins.build("metrics", "accuracy")


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.integers(0, 4)))
def test_the_frontier_is_what_nothing_beats(figures: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    def beats(one: Any, other: Any) -> bool:
        return all(a >= b for a, b in zip(one, other, strict=True)) and any(
            a > b for a, b in zip(one, other, strict=True)
        )

    expected = [not any(beats(other, one) for other in figures) for one in figures]
    assert choice.frontier(figures).tolist() == expected


def drawn(rng: np.random.Generator, truths: list[float], *, rows: int) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    return [share(rng.random(rows) < truth) for truth in truths]


@pytest.mark.slow
def test_a_choice_among_equals_flatters_and_the_correction_does_not() -> None:
    truths, rows = [0.8] * 10, 300
    found = []
    for number in range(60):
        rng = np.random.default_rng(number)
        statistics = drawn(rng, truths, rows=rows)
        found.append(choice.choose(statistics, [1.0] * 10, metric=ACCURACY, rng=rng, resamples=120))
    flattered = np.mean([one.score for one in found]) - 0.8
    corrected = np.mean([one.corrected for one in found]) - 0.8
    standard_error = np.sqrt(0.8 * 0.2 / rows)
    assert flattered > standard_error, "the best of ten equals looks better than it is"
    assert abs(corrected) < 0.35 * standard_error
    assert np.mean([one.low <= 0.8 <= one.high for one in found]) >= 0.9
    assert all(one.optimism == one.score - one.corrected for one in found)


def test_the_best_is_chosen_and_of_equally_good_ones_the_cheapest() -> None:
    rng = np.random.default_rng(3)
    base = rng.random(400) < 0.8
    near, far = base.copy(), base.copy()
    near[np.flatnonzero(base)[:1]] = False
    far[np.flatnonzero(base)[:60]] = False
    statistics = [share(base), share(near), share(far)]
    assert choice.choose(statistics, [3.0, 2.0, 1.0], metric=ACCURACY, rng=rng, resamples=200).place == 0
    twice = [share(far), share(base), share(base[::-1])]
    assert choice.choose(twice, [1.0, 3.0, 2.0], metric=ACCURACY, rng=rng, resamples=200).place == 2
    assert choice.clearly_better(statistics[0], statistics[2], metric=ACCURACY, rng=rng)
    assert not choice.clearly_better(statistics[0], statistics[1], metric=ACCURACY, rng=rng)
    assert not choice.clearly_better(statistics[2], statistics[0], metric=ACCURACY, rng=rng)
