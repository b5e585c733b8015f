"""Logistic regression on how often words and pairs of words stand in a text, those that stand everywhere less."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import seeds
from stillroom.core.errors import InputError, Problem, missing_extra
from stillroom.floors import Floor

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.tasks import Task

#: Words of one letter count too: "I" and "a" carry something, and some scripts have little else.
_WORD = r"(?u)\w+"


@final
class TfIdf(Floor):
    """Logistic regression on TF-IDF of words and pairs of words: log-probabilities `[texts, classes]`.

    A class that it has no row of gets the share of half a row.
    """

    name: ClassVar[str] = "TF-IDF with logistic regression"

    kind: Literal["tf_idf"] = "tf_idf"

    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> NDArray[np.float32]:
        """Log-probabilities; rows without gold don't count."""
        found = task.gold(train["label"])
        rows = np.flatnonzero(task.known(found))
        if not len(rows):
            todo = "The floor is fitted on gold rows."
            raise InputError(Problem("train", "no row with a label", "at least one", todo))
        known = train["text"].take(rows).to_pylist()
        gold, least = found[rows], 0.5 / len(rows)
        shares = np.full((len(texts), len(task.outputs)), least)
        seen = np.unique(gold)
        if len(seen) == 1 or not len(texts):
            shares[:, seen] = 1.0
        else:
            shares[:, seen] = np.maximum(_fitted(known, gold, texts, seed=seed), least)
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
