"""How far made texts are from real ones: what a student that never saw real text may be trusted with.

Three figures, each with its interval. How well a classifier tells the two apart, where a coin is right on half. How
often student and teacher agree on made texts and on real ones, and the difference: what made texts promise and real
ones don't keep. How sure the teacher is on both, since texts that mean nothing to it teach little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import intervals, power
from stillroom.core import recipe, seeds, two_samples
from stillroom.core.probabilities import softmax
from stillroom.intervals import Interval, not_measurable
from stillroom.metrics import Floats

#: Every figure, as gates and documents name it.
FIGURES = (
    "told_apart",
    *(f"{what}.{where}" for what in ("agreement", "confidence") for where in ("made", "real", "real_minus_made")),
)
_NO_REAL = "no real text to hold the made texts against: give the corpus a `real` source"


@final
@dataclass(frozen=True)
class Side:
    """Texts of one kind, with what teacher and student said of them: logits `[texts, labels]`."""

    ids: Sequence[str]
    texts: Sequence[str]
    teacher: NDArray[np.float32]
    student: NDArray[np.float32]

    def some(self, count: int) -> list[str]:
        """So many of the texts, as their ids have it: those are hashes, so that it is a sample."""
        order = sorted(range(len(self.ids)), key=self.ids.__getitem__)
        return [self.texts[place] for place in order[:count]]


def measure(made: Side, real: Side, *, names_labels_only: bool, settings: recipe.Evaluate, seed: int) -> dict[str, Any]:
    """Everything that is told of the gap, as JSON can hold it. What can't be told is null, with the reason."""
    level, said = settings.confidence, {"made": made, "real": real}
    apart = _told_apart(made, real, level)
    agreement = {name: _agreement(side, level) for name, side in said.items()}
    unsaid = "the teacher names a label and does not say how sure it is"
    confidence = {
        name: not_measurable(len(side.texts), unsaid)
        if names_labels_only
        else _confidence(side, settings, rng=seeds.generator(seed, f"evaluate/gap/{name}"))
        for name, side in said.items()
    }
    for both in (agreement, confidence):
        both["real_minus_made"] = intervals.apart(both["real"], both["made"])
    return {
        "texts": {name: len(side.texts) for name, side in said.items()},
        "told_apart": apart.as_dict(),
        "agreement": {name: one.as_dict() for name, one in agreement.items()},
        "confidence": {name: one.as_dict() for name, one in confidence.items()},
        "sentence": _sentence(apart, agreement["real_minus_made"], level=level),
    }


def _told_apart(made: Side, real: Side, level: float) -> Interval:
    size = min(len(made.texts), len(real.texts), two_samples.MOST)
    if not real.texts:
        return not_measurable(0, _NO_REAL)
    if size < two_samples.FEWEST:
        return not_measurable(size, intervals.too_few(size, two_samples.FEWEST, of="texts on one side"))
    hits, n = two_samples.told_apart(made.some(size), real.some(size), needed_by="evaluate")
    return intervals.clopper_pearson(hits, n, level)


def _agreement(side: Side, level: float) -> Interval:
    if not len(side.texts):
        return not_measurable(0, _NO_REAL)
    same = side.teacher.argmax(axis=1) == side.student.argmax(axis=1)
    return intervals.clopper_pearson(int(same.sum()), len(same), level)


def _confidence(side: Side, settings: recipe.Evaluate, *, rng: np.random.Generator) -> Interval:
    """The teacher's mean largest probability."""
    rows = len(side.texts)
    if not rows:
        return not_measurable(0, _NO_REAL)
    if rows < two_samples.FEWEST:
        return not_measurable(rows, intervals.too_few(rows, two_samples.FEWEST, of="texts"))
    sure = softmax(side.teacher).max(axis=1)

    def mean(sums: Floats) -> Floats:
        return np.asarray(sums[..., 0] / sums[..., 1])

    statistics = np.stack([sure, np.ones(rows)], axis=1)
    return intervals.bca(statistics, mean, resamples=settings.resamples, confidence=settings.confidence, rng=rng)


def _sentence(apart: Interval, difference: Interval, *, level: float) -> str:
    """The gap in words."""
    if apart.value is None and difference.value is None:
        return f"How far the made texts are from real ones is not measurable: {apart.reason}."
    told = []
    if apart.value is None:
        told.append(f"Whether made texts can be told from real ones is not measurable: {apart.reason}.")
    else:
        told.append(
            f"A classifier tells made texts from real ones on {apart.value:.1%} of {apart.n:,} texts that it had not "
            f"seen (a coin: 50 %; {100 * level:g} % interval {_percent(apart.low)} to {_percent(apart.high)})."
        )
    if difference.value is not None and difference.low is not None and difference.high is not None:
        ends = " to ".join(f"{100 * end:+.1f}".replace("-", "−") for end in (difference.low, difference.high))
        if difference.high < 0:
            start = "On real texts the student agrees less with its teacher than on made ones"
        elif difference.low > 0:
            start = "On real texts the student agrees more with its teacher than on made ones"
        else:
            start = "No difference is shown in how often it agrees with its teacher"
        value = f"{100 * difference.value:+.1f}".replace("-", "−")
        told.append(f"{start}: {value} points ({100 * level:g} % interval {ends}).")
        if difference.low <= 0 <= difference.high:
            told.append(power.difference(difference.value, difference.low, difference.high, confidence=level,
                                         n=difference.n, of="texts on each side"))  # fmt: skip
    return " ".join(told)


def _percent(end: float | None) -> str:
    return "" if end is None else f"{end:.1%}"
