"""The mathematics on its own: tails against sums, and tests under no fault at all."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stillroom import doctor
from stillroom.symptoms import _chance, label_order
from tests.symptoms.scenes import binomial_tail


@pytest.mark.parametrize(("hits", "n", "share"), [(8, 10, 0.5), (30, 100, 0.2), (5, 5, 0.5)])
def test_tails_are_those_of_the_binomial(hits: int, n: int, share: float) -> None:
    assert _chance.at_least(hits, n, share) == pytest.approx(binomial_tail(hits, n, share))
    one, other = np.arange(n) < hits, np.arange(n) >= hits
    assert _chance.more_often(one, other) == pytest.approx(binomial_tail(hits, n, 0.5))


def test_shares_are_compared_as_fisher_does() -> None:
    from scipy.stats import fisher_exact

    for first in range(0, 13, 3):
        expected = fisher_exact([[first, 12 - first], [5, 15]], alternative="greater").pvalue
        assert _chance.larger_share(first, 12, 5, 20) == pytest.approx(expected)


def _weak(rng: np.random.Generator, gold: NDArray[np.int64], kind: int) -> NDArray[np.int64]:
    """Teachers that know nothing, that always say the rarer label, or that are right a little more often than not."""
    guessed = rng.integers(0, 3, len(gold))
    rarest = np.full(len(gold), int(np.bincount(gold, minlength=3).argmin()))
    return (guessed, rarest, np.where(rng.random(len(gold)) < 0.2, gold, guessed))[kind]


@pytest.mark.parametrize("kind", range(3))
def test_a_merely_weak_teacher_is_not_accused_of_swapped_labels(kind: int) -> None:
    accused, low = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        gold = rng.choice(3, size=200, p=[0.5, 0.3, 0.2])
        ids = [f"{seed}/{row}" for row in range(len(gold))]
        _, p, _ = label_order.accuse(ids, gold, _weak(rng, gold, kind), classes=3)
        accused += p <= doctor.LEVEL
        low += p <= 0.05
    assert accused == 0
    assert low <= 20  # of 200, 10 are expected at most; 20 or fewer in 998 of 1000 such trials


def test_three_labels_in_a_circle_are_told_apart_from_the_order_as_it_is() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 3, 90)
    order, p, shares = label_order.accuse([str(row) for row in range(90)], gold, (gold + 1) % 3, classes=3)
    assert order == [2, 0, 1]
    assert p < doctor.LEVEL
    assert shares == (0.0, 1.0)
