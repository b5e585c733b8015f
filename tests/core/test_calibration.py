"""The temperature that makes a student as sure as it is right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stillroom.core import calibration
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers
from stillroom.metrics.ece import Ece


def honest(seed: int = 0, *, rows: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and gold that was drawn by their own probabilities."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, 4))
    gold = (softmax(logits).cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return logits, gold


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
def test_who_is_too_sure_by_a_factor_is_divided_by_it(factor: float) -> None:
    logits, gold = honest()
    found = calibration.fit(factor * logits, gold)
    assert found is not None
    assert found.value == pytest.approx(factor, rel=0.06)
    assert found.nll_after <= found.nll_before
    assert found.rows == 4000


def test_too_sure_is_mended_on_rows_that_it_was_not_fitted_to() -> None:
    logits, gold = honest(1)
    found = calibration.fit(3 * logits[:2000], gold[:2000])
    assert found is not None
    before, after = (
        Ece().score(Answers(gold[2000:], softmax(3 * logits[2000:] / by), softmax(logits[2000:])))
        for by in (1.0, found.value)
    )
    assert before > 0.1
    assert after < 0.03


@given(seed=st.integers(0, 2**20))
@settings(max_examples=15, deadline=None)
def test_no_temperature_near_it_is_better(seed: int) -> None:
    logits, gold = honest(seed, rows=300)
    found = calibration.fit(2 * logits, gold)
    assert found is not None

    def nll(by: float) -> float:
        return float(-np.log(softmax(2 * logits / by)[np.arange(300), gold]).mean())

    assert nll(found.value) == pytest.approx(found.nll_after)
    assert all(nll(found.value) <= nll(by) + 1e-7 for by in (0.9 * found.value, 1.1 * found.value, 1.0))


def test_rows_without_gold_do_not_count_and_few_rows_have_none() -> None:
    logits, gold = honest()
    some = np.where(np.arange(4000) < 99, gold, -1)
    assert calibration.fit(logits, some) is None
    more = np.where(np.arange(4000) < 400, gold, -1)
    assert calibration.fit(logits, more) == calibration.fit(logits[:400], gold[:400])


def test_who_is_never_wrong_gets_a_finite_temperature() -> None:
    gold = np.arange(200) % 3
    found = calibration.fit(np.eye(3)[gold], gold)
    assert found is not None
    assert 0.05 <= found.value < 1
