"""How sure a figure is: bootstrap intervals for functions of sums, and exact ones for counts.

Systems are compared on the same rows, so everything here is paired: all figures of one `Resamples` see the same
resamples, and a difference or a ratio of two `Estimate`s is taken resample by resample.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import ModuleType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom import power
from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats, Metric, ratio

Value = Callable[[Floats], Floats]

#: Numbers in one block of weights or of left-out sums: 2 MB of them, near the processor …
_BLOCK = 2**18
#: … but no fewer resamples than this, so that a long table is not read anew for each.
_DRAWS = 16


@final
@dataclass(frozen=True)
class Interval:
    """A figure with the ends of its interval and the rows it rests on; all None, with the reason, if not measurable."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The interval as JSON can hold it, to seven significant digits."""
        ends = {name: plain(getattr(self, name)) for name in ("value", "low", "high")}
        return {**ends, "n": self.n, **({"reason": self.reason} if self.reason else {})}


def not_measurable(n: int, reason: str) -> Interval:
    """The interval of a figure that these rows can't tell."""
    return Interval(None, None, None, n, reason)


def too_few(count: int, needed: int, *, of: str = "rows", which: str = "") -> str:
    """Why so few make no figure, and how many more would make one."""
    return f"{count} {of}; {needed} {'is' if needed == 1 else 'are'} needed: {needed - count} more{which}"


def not_about(metric: Metric, which: str) -> str:
    """Why there is no figure where not one of the rows at hand is such as the metric is about."""
    return f"no row of {which} is what {metric.kind} is about"


NO_ROWS = too_few(0, 1)


def plain(number: float | None) -> float | None:
    """A number to seven significant digits: enough for any reader, and the same on machines that add up otherwise."""
    return None if number is None else float(f"{number:.7g}")


