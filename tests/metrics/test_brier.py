import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from stillroom.metrics import Answers
from stillroom.metrics.brier import Brier


def test_agrees_with_scikit_learn(said: Answers) -> None:
    classes = list(range(said.probabilities.shape[1]))
    expected = brier_score_loss(said.gold, said.probabilities, labels=classes, scale_by_half=False)
    assert Brier().score(said) == pytest.approx(expected)


def test_by_hand() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]])
    expected = 0.3**2 + 0.2**2 + 0.1**2
    assert Brier().score(Answers(np.array([0]), probabilities, probabilities)) == pytest.approx(expected)


def test_certain_and_wrong_is_worst() -> None:
    certain = np.array([[1.0, 0.0]])
    assert Brier().score(Answers(np.array([1]), certain, certain)) == Brier.high
