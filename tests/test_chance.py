"""Permutation tests beside scipy's, and how often they err where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stillroom import chance
from stillroom.metrics import Floats, ratio


def mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def apart(own: Floats, rest: Floats) -> Floats:
    return np.asarray(mean(own) - mean(rest))


def counted(values: Floats) -> Floats:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_groups_dealt_anew_as_scipy_deals_them() -> None:
    rng = np.random.default_rng(1)
    groups = np.array([0] * 30 + [1] * 50)
    values = rng.normal(size=80) + 0.4 * (groups == 0)
    ours = chance.dealt(counted(values), groups, apart, count=20000, rng=rng)
    theirs = stats.permutation_test((values[:30], values[30:]), lambda a, b, axis: a.mean(axis) - b.mean(axis),
                                    vectorized=True, n_resamples=20000, rng=np.random.default_rng(2))  # fmt: skip
    assert ours[0] == pytest.approx(theirs.pvalue, abs=0.01)
    # Two groups: each is the other's rest.
    assert ours[0] == ours[1]


def test_pairs_turned_as_scipy_turns_them() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(size=60)
    other = one + rng.normal(0.25, 1.0, size=60)
    ours = chance.turned(counted(one), counted(other), apart, count=20000, rng=rng)
    settings = {"vectorized": True, "permutation_type": "samples", "n_resamples": 20000}
    theirs = stats.permutation_test((one, other), lambda a, b, axis: a.mean(axis) - b.mean(axis), **settings,
                                    rng=np.random.default_rng(4))  # fmt: skip
    assert ours == pytest.approx(theirs.pvalue, abs=0.015)


def test_few_pairs_are_counted_out() -> None:
    # Of three pairs that all point one way, two in eight ways to turn them are as far apart.
    one, other = counted(np.zeros(3)), counted(np.ones(3))
    p = chance.turned(one, other, apart, count=40000, rng=np.random.default_rng(5))
    assert p == pytest.approx(0.25, abs=0.01)


def test_where_there_is_nothing_they_err_as_often_as_they_say() -> None:
    dealt, turned = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        values, groups = rng.normal(size=40), rng.integers(0, 2, 40)
        dealt.append(chance.dealt(counted(values), groups, apart, count=199, rng=rng)[0])
        pair = rng.normal(size=(2, 40))
        turned.append(chance.turned(counted(pair[0]), counted(pair[1]), apart, count=199, rng=rng))
    for found in (dealt, turned):
        assert stats.kstest(found, "uniform").pvalue > 0.01
        assert np.mean(np.array(found) <= 0.05) < 0.09


def test_what_is_the_same_everywhere_is_no_evidence() -> None:
    same, groups = counted(np.ones(20)), np.arange(20) % 2
    assert chance.dealt(same, groups, apart, count=99, rng=np.random.default_rng(0)) == [1.0, 1.0]
    assert chance.turned(same, same, apart, count=99, rng=np.random.default_rng(0)) == 1.0


def test_a_figure_that_is_not_defined_is_no_evidence() -> None:
    nothing = np.zeros((20, 2))
    assert chance.dealt(nothing, np.arange(20) % 2, apart, count=99, rng=np.random.default_rng(0)) == [1.0, 1.0]
