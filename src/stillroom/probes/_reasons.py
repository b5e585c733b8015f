"""How alike two are in what they go by: the parts of texts, each with how much it weighs to either side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import edits
from stillroom.core.redaction import redacted, veiled
from stillroom.intervals import Estimate, Interval, Sample, clopper_pearson, not_measurable, plain, quantile, too_few
from stillroom.metrics import Floats, ratio
from stillroom.probes import SECOND, SIDES, MarkedText, Probe, Reading, Sitting
from stillroom.table import STUDENT, TEACHER

MEASURES: Final = ("spearman", "top_k", "sign")
PAIR: Final = ("spearman", "spearman_median", "top_k", "sign", "negative", "other_reasons", "over_teachers")
#: The paths of what there is beside a pair.
BESIDE: Final = tuple(f"{part}.{measure}" for part in ("floor", "teachers") for measure in MEASURES)
_ONE_TEACHER = "one teacher; one that is fitted here can be fitted with two seeds: set evaluate.teachers = 2"
#: Of fewer parts there is no order to speak of.
FEWEST_PARTS: Final = 5
#: Fewer rows have no mean that is worth an interval.
_FEWEST_ROWS = 30
#: So often are the parts of a text shuffled to see what chance gives.
_SHUFFLES = 20
#: Longer texts are no examples that anybody reads.
_READABLE = 600
_SHOWN = 3
_RANGES = {"spearman": (-1.0, 1.0), "top_k": (0.0, 1.0), "sign": (0.0, 1.0)}


class Reasons(Probe):
    """What compares by which words two go, however it weighs these."""

    asks_second: ClassVar[bool] = True

    rows: int = Field(60, ge=1)
    """How many of the audited rows, drawn by chance. Half of them at least have to be answered the same by both."""
    k: int = Field(3, ge=1)
    """How many of the heaviest words are compared."""
    show_texts: bool = False
    """Whether documents show the words of examples, all but addresses, numbers and words with a capital; else x's."""

    @classmethod
    def marked(cls, found: Mapping[str, Any]) -> Sequence[MarkedText]:
        """Some texts in which they disagree, and some in which they agree for other reasons."""
        return marked(found["examples"])


@final
@dataclass(frozen=True)
class Parted:
    """A judged row, as a position among all judged ones, with where the parts of its text begin and end."""

    row: int
    text: str
    parts: tuple[tuple[int, int], ...]


@final
@dataclass(frozen=True)
class Weighed:
    """Some rows, and what each part of them weighs to each side that was asked."""

    rows: Sequence[Parted]
    weights: Mapping[str, Sequence[Floats]]
    """By side, `[rows][parts]`."""
    same: NDArray[np.bool_]
    """In which rows both name the same; no row where only one was asked."""
    shown: Mapping[str, Sequence[str]]
    """By side: what it names, for people."""
    again: Mapping[str, Sequence[Floats]] = field(default_factory=dict)
    """By side: what the parts weigh where they are looked at in another way."""
    teachers: NDArray[np.bool_] | None = None
    """In which rows the second teacher, whose `weights` are there too, names what the first does; None: there is no
    second."""

    def take(self, places: Sequence[int]) -> Weighed:
        """Some of the rows."""
        weights, again = (
            {side: [one[at] for at in places] for side, one in some.items()} for some in (self.weights, self.again)
        )
        shown = {side: [one[at] for at in places] for side, one in self.shown.items()}
        teachers = None if self.teachers is None else self.teachers[list(places)]
        return Weighed([self.rows[at] for at in places], weights, self.same[list(places)], shown, again, teachers)

    @property
    def both(self) -> list[tuple[Floats, Floats]]:
        """Teacher and student, side by side."""
        return list(zip(self.weights[TEACHER], self.weights[STUDENT], strict=True))


def parted(sitting: Sitting, *, rows: int, pieces: int) -> list[Parted]:
    """So many of the judged rows, drawn by chance among those whose texts have enough parts: the same for whoever asks.

    So what is seen from outside and what is seen inside are of the same texts.
    """
    every = [Parted(row, text, tuple(parts(text, pieces))) for row, text in enumerate(sitting.texts)]
    long = [one for one in every if len(one.parts) >= FEWEST_PARTS]
    return [long[at] for at in np.sort(sitting.rng("reasons").permutation(len(long))[:rows]).tolist()]


