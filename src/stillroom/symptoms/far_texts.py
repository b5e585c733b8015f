"""The texts that were learned from are not like those of the test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core.errors import missing_extra
from stillroom.symptoms import Case, Finding, Quiet, Seen, Symptom, _chance

_EACH = 1000
_FEWEST = 30
_TOLD_APART = 0.65
_BUCKETS = 1 << 14
_WORD = r"(?u)\w+"


@final
class FarTexts(Symptom):
    """The texts that were learned from are not like those of the test: a classifier tells them apart.

    Logistic regression on hashed words and pieces of words, fitted on one half of both sides and tested on the other
    (a classifier two-sample test, Lopez-Paz and Oquab 1610.06545). Its hits are held against a coin.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer", "evaluate"})
    threshold: ClassVar[str] = (
        "right on more held-out texts than a coin, and on 65 % at least: templates, and the twins that the corpus took "
        "out of one side, let it tell a little"
    )
    false_alarms: ClassVar[str] = "exact binomial test on the held-out half; at most the doctor's level"

    kind: Literal["far_texts"] = "far_texts"

    def look(self, case: Case) -> Iterator[Seen]:
        """Taught texts on one side, test texts on the other, labelled and unlabelled ones apart.

        One part that is like the test is enough: what else was learned from does no harm by being different. So it is
        the nearest part that counts, and its p-value is the one of "both are far" (an intersection–union test).
        """
        test = case.rows("test", ["id", "text"]).sort_by("id")["text"].to_pylist()
        parts = [case.said_of(part).sort_by("id")["text"].to_pylist() for part in ("train", "unlabelled")]
        sizes = [min(len(part), len(test), _EACH) for part in parts]
        if max(sizes) < _FEWEST:
            yield self.unseen(f"{max(sizes)} texts on one side; {_FEWEST} are needed")
            return
        compared = [told_apart(part[:size], test[:size]) for part, size in zip(parts, sizes, strict=True)
                    if size >= _FEWEST]  # fmt: skip
        hits, n = min(compared, key=lambda one: one[0] / one[1])
        p = _chance.at_least(hits, n, 0.5)
        if hits < _TOLD_APART * n:
            yield Quiet(p)
            return
        yield Finding(
            self.kind,
            "warning",
            f"A classifier tells test texts from those that were learned from on {hits / n:.1%} of {n:,} texts that it "
            "had not seen (a coin: 50 %).",
            "The transfer set is of another kind, language, length or time than the test.",
            "Add texts like those of the test to what the teacher is asked about (not the test texts themselves).",
            ("corpus.unlabelled", "corpus.train"),
            (
                case.fact("told apart", hits / n, "transfer", "shard-*.parquet: text"),
                case.fact("texts compared", n, "corpus", "test.parquet: text"),
            ),
            p,
        )


def told_apart(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """How many of the second half of both sides a classifier fitted on the first puts on the right side, and of how
    many. The sides are of one length.
    """
    try:
        from scipy.sparse import hstack
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by="doctor") from error
    texts = [*one, *other]
    side = np.repeat([0, 1], [len(one), len(other)])
    words = HashingVectorizer(n_features=_BUCKETS, ngram_range=(1, 2), token_pattern=_WORD)
    pieces = HashingVectorizer(n_features=_BUCKETS, analyzer="char_wb", ngram_range=(2, 4))
    features = hstack([words.transform(texts), pieces.transform(texts)]).tocsr()
    fitted = np.arange(len(texts)) % 2 == 0
    model = LogisticRegression(C=10.0, max_iter=200).fit(features[fitted], side[fitted])
    hits = model.predict(features[~fitted]) == side[~fitted]
    return int(hits.sum()), len(hits)
