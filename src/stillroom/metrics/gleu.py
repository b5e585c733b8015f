"""GLEU: the n-grams of a corrected text that references have, less those that it should have changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core import edits
from stillroom.metrics import Floats, Metric
from stillroom.metrics._corrections import Corrected

_ORDER = 4
_References = Sequence[Sequence[str]]


@final
class Gleu(Metric):
    """GLEU of corrected texts (Napoles et al. 2015, with the change of 2016), from 0 to 100.

    Words of a text are its chunks. Where there are several references it is the expectation over drawing one for each
    row: the published script draws five hundred times.
    """

    answers: ClassVar[str] = "corrections"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 100.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = (
        "100·min(1, exp(1 − r/c))·∏ₙ pₙ^¼, pₙ = max(0, Σ min(C, R) − Σ min(C, S∖R)) / n-grams of C, n ≤ 4"
    )
    reference: ClassVar[str] = "the authors' script (gec-ranking), written again from the paper"

    kind: Literal["gleu"] = "gleu"

    def rows(self, answers: Corrected) -> Floats:
        """Of each row, the mean over its references: lengths of both, and for each n what counts, and how many."""
        found = np.zeros((len(answers), 2 + 2 * _ORDER))
        for row, (text, written, some) in enumerate(zip(answers.sources, answers.written, answers.gold, strict=True)):
            source, candidate, *references = (_words(one) for one in (text, written, *(one.text for one in some)))
            found[row] = _mean(source, candidate, references)
        return found

    def value(self, sums: Floats) -> Floats:
        """GLEU; 0 where no n-gram of some length counts, NaN where there is no text."""
        hits, every = sums[..., 2 : 2 + _ORDER], sums[..., 2 + _ORDER :]
        good = (hits > 0).all(axis=-1) & (sums[..., 0] > 0)
        shares = np.log(np.where(hits > 0, hits, 1.0) / np.maximum(every, 1e-12)).mean(axis=-1)
        short = np.minimum(0.0, 1.0 - sums[..., 1] / np.maximum(sums[..., 0], 1e-12))
        found = np.where(good, 100.0 * np.exp(np.minimum(shares + short, 0.0)), 0.0)
        return np.asarray(np.where(sums[..., 1] > 0, found, np.nan))


def _words(text: str) -> list[str]:
    return [one.text for one in edits.chunks(text)]


def _mean(source: Sequence[str], candidate: Sequence[str], references: _References) -> Floats:
    found = np.zeros(2 + 2 * _ORDER)
    found[0], found[1] = len(candidate), np.mean([len(one) for one in references])
    for order in range(1, _ORDER + 1):
        own, before = _grams(candidate, order), _grams(source, order)
        found[1 + order] = np.mean([_counts(own, before, _grams(one, order)) for one in references])
        found[1 + _ORDER + order] = max(len(candidate) + 1 - order, 0)
    return found


def _counts(own: Counter[tuple[str, ...]], before: Counter[tuple[str, ...]], wanted: Counter[tuple[str, ...]]) -> int:
    unwanted = Counter({gram: count for gram, count in before.items() if gram not in wanted})
    return max(0, (own & wanted).total() - (own & unwanted).total())


def _grams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + order]) for at in range(len(words) + 1 - order))
