from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import special

from stillroom.core import probabilities

SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 5))


@given(arrays.arrays(np.float32, SHAPES, elements=st.floats(-1e4, 1e4, width=32)))
def test_they_are_those_of_another_library(logits: NDArray[np.float32]) -> None:
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(probabilities.softmax(logits), special.softmax(wide, axis=1), atol=1e-12)
    np.testing.assert_allclose(probabilities.log_softmax(logits), special.log_softmax(wide, axis=1), atol=1e-9)


def test_half_precision_is_widened_first() -> None:
    """In halves, the sum of so many equal odds would be infinite."""
    found = probabilities.softmax(np.zeros((1, 100_000), dtype=np.float16))
    assert found.dtype == np.float64
    assert found.sum() == pytest.approx(1.0)


def test_a_label_has_all_of_it() -> None:
    np.testing.assert_array_equal(probabilities.of(np.array([2, 0]), classes=3), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(probabilities.of(np.array([[1.0, 1.0]]), classes=2), [[0.5, 0.5]])
