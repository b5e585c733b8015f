import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from stillroom.metrics import Answers
from stillroom.metrics.nll import Nll


def test_agrees_with_scikit_learn(said: Answers) -> None:
    classes = list(range(said.probabilities.shape[1]))
    assert Nll().score(said) == pytest.approx(log_loss(said.gold, said.probabilities, labels=classes))


def test_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
    expected = (math.log(2) + math.log(4)) / 2
    assert Nll().score(Answers(np.array([1, 0]), probabilities, probabilities)) == pytest.approx(expected)


def test_a_certain_mistake_costs_the_most_and_not_infinitely_much() -> None:
    certain = np.array([[1.0, 0.0]])
    assert Nll().score(Answers(np.array([1]), certain, certain)) == pytest.approx(Nll.high)
