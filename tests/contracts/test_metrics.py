"""What every metric promises, held over every member that is found."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import plugins
from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Answers, Metric

NAMES = plugins.names("metrics")


def answers(seed: int, *, rows: int = 400, classes: int = 4) -> Answers:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, rows)
    tables = []
    for noise in (0.8, 1.5):
        odds = np.exp(noise * rng.normal(size=(rows, classes)) + 1.5 * (gold[:, None] == np.arange(classes)))
        tables.append(odds / odds.sum(axis=1, keepdims=True))
    return Answers(gold=gold, probabilities=tables[0], teacher=tables[1])


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    built: Metric = plugins.build("metrics", request.param)
    return built


def test_there_are_members() -> None:
    assert {"accuracy", "macro_f1", "ece", "nll", "brier", "agreement", "negative_flips", "positive_flips"} <= set(
        NAMES
    )


def test_says_what_it_is(metric: Metric) -> None:
    assert metric.low < metric.high
    assert metric.min_rows >= 1
    assert metric.formula
    assert metric.reference
    assert type(metric).__doc__


def test_is_in_the_docs_as_it_is(metric: Metric) -> None:
    if type(metric).__module__.startswith("stillroom."):
        page = Path(__file__).parents[2] / "docs" / "stages" / "evaluate.md"
        better = "higher" if metric.higher_is_better else "lower"
        formula = metric.formula.replace("|", r"\|")
        assert f"| `{metric.kind}` | {better} | {formula} | {metric.min_rows} |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), classes=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_stays_in_range(name: str, seed: int, rows: int, classes: int) -> None:
    metric = plugins.build("metrics", name)
    value = metric.score(answers(seed, rows=rows, classes=classes))
    assert metric.low - 1e-12 <= value <= metric.high + 1e-12


def test_the_order_of_rows_does_not_matter(metric: Metric) -> None:
    said = answers(1)
    order = np.random.default_rng(2).permutation(len(said.gold))
    moved = Answers(said.gold[order], said.probabilities[order], said.teacher[order])
    assert metric.score(moved) == pytest.approx(metric.score(said), rel=1e-12)


def test_is_a_function_of_sums(metric: Metric) -> None:
    said = answers(3)
    rows = metric.rows(said)
    assert rows.shape[0] == len(said.gold)
    assert rows.dtype == np.float64
    halves = rows[:150].sum(axis=0) + rows[150:].sum(axis=0)
    assert float(metric.value(halves)) == pytest.approx(metric.score(said), rel=1e-12)


def test_rows_may_count_more_than_once(metric: Metric) -> None:
    """Weights on rows do what rows repeated do: so a resample is scored as if it were a table."""
    said = answers(4, rows=120)
    weights = np.random.default_rng(5).integers(0, 4, 120)
    twice = np.repeat(np.arange(120), weights)
    repeated = Answers(said.gold[twice], said.probabilities[twice], said.teacher[twice])
    assert float(metric.value(weights @ metric.rows(said))) == pytest.approx(metric.score(repeated), rel=1e-12)


def test_all_ones_are_the_plain_metric(metric: Metric) -> None:
    said = answers(6)
    rows = metric.rows(said)
    assert float(metric.value(np.ones(len(rows)) @ rows)) == pytest.approx(metric.score(said), rel=1e-12)


def test_values_are_vectorised_over_leading_axes(metric: Metric) -> None:
    rows = metric.rows(answers(7, rows=60))
    sums = np.random.default_rng(8).integers(0, 3, (2, 5, 60)) @ rows
    together = metric.value(sums)
    assert together.shape == (2, 5)
    one_by_one = [[float(metric.value(sums[a, b])) for b in range(5)] for a in range(2)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


def test_no_rows_have_no_value(metric: Metric) -> None:
    rows = metric.rows(answers(9))
    assert math.isnan(float(metric.value(np.zeros(rows.shape[1]))))


def test_can_be_resampled(metric: Metric) -> None:
    said = answers(10)
    drawn = Resamples(400, count=300, rng=np.random.default_rng(11))
    estimate = drawn.estimate({"figure": Sample(metric.rows(said), metric.value)})["figure"]
    assert estimate.value == pytest.approx(metric.score(said), rel=1e-12)
    interval = estimate.interval(0.95, within=(metric.low, metric.high))
    assert interval.low is not None
    assert interval.high is not None
    assert metric.low <= interval.low < interval.high <= metric.high


def test_a_student_that_is_its_teacher(metric: Metric) -> None:
    said = answers(12)
    same = Answers(said.gold, said.teacher, said.teacher)
    perfect: dict[str, Any] = {"agreement": 1.0, "negative_flips": 0.0, "positive_flips": 0.0}
    if metric.against_teacher:
        assert metric.score(same) == perfect.get(metric.kind, metric.high if metric.higher_is_better else metric.low)
    else:
        # Whoever the teacher is says nothing about a metric against gold.
        other = Answers(said.gold, said.probabilities, np.roll(said.teacher, 1, axis=0))
        assert metric.score(other) == metric.score(said)


def test_a_share_of_rows_has_hits_and_rows(metric: Metric) -> None:
    rows = metric.rows(answers(13))
    if metric.share_of_rows:
        assert rows.shape[1] == 2
        assert set(np.unique(rows[:, 0])) <= {0.0, 1.0}
        assert (rows[:, 1] == 1.0).all()
        assert float(metric.value(rows.sum(axis=0))) == rows[:, 0].mean()
    else:
        assert not np.isin(rows, (0.0, 1.0)).all() or rows.shape[1] != 2
