"""Probabilities from what was said of each class: one way for all who need them, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def softmax(logits: NDArray[Any]) -> Floats:
    """Probabilities `[rows, classes]` from logits."""
    odds = np.exp(_below_zero(logits))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def log_softmax(logits: NDArray[Any]) -> Floats:
    """Their logarithms, also of those that are next to nothing."""
    wide = _below_zero(logits)
    return np.asarray(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))


def log_odds(logits: NDArray[Any], places: NDArray[np.int64]) -> Floats:
    """The logarithm of p / (1 − p) of one class a row, `[rows]`; the same from logits and from log-probabilities."""
    rows = np.arange(len(logits))
    others = logits.astype(np.float64)
    own = others[rows, places]
    others[rows, places] = -np.inf
    most = others.max(axis=1, initial=-1e30)
    return np.asarray(own - most - np.log(np.exp(others - most[:, None]).sum(axis=1)))


def of(answers: NDArray[Any], *, classes: int) -> Floats:
    """Probabilities from answers of either kind: logits, or labels `[rows]`, which get all of it."""
    return softmax(answers) if answers.ndim == 2 else np.eye(classes)[answers]


def _below_zero(logits: NDArray[Any]) -> Floats:
    """The same up to a constant a row, so that no exponential is too large to be held."""
    wide = logits.astype(np.float64)
    return np.asarray(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))
