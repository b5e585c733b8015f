import numpy as np
import pytest

from stillroom.metrics import Answers
from stillroom.metrics._calibration import BINS
from stillroom.metrics.adaptive_ece import AdaptiveEce
from stillroom.metrics.ece import Ece


def certain(confidence: list[float], right: list[bool]) -> Answers:
    """Two classes, the first always predicted."""
    first = np.array(confidence)
    probabilities = np.stack([first, 1 - first], axis=1)
    return Answers(np.where(right, 0, 1), probabilities, probabilities)


def test_is_the_sum_over_equal_shares_of_the_ranked_rows() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.permutation(np.linspace(0.51, 0.99, BINS * 40))
    right = rng.random(len(confidence)) < confidence**2
    order = np.argsort(confidence)
    parts = np.array_split(order, BINS)
    expected = sum(abs(right[part].sum() - confidence[part].sum()) for part in parts) / len(confidence)
    assert AdaptiveEce().score(certain(confidence.tolist(), right.tolist())) == pytest.approx(expected, abs=1e-12)


def test_what_is_too_sure_and_what_is_not_sure_enough_do_not_cancel() -> None:
    """All confidences in one bin of equal width: half of them at 0.94 and always right, half at 0.98 and never."""
    said = certain([0.94] * 300 + [0.98] * 300, [True] * 300 + [False] * 300)
    assert AdaptiveEce().score(said) == pytest.approx((0.06 + 0.98) / 2)
    assert Ece().score(said) == pytest.approx(0.46)


def test_rows_that_are_equally_sure_are_in_one_bin() -> None:
    said = certain([0.8] * 100, [True] * 80 + [False] * 20)
    assert AdaptiveEce().score(said) == pytest.approx(0.0, abs=1e-12)