def parts(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Where the parts of a text begin and end: its words and signs, or as many runs of them as there may be."""
    words = edits.chunks(text)
    ends = np.linspace(0, len(words), min(most, len(words)) + 1).round().astype(int).tolist()
    for first, last in itertools.pairwise(ends):
        yield words[first].start, words[last - 1].end


def spearman(one: Floats, other: Floats) -> float:
    """Pearson's r of mid-ranks; NaN where one of the two never varies."""
    u, v = (_midranks(values) for values in (one, other))
    spread = float((u * u).sum() * (v * v).sum())
    return float((u * v).sum()) / spread**0.5 if spread > 0 else np.nan


def _midranks(values: Floats) -> Floats:
    """The place of each value, that of the mean taken off."""
    ordered = np.sort(values)
    both = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    places = np.asarray(sum(both) / 2)
    return np.asarray(places - places.mean())


def top(weights: Floats, k: int) -> list[int]:
    """The k parts that weigh most, for or against, heaviest first; those that weigh nothing are none of them."""
    order = np.argsort(-np.abs(weights), kind="stable")[:k]
    return [int(one) for one in order if weights[one]]


def alike(one: Floats, other: Floats, *, k: int) -> tuple[float, float, float]:
    """The `MEASURES` of one text: Spearman's ρ; the Jaccard index of the top k; the share of either's with one sign."""
    mine, theirs = set(top(one, k)), set(top(other, k))
    either = sorted(mine | theirs)
    if not either:
        return np.nan, np.nan, np.nan
    signs = np.sign(one[either]) == np.sign(other[either])
    return spearman(one, other), len(mine & theirs) / len(either), float(signs.mean())


def table(pairs: Sequence[tuple[Floats, Floats]], *, k: int) -> Floats:
    """The measures of some texts, `[texts, measures]`; NaN where to one of the two all parts weigh the same."""
    found = np.array([alike(one, other, k=k) for one, other in pairs], dtype=np.float64).reshape(-1, len(MEASURES))
    found[np.isnan(found).any(axis=1)] = np.nan
    return found


def by_chance(pairs: Sequence[tuple[Floats, Floats]], *, k: int, rng: np.random.Generator) -> Floats:
    """The same where the second's weights are dealt out anew: the mean of some deals for each text."""
    deals = [table([(one, rng.permutation(other)) for one, other in pairs], k=k) for _ in range(_SHUFFLES)]
    return np.asarray(np.mean(deals, axis=0)) if pairs else np.zeros((0, len(MEASURES)))


def for_other_reasons(found: Floats) -> NDArray[np.bool_]:
    """Where the parts that weigh most to one weigh little to the other: no part is in both tops, or ρ is below 0."""
    return np.asarray((found[:, 1] == 0) | (found[:, 0] < 0))


@final
class Figures:
    """What is measured of rows that were weighed, on a sitting's resamples."""

    def __init__(self, sitting: Sitting, weighed: Weighed, *, k: int) -> None:
        self._sitting, self._weighed, self._k = sitting, weighed, k
        self._rows = np.array([one.row for one in weighed.rows], dtype=np.int64)
        self._needed = min(sitting.min_rows, _FEWEST_ROWS)

    def pair(self, *, rng: np.random.Generator) -> dict[str, Any]:
        """Of both, where they name the same; what chance gives there; and its share of the teacher's ceiling."""
        found = table(self._weighed.both, k=self._k)
        kept = self._weighed.same & np.isfinite(found).all(axis=1)
        chance = by_chance([self._weighed.both[at] for at in np.flatnonzero(kept).tolist()], k=self._k, rng=rng)
        found, count = found[kept], int(kept.sum())
        tables = {"both": (found, kept), "floor": (chance, kept)}
        if self._weighed.again:
            tables["ceiling"] = self._with_itself(TEACHER)
        if self._weighed.teachers is not None:
            tables["teachers"] = self._of_teachers(self._weighed.teachers)
        known = self._estimates(tables)
        means, floor = (
            {measure: self._told(known[name, measure], measure) for measure in MEASURES} for name in ("both", "floor")
        )
        confidence = self._sitting.confidence
        shares = {"negative": found[:, 0] < 0, "other_reasons": for_other_reasons(found)}
        further = {name: clopper_pearson(int(hits.sum()), count, confidence) for name, hits in shares.items()}
        further["spearman_median"] = quantile(found[:, 0], 0.5, confidence)
        teachers = dict.fromkeys(MEASURES, not_measurable(0, _ONE_TEACHER))
        further["over_teachers"] = not_measurable(0, _ONE_TEACHER)
        if self._weighed.again:
            further["over_ceiling"] = self._over(known, "ceiling")
        if self._weighed.teachers is not None:
            teachers = {measure: self._told(known["teachers", measure], measure) for measure in MEASURES}
            further["over_teachers"] = self._over(known, "teachers")
        beside = {"floor": floor, "teachers": teachers}
        every = {name: one.as_dict() for name, one in (means | further).items()}
        return every | {part: {name: one.as_dict() for name, one in some.items()} for part, some in beside.items()}

    def _over(self, known: Mapping[tuple[str, str], Estimate], beside: str) -> Interval:
        """Which share of what is to be had they have in common."""
        counts = known["both", "spearman"].n, known[beside, "spearman"].n
        few = self._few(min(counts))
        over = known["both", "spearman"] / known[beside, "spearman"]
        return not_measurable(min(counts), few) if few else over.interval(self._sitting.confidence)

    def ceiling(self, *, unasked: str) -> dict[str, Any]:
        """Of each side and itself, looked at in the other way."""
        known = self._estimates({side: self._with_itself(side) for side in self._weighed.again})
        nothing = not_measurable(len(self._rows), unasked)
        return {
            measure: {
                side: (self._told(known[side, measure], measure) if (side, measure) in known else nothing).as_dict()
                for side in SIDES
            }
            for measure in MEASURES
        }

    def _with_itself(self, side: str) -> tuple[Floats, NDArray[np.bool_]]:
        both = zip(self._weighed.weights[side], self._weighed.again[side], strict=True)
        found = table(list(both), k=self._k)
        kept = np.asarray(np.isfinite(found).all(axis=1), dtype=np.bool_)
        return found[kept], kept

    def _of_teachers(self, same: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
        """Of the teacher and the second one, where these name the same."""
        both = zip(self._weighed.weights[TEACHER], self._weighed.weights[SECOND], strict=True)
        found = table(list(both), k=self._k)
        kept = np.asarray(same & np.isfinite(found).all(axis=1), dtype=np.bool_)
        return found[kept], kept

    def _estimates(self, tables: Mapping[str, tuple[Floats, NDArray[np.bool_]]]) -> dict[tuple[str, str], Estimate]:
        """The mean of each measure of each table, paired."""
        samples = {
            f"{name}/{measure}": Sample(np.stack([found[:, at], np.ones(len(found))], axis=1), _mean, self._rows[kept])
            for name, (found, kept) in tables.items()
            for at, measure in enumerate(MEASURES)
        }
        known = self._sitting.drawn().estimate(samples)
        return {(name, measure): known[f"{name}/{measure}"] for name in tables for measure in MEASURES}

    def _told(self, estimate: Estimate, measure: str) -> Interval:
        if few := self._few(estimate.n):
            return not_measurable(estimate.n, few)
        return estimate.interval(self._sitting.confidence, within=_RANGES[measure])

    def _few(self, count: int) -> str:
        if count >= self._needed:
            return ""
        return too_few(count, self._needed, of="rows with an answer and words that weigh differently")


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def examples(weighed: Weighed, *, k: int, show_texts: bool) -> list[dict[str, Any]]:
    """Those with least in common, where they disagree and where they agree for other reasons."""
    found = table(weighed.both, k=k)
    other = weighed.same & for_other_reasons(found)
    some = []
    for told, rows in (("They disagree", ~weighed.same), ("They agree for different reasons", other)):
        fit = [at for at in np.flatnonzero(rows).tolist() if len(weighed.rows[at].text) <= _READABLE]
        order = sorted(fit, key=lambda at: (np.nan_to_num(found[at, 0], nan=-1.0), at))
        some += [_example(weighed, at, told, show_texts=show_texts) for at in order[:_SHOWN]]
    return some


def _example(weighed: Weighed, at: int, told: str, *, show_texts: bool) -> dict[str, Any]:
    """One of them, its words as they may be shown."""
    one, readings = weighed.rows[at], []
    for side in SIDES:
        weights = weighed.weights[side][at]
        scaled = (weights / (np.abs(weights).max() or 1.0)).tolist()
        readings.append({"side": side, "named": weighed.shown[side][at], "weights": [plain(each) for each in scaled]})
    shown = (redacted if show_texts else veiled)(one.text)
    starts = [0, *(start for start, _ in one.parts[1:]), len(shown)]
    # The blank before a part is the part's, so that end to end they are the text.
    starts[1:-1] = [len(shown[:start].rstrip()) for start in starts[1:-1]]
    return {"told": told, "parts": [shown[a:b] for a, b in itertools.pairwise(starts)], "readings": readings}


def marked(found: Sequence[Mapping[str, Any]]) -> list[MarkedText]:
    """`examples`, for documents."""
    return [
        MarkedText(one["told"], tuple(one["parts"]), tuple(Reading(**reading) for reading in one["readings"]))
        for one in found
    ]
