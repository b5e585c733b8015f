"""The floor: what counting words gets, for next to nothing. A student under it was not worth distilling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillroom.core import seeds
from stillroom.core.errors import InputError, Problem, missing_extra

NAME = "TF-IDF with logistic regression"

#: Words of one letter count too: "I" and "a" carry something, and some scripts have little else.
_WORD = r"(?u)\w+"


def baseline(train: pa.Table, texts: Sequence[str], *, classes: int, seed: int) -> NDArray[np.float32]:
    """Log-probabilities, `[texts, classes]`, of a logistic regression on TF-IDF of words and word pairs.

    `train` has the columns text and label (a position; null or negative where there is no gold: such rows don't count).
    A class that it has no row of gets the share of half a row.

    Raises:
        InputError: no row has gold.
        MissingExtra: scikit-learn is not installed.
    """
    known = [
        (text, label)
        for text, label in zip(train["text"].to_pylist(), train["label"].to_pylist(), strict=True)
        if label is not None and label >= 0
    ]
    if not known:
        raise InputError(
            Problem("train", "no row with a label", "at least one", "The baseline is fitted on gold rows.")
        )
    gold = np.array([label for _, label in known], dtype=np.int64)
    floor = 0.5 / len(known)
    shares = np.full((len(texts), classes), floor)
    seen = np.unique(gold)
    if len(seen) == 1 or not len(texts):
        shares[:, seen] = 1.0
    else:
        fitted = _fitted([text for text, _ in known], gold, texts, seed=seed)
        shares[:, seen] = np.maximum(fitted, floor)
    return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True)), dtype=np.float32)


def _fitted(known: Sequence[str], gold: NDArray[np.int64], texts: Sequence[str], *, seed: int) -> NDArray[np.float64]:
    """The probabilities of the classes that occur in `gold`, in ascending order."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by="evaluate") from error
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD)
    try:
        features = words.fit_transform(known)
    except ValueError:  # Not one word in any text: only how frequent each class is can be learned.
        return np.tile(np.unique(gold, return_counts=True)[1] / len(gold), (len(texts), 1))
    model = LogisticRegression(C=10.0, max_iter=300, random_state=seeds.derive(seed, "evaluate/baseline") % 2**32)
    with warnings.catch_warnings():
        # A floor that is not quite converged is still a floor.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, gold)
    return np.asarray(model.predict_proba(words.transform(texts)), dtype=np.float64)
