"""The certificate's numbers: beside other libraries' bounds, and by how often what is certified is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.isotonic import IsotonicRegression
from statsmodels.stats.proportion import proportion_confint

from stillroom.cascade import certificate
from stillroom.cascade.certificate import Calibration, Step

LEVELS = st.sampled_from([0.01, 0.05, 0.1, 0.2])


@given(st.integers(1, 5000), st.data(), LEVELS)
def test_the_bound_is_the_beta_quantile_and_that_of_statsmodels(n: int, data: st.DataObject, delta: float) -> None:
    hits = data.draw(st.integers(0, n))
    found = certificate.upper(hits, n, delta)
    expected = stats.beta.ppf(1 - delta, hits + 1, n - hits) if hits < n else 1.0
    assert found == pytest.approx(expected, abs=1e-9)
    assert found == pytest.approx(proportion_confint(hits, n, alpha=2 * delta, method="beta")[1], abs=1e-9)


@pytest.mark.parametrize(("epsilon", "rows"), [(0.05, 59), (0.03, 99), (0.02, 149), (0.01, 299)])
def test_how_many_rows_it_takes_without_an_error(epsilon: float, rows: int) -> None:
    assert certificate.needed(epsilon, 0.05) == rows


@given(st.floats(0.002, 0.5), LEVELS)
def test_one_row_fewer_is_too_few(epsilon: float, delta: float) -> None:
    rows = certificate.needed(epsilon, delta)
    assert certificate.upper(0, rows, delta) <= epsilon + 1e-12
    assert rows == 1 or certificate.upper(0, rows - 1, delta) > epsilon


@given(st.integers(2, 200), st.integers(0, 2**32))
def test_calibration_never_falls_and_is_what_sklearn_predicts(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sureness = rng.choice(np.linspace(0.3, 1.0, 40), n)
    right = rng.random(n) < sureness
    found = certificate.calibrate(sureness, right)
    asked = np.linspace(0, 1, 101)
    told = IsotonicRegression(out_of_bounds="clip").fit(sureness, right.astype(float)).predict(asked)
    np.testing.assert_allclose(found.of(asked), told, atol=1e-12)
    assert (np.diff(found.of(asked)) >= 0).all()
    every = sorted(set(found.confidence), reverse=True)
    answered = [(found.of(sureness) >= one).mean() for one in every]
    assert found.thresholds == tuple(one for one, share in zip(every, answered, strict=True) if share >= 0.1)
    assert len(every) - len(found.thresholds) == sum(share < 0.1 for share in answered)
    assert (found.of(np.array([0.0, 1.0])) >= found.thresholds[-1]).all(), "the loosest one answers everything"


def test_calibration_is_the_mean_of_what_it_pools() -> None:
    found = certificate.calibrate(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, True, False, True]))
    np.testing.assert_allclose(found.of(np.array([0.1, 0.2, 0.3, 0.4])), [0.0, 0.5, 0.5, 1.0])


@given(st.integers(1, 400), st.integers(0, 2**32), st.floats(0.005, 0.5), LEVELS)
def test_the_walk_stops_at_the_first_failure(n: int, seed: int, epsilon: float, delta: float) -> None:
    rng = np.random.default_rng(seed)
    confidence = rng.choice(np.linspace(0, 1, 12), n)
    wrong = rng.random(n) > confidence
    thresholds = tuple(sorted(set(confidence.tolist()), reverse=True))
    steps = certificate.walk(confidence, wrong, thresholds, epsilon=epsilon, delta=delta)
    passed = [one.passed for one in steps]
    assert passed == sorted(passed, reverse=True)
    for one in steps:
        answered = confidence >= one.threshold
        assert (one.answered, one.wrong) == (answered.sum(), (answered & wrong).sum())
        assert one.passed == (one.bound <= epsilon), "the more it answers, the more goes wrong"
        assert one.selective_bound >= one.wrong / max(one.answered, 1)
    taken = certificate.taken(steps)
    assert taken is None or (taken.passed and taken is [one for one in steps if one.passed][-1])


@settings(max_examples=50)
@given(st.integers(20, 2000), st.floats(0.0, 0.4), st.floats(0.01, 0.3))
def test_so_many_rows_more_would_do(n: int, share: float, epsilon: float) -> None:
    wrong = round(share * n)
    step = Step(0.5, n, n, wrong, certificate.upper(wrong, n, 0.05), 1.0, False)
    more = certificate.further(step, epsilon=epsilon, delta=0.05)
    if wrong / n >= epsilon:
        assert more is None
    elif more is not None:
        there = n + more
        assert certificate.upper(int(np.ceil(wrong / n * there)), there, 0.05) <= epsilon


@pytest.mark.parametrize("n", [59, 200, 1000])
@pytest.mark.parametrize("risk", [0.001, 0.02, 0.05, 0.06, 0.3])
def test_one_threshold_holds_as_often_as_promised_exactly(n: int, risk: float) -> None:
    """Summed over every number of wrong rows there can be: no simulation."""
    hits = np.arange(n + 1)
    bounds = np.array([certificate.upper(int(one), n, 0.05) for one in hits])
    assert stats.binom.pmf(hits, n, risk)[bounds >= risk].sum() >= 0.95


#: A student whose probability of being right is known wherever it is: it says it is `_SAYS` sure of a share `_MASS`.
_SAYS = np.linspace(0.30, 0.99, 24)
_MASS = np.linspace(1, 4, 24) / np.linspace(1, 4, 24).sum()
_RIGHT = 0.55 + 0.45 * ((_SAYS - 0.3) / 0.69) ** 0.7


def _drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    places = rng.choice(len(_SAYS), n, p=_MASS)
    return _SAYS[places], rng.random(n) < _RIGHT[places]


def _truth(calibration: Calibration, threshold: float) -> tuple[float, float]:
    """How much of all texts, and of those that it answers, it answers wrong: known, not drawn."""
    answered = calibration.of(_SAYS) >= threshold
    risk = float((_MASS * (1 - _RIGHT))[answered].sum())
    return risk, risk / float(_MASS[answered].sum())


def test_what_is_certified_is_true_as_often_as_promised_and_a_point_estimate_is_not() -> None:
    runs, epsilon, delta = 800, 0.05, 0.05
    broken = broken_selective = certified = careless = 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        calibration = certificate.calibrate(*_drawn(rng, 150))
        sureness, right = _drawn(rng, 300)
        confidence = calibration.of(sureness)
        steps = certificate.walk(confidence, ~right, calibration.thresholds, epsilon=epsilon, delta=delta)
        taken = certificate.taken(steps)
        if taken is not None:
            certified += 1
            risk, selective = _truth(calibration, taken.threshold)
            broken += risk > epsilon
            broken_selective += selective > taken.selective_bound
        naive = [one for one in steps if one.wrong / one.n <= epsilon and one.answered]
        careless += bool(naive) and _truth(calibration, naive[-1].threshold)[0] > epsilon
    most = stats.binom.ppf(0.999, runs, delta)
    assert certified > 0.9 * runs, "it has to certify something to be tested"
    assert broken <= most
    assert broken_selective <= most
    assert careless > 1.3 * most, "who goes by the share that is seen breaks it far more often"


def test_a_student_that_is_wrong_where_it_is_sure_is_not_certified() -> None:
    rng = np.random.default_rng(0)
    sureness = rng.random(3000)
    right = rng.random(3000) < 1 - 0.3 * sureness
    calibration = certificate.calibrate(sureness[:1000], right[:1000])
    steps = certificate.walk(calibration.of(sureness[1000:]), ~right[1000:], calibration.thresholds, epsilon=0.05,
                             delta=0.05)  # fmt: skip
    assert certificate.taken(steps) is None
    assert steps[0].answered > 1000, "the surest ones can't be taken alone: they are the worst"
    well = certificate.calibrate(-sureness[:1000], right[:1000])
    found = certificate.walk(well.of(-sureness[1000:]), ~right[1000:], well.thresholds, epsilon=0.05, delta=0.05)
    assert certificate.taken(found) is not None, "the same rows, with the right way round"


def test_a_student_that_is_sure_of_nothing_there_is_not_certified() -> None:
    steps = certificate.walk(np.full(200, 0.4), np.zeros(200, dtype=np.bool_), (0.9,), epsilon=0.05, delta=0.05)
    assert steps[0].passed
    assert certificate.taken(steps) is None
