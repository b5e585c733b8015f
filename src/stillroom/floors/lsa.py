"""Latent semantic analysis: counts of words, projected on what varies most in the texts at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import seeds
from stillroom.core.errors import missing_extra
from stillroom.floors import Floor

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.tasks import Task

#: As for `tf_idf`: words of one letter count too.
_WORD = r"(?u)\w+"
_TEXTS = 50_000


@final
class Lsa(Floor):
    """Latent semantic analysis (Deerwester et al. 1990): TF-IDF of words, projected by a truncated SVD.

    It is fitted to the texts that are learned from, the first 50,000 of them. Vectors `[texts, dimensions]` of length
    one; dimensions that the texts have no use for are zero, and so is all of a text without a known word.
    """

    name: ClassVar[str] = "TF-IDF with a truncated SVD"
    needs_gold: ClassVar[bool] = False

    kind: Literal["lsa"] = "lsa"

    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> NDArray[np.float32]:
        """Vectors of texts."""
        try:
            from sklearn.decomposition import TruncatedSVD
            from sklearn.feature_extraction.text import TfidfVectorizer
        except ImportError as error:
            raise missing_extra("train", package="scikit-learn", needed_by="evaluate") from error
        width = len(task.outputs)
        found = np.zeros((len(texts), width), dtype=np.float32)
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD, dtype=np.float32)
        known = train["text"].slice(0, _TEXTS).to_pylist()
        try:
            features = words.fit_transform(known)
        except ValueError:  # Not one word in any text.
            return found
        most = min(width, features.shape[1] - 1, features.shape[0] - 1)
        if most < 1 or not len(texts):
            return found
        chance = seeds.derive(seed, "evaluate/baseline") % 2**32
        projection = TruncatedSVD(n_components=most, random_state=chance).fit(features)
        vectors = projection.transform(words.transform(texts))
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        found[:, :most] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
        return found
