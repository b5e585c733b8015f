import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from stillroom.metrics import Answers
from stillroom.metrics.agreement import Agreement


def test_agrees_with_scikit_learn(said: Answers) -> None:
    expected = accuracy_score(said.teacher.argmax(axis=1), said.probabilities.argmax(axis=1))
    assert Agreement().score(said) == pytest.approx(expected)


def test_being_wrong_together_is_agreement() -> None:
    student, teacher = np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([[0.6, 0.4], [0.1, 0.9]])
    assert Agreement().score(Answers(np.array([1, 1]), student, teacher)) == 0.5
