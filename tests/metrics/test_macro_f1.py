import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from stillroom.metrics import Answers
from stillroom.metrics.macro_f1 import MacroF1


def one_hot(labels: list[int], classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30),
    classes=st.integers(6, 9),
)
@settings(max_examples=60, deadline=None)
def test_agrees_with_scikit_learn_over_the_classes_that_occur(pairs: list[tuple[int, int]], classes: int) -> None:
    gold, predicted = ([pair[side] for pair in pairs] for side in (0, 1))
    said = Answers(np.array(gold), one_hot(predicted, classes), one_hot(predicted, classes))
    present = sorted(set(gold) | set(predicted))
    expected = f1_score(gold, predicted, average="macro", labels=present, zero_division=0)
    assert MacroF1().score(said) == pytest.approx(expected)


def test_by_hand() -> None:
    """Class 0: 1 hit, 2 gold, 1 predicted → 2/3. Class 1: 1 hit, 1 gold, 2 predicted → 2/3. Class 2 does not occur."""
    predicted = one_hot([0, 1, 1], 3)
    assert MacroF1().score(Answers(np.array([0, 0, 1]), predicted, predicted)) == pytest.approx(2 / 3)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    predicted = one_hot([0, 2], 3)
    assert MacroF1().score(Answers(np.array([0, 0]), predicted, predicted)) == pytest.approx((2 / 3 + 0) / 2)


def test_a_resample_without_a_rare_class_is_averaged_over_the_others() -> None:
    predicted = one_hot([0, 0, 1], 2)
    metric = MacroF1()
    rows = metric.rows(Answers(np.array([0, 0, 1]), predicted, predicted))
    assert float(metric.value(np.array([2.0, 1.0, 0.0]) @ rows)) == 1.0