@final
@dataclass(frozen=True)
class Estimate:
    """A figure as the rows give it, as each resample of them gives it, and as they give it with each row left out.

    Two estimates of the same `Resamples` may be subtracted or divided: the result keeps their pairing.
    """

    value: float
    resampled: Floats
    left_out: Floats
    n: int

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.value - other.value, self.resampled - other.resampled, self.left_out - other.left_out, self.n
        )

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.value + other.value, self.resampled + other.resampled, self.left_out + other.left_out, self.n
        )

    def __truediv__(self, other: Estimate) -> Estimate:
        value = ratio(np.asarray(self.value), np.asarray(other.value))
        resampled, left_out = ratio(self.resampled, other.resampled), ratio(self.left_out, other.left_out)
        return Estimate(float(value), resampled, left_out, self.n)

    def interval(self, confidence: float, *, within: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
        """The bias-corrected and accelerated interval (Efron 1987), cut to the figure's range `within`.

        Resamples in which the figure is not defined (a ratio to zero) are left out, up to one in a hundred. Where the
        bias is so large that an end would be a quantile that so many resamples can't show, the `careful` one instead.
        """
        return self._told(confidence, within, careful=False)

    def careful(self, confidence: float, *, within: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
        """The hull of the percentile interval and of its mirror image about the figure.

        For figures that are biased and not smooth, such as a minimum: a resample repeats the bias of the sample, so
        that the percentile interval errs to one side and its mirror image to the other.
        """
        return self._told(confidence, within, careful=True)

    def _told(self, confidence: float, within: tuple[float, float], *, careful: bool) -> Interval:
        defined = self.resampled[np.isfinite(self.resampled)]
        if not math.isfinite(self.value):
            return not_measurable(self.n, power.divided_by_zero(self.n))
        unknown = 1 - len(defined) / len(self.resampled)
        if unknown > power.UNDEFINED or not np.isfinite(self.left_out).all():
            return not_measurable(self.n, power.undefined(unknown, n=self.n))
        # Sums of floating-point numbers make equal figures differ in the last digits.
        near = np.isclose(defined, self.value, rtol=1e-12, atol=1e-14)
        if near.all():
            return Interval(self.value, self.value, self.value, self.n)
        below = float((defined[~near] < self.value).sum() + near.sum() / 2) / len(defined)
        ends = None if careful else _bca(below, self.left_out, confidence=confidence, resamples=len(defined))
        if ends is None:
            low, high = _hull(defined, self.value, confidence)
        else:
            low, high = np.quantile(defined, ends).tolist()
        return Interval(self.value, max(low, within[0]), min(high, within[1]), self.n)


def _bca(below: float, left_out: Floats, *, confidence: float, resamples: int) -> tuple[float, float] | None:
    """Which quantiles of the resampled figures are the ends, or None where so many resamples can't show them.

    z₀ = Φ⁻¹(share below the figure, ties half), a = Σd³ / (6 (Σd²)^(3/2)) with d the jackknife's mean minus its values;
    an end is at Φ(z₀ + (z₀ + z) / (1 − a (z₀ + z))), z the normal quantile of the plain end.
    """
    if not 0.0 < below < 1.0:
        return None
    normal = NormalDist()
    differences = left_out.mean() - left_out
    spread = float(np.square(differences).sum())
    # A figure that no single row moves (or only by rounding) has no acceleration.
    moves = spread > 1e-24 * max(1.0, float(np.square(left_out).sum()))
    acceleration = float((differences**3).sum()) / (6 * spread**1.5) if moves else 0.0
    z0 = normal.inv_cdf(below)
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        shifted = z0 + normal.inv_cdf(tail)
        if acceleration * shifted >= 1:
            return None
        ends.append(normal.cdf(z0 + shifted / (1 - acceleration * shifted)))
    return (ends[0], ends[1]) if min(ends) > 1 / resamples and max(ends) < 1 - 1 / resamples else None


def _hull(resampled: Floats, value: float, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2]).tolist()
    return min(low, 2 * value - high), max(high, 2 * value - low)


def least(estimates: Sequence[Estimate]) -> Estimate:
    """The smallest of several paired estimates, taken anew in every resample; its rows are those of the smallest."""
    lowest = min(estimates, key=lambda estimate: estimate.value)
    return Estimate(
        lowest.value,
        np.minimum.reduce([estimate.resampled for estimate in estimates]),
        np.minimum.reduce([estimate.left_out for estimate in estimates]),
        lowest.n,
    )


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of paired estimates, taken anew in every resample; its rows are those of the one with most."""
    return Estimate(
        float(np.mean([one.value for one in estimates])),
        np.mean([one.resampled for one in estimates], axis=0),
        np.mean([one.left_out for one in estimates], axis=0),
        max(one.n for one in estimates),
    )


def together(estimates: Sequence[Estimate], confidence: float) -> list[tuple[float, float]]:
    """The ends of intervals of several paired figures that hold for all of them at once.

    Each reaches so many of its standard errors to both sides as the figure that is farthest off is in a resample, of
    which that is a quantile (the studentised maximum; Romano and Wolf 2005). A figure that no resample moves is its
    own end.
    """
    values = np.array([one.value for one in estimates])
    resampled = np.array([one.resampled for one in estimates])
    spread = np.nanstd(resampled, axis=1)
    moves = spread > 1e-12 * np.maximum(1.0, np.abs(values))
    if not moves.any():
        return [(one, one) for one in values.tolist()]
    off = np.abs(resampled[moves] - values[moves, None]) / spread[moves, None]
    # A figure that is not defined in a resample says nothing of it.
    reach = float(np.quantile(np.fmax.reduce(off, axis=0, initial=0.0), confidence)) * np.where(moves, spread, 0.0)
    return list(zip((values - reach).tolist(), (values + reach).tolist(), strict=True))


@final
@dataclass(frozen=True)
class Sample:
    """What one figure is made of: statistics of rows, `[members, k]`, and the function of their sums.

    `members` are the positions of its rows among all that are resampled; None stands for all of them.
    """

    statistics: Floats
    value: Value
    members: NDArray[np.int64] | None = None


@final
class Resamples:
    """Draws of as many rows as there are, with replacement: the same ones for every figure that is asked of it.

    `within`: the group of each row; each group's rows are drawn among themselves, so that its size stays what it is.
    """

    def __init__(
        self, rows: int, *, count: int, rng: np.random.Generator, within: NDArray[np.int64] | None = None
    ) -> None:
        # Each pass starts from a copy, so that figures of different passes are paired too.
        self._rows, self._count, self._rng = rows, count, copy.deepcopy(rng)
        self._places: NDArray[np.int64] | None = None
        self._ends: tuple[Any, Any] = (0, rows)
        if within is not None:
            ordered = np.argsort(within, kind="stable")
            _, places, counts = np.unique(within[ordered], return_index=True, return_counts=True)
            self._places = np.argsort(ordered, kind="stable")
            self._ends = (np.repeat(places, counts), np.repeat(places + counts, counts))

    def estimate(self, samples: Mapping[str, Sample]) -> dict[str, Estimate]:
        """Every figure on the same resamples, in one pass over them. Memory: a block of weights beside the results."""
        if not samples:
            return {}
        resampled = {name: np.empty(self._count) for name in samples}
        start = 0
        for weights in self._weights():
            stop = start + len(weights)
            for name, sample in samples.items():
                drawn = weights if sample.members is None else weights[:, sample.members]
                resampled[name][start:stop] = sample.value(drawn @ sample.statistics)
            start = stop
        return {name: self._estimate(sample, resampled[name]) for name, sample in samples.items()}

    def _weights(self) -> Iterator[Floats]:
        """How often each row is drawn, `[block, rows]`, block after block."""
        rng, rows = copy.deepcopy(self._rng), self._rows
        block = max(_DRAWS, _BLOCK // rows)
        for start in range(0, self._count, block):
            size = min(block, self._count - start)
            drawn = rng.integers(*self._ends, (size, rows), dtype=np.int32).astype(np.int64)
            drawn += np.arange(size)[:, None] * rows
            weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)
            yield weights if self._places is None else weights[:, self._places]

    def _estimate(self, sample: Sample, resampled: Floats) -> Estimate:
        statistics = sample.statistics
        total = statistics.sum(axis=0)
        value = float(sample.value(total))
        left_out = np.full(self._rows, value)
        block = max(1, _BLOCK // statistics.shape[1])
        for start in range(0, len(statistics), block):
            part = slice(start, start + block)
            places = part if sample.members is None else sample.members[part]
            left_out[places] = sample.value(total - statistics[part])
        return Estimate(value, resampled, left_out, len(statistics))


def bca(statistics: Floats, value: Value, *, resamples: int, confidence: float, rng: np.random.Generator) -> Interval:
    """The interval of one figure that is a function of sums over rows; a pair's statistics stand side by side."""
    drawn = Resamples(len(statistics), count=resamples, rng=rng)
    return drawn.estimate({"figure": Sample(statistics, value)})["figure"].interval(confidence)


def score(metric: Metric, estimate: Estimate, *, confidence: float) -> Interval:
    """The interval of one system's metric: exact for a share of rows, from the resamples for anything else."""
    if metric.share_of_rows:
        return clopper_pearson(round(estimate.value * estimate.n), estimate.n, confidence)
    return estimate.interval(confidence, within=(metric.low, metric.high))


def clopper_pearson(hits: int, n: int, confidence: float) -> Interval:
    """The exact interval of a share (Clopper and Pearson 1934): never too narrow, also where nothing was found."""
    if n == 0:
        return not_measurable(0, NO_ROWS)
    quantile, tail = _special().betaincinv, (1 - confidence) / 2
    low = float(quantile(hits, n - hits + 1, tail)) if hits else 0.0
    high = float(quantile(hits + 1, n - hits, 1 - tail)) if hits < n else 1.0
    return Interval(hits / n, low, high, n)


def quantile(values: Floats, share: float, confidence: float) -> Interval:
    """A quantile with the interval that holds for any distribution: between two values, by their ranks.

    How many values lie below the true quantile is binomial; the ends are the ranks that leave out no more than half of
    the rest on each side. Where no value is large or small enough to be an end, these rows can't tell.
    """
    n = len(values)
    if n == 0:
        return not_measurable(0, NO_ROWS)
    tail, count = (1 - confidence) / 2, _stats().binom(n, share)
    low, high = int(count.ppf(tail)), int(count.ppf(1 - tail)) + 1
    if low < 1 or high > n:
        # An end is there once fewer than the tail of all samples have every value on one side of the quantile.
        needed = max(math.floor(math.log(tail) / math.log(1 - share)) + 1, math.ceil(math.log(tail) / math.log(share)))
        return not_measurable(n, too_few(n, needed, of=f"rows to bound the share of {share:g} on both sides"))
    ranked = np.sort(values)
    found = ranked[min(n, math.ceil(share * n)) - 1]
    return Interval(float(found), float(ranked[low - 1]), float(ranked[high - 1]), n)


def deviation(values: Floats, confidence: float) -> Interval:
    """The standard deviation of a few values, as of a normal law: s √((n − 1) / χ²), χ² the quantile of each end."""
    n = len(values)
    if n < 2:
        return not_measurable(n, too_few(n, 2, of="values"))
    tail, law = (1 - confidence) / 2, _stats().chi2(n - 1)
    spread = float(np.std(values, ddof=1))
    low, high = (spread * math.sqrt((n - 1) / float(law.ppf(share))) for share in (1 - tail, tail))
    return Interval(spread, low, high, n)


def apart(one: Interval, other: Interval) -> Interval:
    """The difference of two figures that rest on different rows, from the interval of each; `n` is of the fewer rows.

    With d = a − b and intervals (l, u): d − √((a − l_a)² + (u_b − b)²) to d + √((u_a − a)² + (b − l_b)²), which is
    Newcombe's (1998) square-and-add rule, for any figures (Zou and Donner 2008).
    """
    for part in (one, other):
        if part.value is None or part.low is None or part.high is None:
            return not_measurable(min(one.n, other.n), part.reason or "one of the two has no interval")
    a, b = one.value or 0.0, other.value or 0.0
    below = math.hypot(a - (one.low or 0.0), (other.high or 0.0) - b)
    above = math.hypot((one.high or 0.0) - a, b - (other.low or 0.0))
    return Interval(a - b, a - b - below, a - b + above, min(one.n, other.n))


def mcnemar(b: int, c: int) -> float:
    """The exact p of two systems that are right on different rows: `b` only the one, `c` only the other.

    p = min(1, 2 Σ_{k ≤ min(b, c)} C(b + c, k) 2^−(b + c)).
    """
    if b == c:
        return 1.0
    fewer, more = min(b, c), max(b, c)
    # The binomial distribution function at one half, as an incomplete beta function: no sum over thousands of terms.
    return min(1.0, 2.0 * float(_special().betainc(more, fewer + 1, 0.5)))


def more_often(hits: NDArray[np.bool_], inside: NDArray[np.bool_]) -> float:
    """The exact p of hits being no more frequent in a part of the rows than in the others (Fisher, one-sided).

    p = Σ_{k ≥ hits inside} C(K, k) C(n − K, m − k) / C(n, m), of n rows with K hits, m of them inside.
    """
    rows, all_hits, size = len(hits), int(hits.sum()), int(inside.sum())
    found = int((hits & inside).sum())
    return float(min(1.0, _stats().hypergeom.sf(found - 1, rows, all_hits, size)))


def holm(p: Sequence[float]) -> list[float]:
    """P-values adjusted for there being several (Holm 1979): each may then be held to the level by itself."""
    adjusted = [0.0] * len(p)
    reached = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        reached = max(reached, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = reached
    return adjusted


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """P-values adjusted: of what is found at a level, so large a share is false (Benjamini and Hochberg 1995)."""
    order = sorted(range(len(p)), key=p.__getitem__)
    adjusted = [0.0] * len(p)
    reached = 1.0
    for rank in range(len(p), 0, -1):
        place = order[rank - 1]
        reached = min(reached, p[place] * len(p) / rank)
        adjusted[place] = reached
    return adjusted


def _stats() -> Any:
    """Distributions, loaded when used."""
    try:
        from scipy import stats
    except ImportError as error:
        raise missing_extra("train", package="scipy", needed_by="evaluate") from error
    return stats


def _special() -> ModuleType:
    """Beta functions, loaded when used."""
    try:
        from scipy import special
    except ImportError as error:
        raise missing_extra("train", package="scipy", needed_by="evaluate") from error
    found: ModuleType = special
    return found
