"""Whether two samples of texts come from one source, as far as a classifier can tell.

Where it can't tell better than a coin, nothing that counting words and pieces of words sees sets them apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stillroom.core.errors import missing_extra

#: Texts of each side, at most and at least: more tell little, and fewer nothing.
MOST, FEWEST = 1000, 30
_BUCKETS = 1 << 14
_WORD = r"(?u)\w+"


def told_apart(one: Sequence[str], other: Sequence[str], *, needed_by: str) -> tuple[int, int]:
    """How many of the second half of both sides a classifier fitted on the first puts on the right side, and of how
    many (a classifier two-sample test, Lopez-Paz and Oquab 1610.06545). The sides are of one length.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by=needed_by) from error
    texts = [*one, *other]
    side = np.repeat([0, 1], [len(one), len(other)])
    words = HashingVectorizer(n_features=_BUCKETS, ngram_range=(1, 2), token_pattern=_WORD)
    pieces = HashingVectorizer(n_features=_BUCKETS, analyzer="char_wb", ngram_range=(2, 4))
    features = hstack([words.transform(texts), pieces.transform(texts)]).tocsr()
    fitted = np.arange(len(texts)) % 2 == 0
    model = LogisticRegression(C=10.0, max_iter=200).fit(features[fitted], side[fitted])
    hits = model.predict(features[~fitted]) == side[~fitted]
    return int(hits.sum()), len(hits)
