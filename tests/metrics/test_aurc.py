import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Answers
from stillroom.metrics.aurc import Aurc, curve


def certain(confidence: list[float], right: list[bool]) -> Answers:
    """Two classes, the first always predicted."""
    first = np.array(confidence)
    probabilities = np.stack([first, 1 - first], axis=1)
    return Answers(np.where(right, 0, 1), probabilities, probabilities)


def by_definition(said: Answers) -> float:
    sure, wrong = said.probabilities.max(axis=1), ~said.right
    return float(np.mean([wrong[sure >= one].mean() for one in sure]))


def test_by_hand() -> None:
    """Wrong are the second and the fourth of four: (0 + 1/2 + 1/3 + 2/4) / 4."""
    said = certain([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert Aurc().score(said) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)
    assert curve(said) == [
        {"coverage": 0.25, "risk": 0.0}, {"coverage": 0.5, "risk": 0.5},
        {"coverage": 0.75, "risk": round(1 / 3, 6)}, {"coverage": 1.0, "risk": 0.5},
    ]  # fmt: skip


def test_never_wrong_is_nothing_and_always_wrong_is_all() -> None:
    assert Aurc().score(certain([0.9, 0.8], [True, True])) == 0
    assert Aurc().score(certain([0.9, 0.8], [False, False])) == 1


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_is_the_definition_row_by_row_with_equal_confidences_too(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    said = certain((rng.integers(51, 60, rows) / 100).tolist(), (rng.random(rows) < 0.7).tolist())
    assert Aurc().score(said) == pytest.approx(by_definition(said), abs=1e-12)


def test_who_knows_where_it_is_wrong_has_less_than_who_does_not() -> None:
    rng = np.random.default_rng(1)
    right = rng.random(500) < 0.8
    knows = np.where(right, 0.9, 0.6) + 0.01 * rng.random(500)
    assert Aurc().score(certain(knows.tolist(), right.tolist())) < 0.5 * Aurc().score(
        certain(rng.permutation(knows).tolist(), right.tolist())
    )


def test_its_resamples_spread_as_those_that_are_ranked_anew() -> None:
    rng = np.random.default_rng(2)
    sure = 0.5 + 0.5 * rng.random(400)
    said = certain(sure.tolist(), (rng.random(400) < sure).tolist())
    metric = Aurc()
    drawn = Resamples(400, count=400, rng=rng).estimate({"it": Sample(metric.rows(said), metric.value)})["it"]
    anew = [metric.score(said.take(rng.integers(0, 400, 400))) for _ in range(400)]
    assert drawn.resampled.std() == pytest.approx(np.std(anew), rel=0.12)
    assert drawn.resampled.mean() == pytest.approx(np.mean(anew), abs=0.004)
