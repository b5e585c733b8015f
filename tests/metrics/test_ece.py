import numpy as np
import pytest
from netcal.metrics import ECE

from stillroom.metrics import Answers
from stillroom.metrics._calibration import BINS
from stillroom.metrics.ece import Ece, reliability


def certain(confidence: list[float], right: list[bool]) -> Answers:
    """Two classes, the first always predicted."""
    first = np.array(confidence)
    probabilities = np.stack([first, 1 - first], axis=1)
    return Answers(np.where(right, 0, 1), probabilities, probabilities)


def of_netcal(said: Answers) -> float:
    """Given as confidence and right or not: of two classes netcal would take the second one's probability instead."""
    return float(ECE(BINS).measure(said.probabilities.max(axis=1), said.right.astype(int)))


def test_agrees_with_netcal(said: Answers) -> None:
    assert Ece().score(said) == pytest.approx(of_netcal(said), abs=1e-9)


def test_agrees_with_netcal_on_tables_of_many_classes(said: Answers) -> None:
    if said.probabilities.shape[1] > 2:
        assert Ece().score(said) == pytest.approx(ECE(BINS).measure(said.probabilities, said.gold), abs=1e-9)


def test_agrees_with_netcal_on_the_edges_of_bins() -> None:
    """Where a bin begins decides; confidence 1.0 belongs to the last bin and to no bin of its own."""
    edges = [8 / 15, 9 / 15, 10 / 15, 12 / 15, 13 / 15, 14 / 15, 1.0, 1.0, 0.99]
    right = [True, False, True, True, False, True, True, False, False]
    said = certain(edges, right)
    assert Ece().score(said) == pytest.approx(of_netcal(said), abs=1e-9)


def test_by_hand() -> None:
    """Two rows at 0.9 (one right), two at 0.7 (both right): ½·|0.5 − 0.9| + ½·|1 − 0.7|."""
    said = certain([0.9, 0.9, 0.7, 0.7], [True, False, True, True])
    assert Ece().score(said) == pytest.approx(0.5 * 0.4 + 0.5 * 0.3)


def test_errors_of_one_bin_cancel_and_those_of_two_do_not() -> None:
    assert Ece().score(certain([0.5, 0.5], [True, False])) == pytest.approx(0.0)
    assert Ece().score(certain([0.55, 0.95], [True, False])) == pytest.approx((0.45 + 0.95) / 2)


def test_the_reliability_diagram_adds_up_to_the_metric(said: Answers) -> None:
    bins = reliability(said)
    assert len(bins) == BINS
    assert [one["low"] for one in bins[1:]] == [one["high"] for one in bins[:-1]]
    assert sum(one["n"] for one in bins) == len(said.gold)
    filled = [one for one in bins if one["n"]]
    assert all(one["low"] <= one["confidence"] <= one["high"] for one in filled)
    total = sum(one["n"] * abs(one["accuracy"] - one["confidence"]) for one in filled) / len(said.gold)
    assert total == pytest.approx(Ece().score(said), abs=1e-6)
    assert all(one["confidence"] is None and one["accuracy"] is None for one in bins if not one["n"])
