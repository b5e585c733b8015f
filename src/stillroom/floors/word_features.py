"""Logistic regression on what a word looks like and which words stand beside it, a word at a time."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from stillroom.core import seeds
from stillroom.core.errors import InputError, Problem, missing_extra
from stillroom.core.tagging import Tagged
from stillroom.core.words import Words
from stillroom.floors import Floor

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.tasks import Task

_WORD = re.compile(r"\w+|[^\w\s]")
_BITS = 18
_ALMOST = 1e-6  # the share of a tag that was never seen


@final
class WordFeatures(Floor):
    """Logistic regression on hashed features of a word and its neighbours: letters, ends, capitals, the words beside.

    It is fitted by stochastic gradient descent, tag against tag, and knows nothing of the tags that it gave before.
    """

    name: ClassVar[str] = "logistic regression on word features"

    kind: Literal["word_features"] = "word_features"

    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> Tagged:
        """Log-probabilities of the tags of each word, words being runs of letters and single signs."""
        gold = task.gold(train["label"])
        rows = np.flatnonzero(task.known(gold))
        if not len(rows):
            todo = "The floor is fitted on gold rows."
            raise InputError(Problem("train", "no row with spans", "at least one, if of none", todo))
        known = train["text"].take(rows).to_pylist()
        words, asked = _words(known), _words(texts)
        tags = task.place(gold[rows], words)
        shares = np.full((len(asked.tokens), len(task.outputs)), _ALMOST)
        seen = np.unique(tags)
        if len(seen) == 1:
            shares[:, seen] = 1.0
        elif len(shares):
            shares[:, seen] = np.maximum(_fitted(known, words, tags, texts, asked, seed=seed), _ALMOST)
        return Tagged(np.log(shares).astype(np.float32), asked.places, asked.counts)


def _words(texts: Sequence[str]) -> Words:
    """The words of each text; here the number of a word is its token's too."""
    found = [[match.span() for match in _WORD.finditer(text)] for text in texts]
    counts = np.array([len(one) for one in found], dtype=np.int64)
    places = np.array(list(itertools.chain.from_iterable(found)), dtype=np.int32).reshape(-1, 2)
    return Words(np.concatenate([np.zeros(0, np.int64), *(np.arange(one) for one in counts)]), places, counts)


def _fitted(
    known: Sequence[str], words: Words, tags: np.ndarray, texts: Sequence[str], asked: Words, *, seed: int
) -> np.ndarray:
    """The probabilities of the tags that occur, in ascending order."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.linear_model import SGDClassifier
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by="evaluate") from error
    hasher = FeatureHasher(n_features=1 << _BITS, input_type="string")
    model = SGDClassifier(
        loss="log_loss", alpha=1e-6, max_iter=12, random_state=seeds.derive(seed, "evaluate/baseline") % 2**32
    )
    with warnings.catch_warnings():
        # A floor that is not quite converged is still a floor.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(hasher.transform(_features(known, words)), tags)
    return np.asarray(model.predict_proba(hasher.transform(_features(texts, asked))))


def _features(texts: Sequence[str], words: Words) -> Iterator[list[str]]:
    for text, first, last in zip(texts, words.starts[:-1].tolist(), words.starts[1:].tolist(), strict=True):
        forms = [text[start:end] for start, end in words.places[first:last].tolist()]
        around = ["<", "<", *(form.lower() for form in forms), ">", ">"]
        for place, form in enumerate(forms):
            low = form.lower()
            shape = re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "0", re.sub(r"[^\W\d_]", _case, form)))
            beside = [f"{at - 2}={around[place + at]}" for at in (0, 1, 3, 4)]
            pairs = [f"-1|0={around[place + 1]}|{low}", f"0|1={low}|{around[place + 3]}"]
            ends = [f"{side}{size}={part}" for size in (2, 3, 4)
                    for side, part in (("^", low[:size]), ("$", low[-size:]))]  # fmt: skip
            yield [f"0={low}", f"shape={shape}", f"first={place == 0}", *beside, *pairs, *ends]


def _case(letter: re.Match[str]) -> str:
    return "X" if letter.group().isupper() else "x"
