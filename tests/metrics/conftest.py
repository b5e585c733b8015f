"""Answers of two unequal systems on the same rows."""

import numpy as np
import pytest

from stillroom.metrics import Answers


@pytest.fixture(params=[2, 3, 7])
def said(request: pytest.FixtureRequest) -> Answers:
    classes: int = request.param
    rng = np.random.default_rng(classes)
    gold = rng.integers(0, classes, 500)
    right = gold[:, None] == np.arange(classes)
    tables = [np.exp(1.3 * rng.normal(size=(500, classes)) + signal * right) for signal in (1.2, 2.0)]
    student, teacher = (table / table.sum(axis=1, keepdims=True) for table in tables)
    return Answers(gold=gold, probabilities=student, teacher=teacher)
