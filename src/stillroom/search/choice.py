"""Which points are worth having, which one is chosen, and how much better it looks on dev for having been chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats, Metric

_RESAMPLES = 1000
_CLEARLY = 2.0  # standard errors of a difference beyond which we call it one


def frontier(figures: Floats) -> NDArray[np.bool_]:
    """Which rows of `[points, figures]`, all of them better when higher, no other row beats.

    A row beats another where it is nowhere worse and somewhere better; equal rows both stay.
    """
    nowhere_worse = (figures[:, None, :] >= figures[None, :, :]).all(axis=-1)
    somewhere_better = (figures[:, None, :] > figures[None, :, :]).any(axis=-1)
    return np.asarray(~(nowhere_worse & somewhere_better).any(axis=0))


@final
@dataclass(frozen=True)
class Chosen:
    """The place of the chosen point, its dev score as it looks, and as it is once choosing is paid for."""

    place: int
    score: float
    corrected: float
    low: float
    high: float

    @property
    def optimism(self) -> float:
        """By how much the score flatters."""
        return self.score - self.corrected


def choose(
    statistics: Sequence[Floats],
    prices: Sequence[float],
    *,
    metric: Metric,
    rng: np.random.Generator,
    resamples: int = _RESAMPLES,
) -> Chosen:
    """The best point on dev (of equally good ones the cheapest), and its score corrected for the choice.

    `statistics` are what the metric says of each dev row, `[rows, k]` a point, on the same rows. The correction
    resamples the rows, chooses again on each resample, and scores that choice on the rows that were not drawn
    (Tsamardinos, Greasidou and Borboudakis 2018): rows that chose nothing can't flatter. Its interval is the middle
    95 % of those scores, which rest on fewer rows than dev has, so it is on the wide side.
    """
    sign = 1.0 if metric.higher_is_better else -1.0
    scores = np.array([metric.value(one.sum(axis=0)) for one in statistics], dtype=np.float64)
    drawn = list(_resampled(statistics, metric=metric, rng=rng, resamples=resamples))
    inside, outside = np.array([one for one, _ in drawn]), np.array([one for _, one in drawn])
    place = _pick(sign * scores, prices)
    again = np.array([_pick(sign * one, prices) for one in inside])
    unseen = outside[np.arange(len(again)), again]
    low, high = np.nanquantile(unseen, (0.025, 0.975))
    return Chosen(place, float(scores[place]), float(np.nanmean(unseen)), float(low), float(high))


def clearly_better(one: Floats, other: Floats, *, metric: Metric, rng: np.random.Generator) -> bool:
    """Whether a system beats another on the same rows by more than the rows' chance."""
    sign = 1.0 if metric.higher_is_better else -1.0
    gap = sign * float(metric.value(one.sum(axis=0)) - metric.value(other.sum(axis=0)))
    if gap <= 0:
        return False
    scores = np.array([inside for inside, _ in _resampled((one, other), metric=metric, rng=rng, resamples=200)])
    return bool(gap > _CLEARLY * float(_noise(scores)[0, 1]))


def _resampled(
    statistics: Sequence[Floats], *, metric: Metric, rng: np.random.Generator, resamples: int
) -> Iterator[tuple[Floats, Floats]]:
    """Resample after resample: every point's score on the rows drawn, and on those that were not."""
    rows = len(statistics[0])
    for _ in range(resamples):
        times = np.bincount(rng.integers(rows, size=rows), minlength=rows).astype(np.float64)
        unseen = (times == 0).astype(np.float64)
        yield (
            np.array([metric.value(times @ one) for one in statistics]),
            np.array([metric.value(unseen @ one) for one in statistics]),
        )


def _noise(scores: Floats) -> Floats:
    """The standard error of the difference between each two points, from `[resamples, points]`."""
    return np.asarray(np.nan_to_num(np.nanstd(scores[:, :, None] - scores[:, None, :], axis=0)))


def _pick(scores: Floats, prices: Sequence[float]) -> int:
    """The best point; of equally good ones the cheapest. What is cheap enough is for the budget to say."""
    return max(range(len(scores)), key=lambda place: (scores[place], -prices[place], -place))
