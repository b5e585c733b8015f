import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from stillroom.metrics import Answers
from stillroom.metrics.accuracy import Accuracy
from stillroom.metrics.negative_flips import NegativeFlips
from stillroom.metrics.positive_flips import PositiveFlips


def test_agrees_with_scikit_learn(said: Answers) -> None:
    matrix = confusion_matrix(said.teacher_right, said.right)
    assert NegativeFlips().score(said) == pytest.approx(matrix[1, 0] / matrix.sum())


def test_by_hand() -> None:
    """Teacher right on rows 0–2, student on rows 2 and 3; nobody on row 4."""
    gold = np.zeros(5, dtype=np.int64)
    teacher = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    student = np.array([[0.1, 0.9], [0.1, 0.9], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    assert NegativeFlips().score(Answers(gold, student, teacher)) == pytest.approx(2 / 5)


def test_what_was_gained_less_what_was_lost_is_the_difference_in_accuracy(said: Answers) -> None:
    teacher = Answers(said.gold, said.teacher, said.teacher)
    gained = PositiveFlips().score(said) - NegativeFlips().score(said)
    assert gained == pytest.approx(Accuracy().score(said) - Accuracy().score(teacher))
