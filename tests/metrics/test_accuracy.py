import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from stillroom.metrics import Answers
from stillroom.metrics.accuracy import Accuracy


def test_agrees_with_scikit_learn(said: Answers) -> None:
    assert Accuracy().score(said) == pytest.approx(accuracy_score(said.gold, said.probabilities.argmax(axis=1)))


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    assert Accuracy().score(Answers(np.array([0, 1, 1]), probabilities, probabilities)) == pytest.approx(2 / 3)


def test_of_equally_probable_labels_the_first_counts() -> None:
    even = np.array([[0.5, 0.5]])
    assert Accuracy().score(Answers(np.array([0]), even, even)) == 1.0
    assert Accuracy().score(Answers(np.array([1]), even, even)) == 0.0
