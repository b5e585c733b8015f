"""Whether both go by the same words: what each says less where a word is left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import edits as core_edits
from stillroom.core.edits import Edit, applied
from stillroom.core.redaction import redacted, veiled
from stillroom.intervals import Estimate, Interval, Sample, clopper_pearson, not_measurable, plain, quantile
from stillroom.metrics import Floats, ratio
from stillroom.probes import SIDES, Exhibit, Heard, MarkedText, Probe, Reading, Sitting, _reasons
from stillroom.probes._reasons import MEASURES
from stillroom.table import STUDENT, TEACHER

_LEFT_OUT, _REPLACED = "left out", "replaced"
_NEUTRAL = "_"
_FORMS = (_LEFT_OUT, _REPLACED)
#: Of fewer parts there is no order to speak of.
_FEWEST_PARTS = 5
#: Fewer rows have no mean that is worth an interval.
_FEWEST_ROWS = 30
#: Longer texts are no examples that anybody reads.
_READABLE = 600
_SHOWN = 3
_PAIR = ("spearman", "spearman_median", "top_k", "sign", "negative", "other_reasons", "over_ceiling")
_RANGES = {"spearman": (-1.0, 1.0), "top_k": (0.0, 1.0), "sign": (0.0, 1.0)}
_SILENT = "what is put out for this task has no number that a word could move"
_NAMED = "the teacher names labels and does not say how sure it is"


@final
@dataclass(frozen=True)
class _Asked:
    """A judged row, as a position among all judged ones, with the parts of its text and the edits that move them."""

    row: int
    text: str
    parts: tuple[tuple[int, int], ...]

    def edits(self, form: str) -> list[Edit]:
        """What is done to each part in turn."""
        change = _without if form == _LEFT_OUT else _replaced
        return [change(self.text, *part) for part in self.parts]

    def texts(self, form: str) -> list[str]:
        """The text with each part in turn so changed."""
        return [applied(self.text, [one]) for one in self.edits(form)]


@final
@dataclass(frozen=True)
class _Weighed:
    """What the parts of each row weigh, `[rows][parts]`, to a side and in a form that both are in the key."""

    asked: list[_Asked]
    weights: Mapping[tuple[str, str], list[Floats]]
    same: NDArray[np.bool_]
    """In which rows both name the same; no row where only one was asked."""
    shown: Mapping[str, list[str]]
    """What each side names, for people."""

    def pairs(self, one: tuple[str, str], other: tuple[str, str]) -> list[tuple[Floats, Floats]]:
        """Two, side by side."""
        return list(zip(self.weights[one], self.weights[other], strict=True))


@final
class Attribution(Probe):
    """Whether student and teacher go by the same words: what each says less of its answer where a word is left out.

    A word weighs what the log-odds of what was named fall by without it (of vectors: 1 − cosine), so both can be black
    boxes. Where both name the same: Spearman's ρ of their words, Jaccard index of the k heaviest, share of these with
    the same sign (Krishna et al. 2202.01602). Beside it chance, with one side's words shuffled, and as a ceiling what
    each side has in common with itself where words are replaced instead. Costs at most 2 × `rows` × `pieces` texts.
    """

    title: ClassVar[str] = "Reasons"
    lead: ClassVar[str] = (
        "Whether student and teacher go by the same words, seen by what each says less of its answer without a word."
    )

    kind: Literal["attribution"] = "attribution"
    rows: int = Field(60, ge=1)
    """How many of the audited rows, drawn by chance: each is asked about twice as often as it has parts."""
    pieces: int = Field(40, ge=5)
    """Into how many parts a text is cut at most; of a longer one, several neighbouring words are a part."""
    k: int = Field(3, ge=1)
    """How many of the heaviest words are compared."""
    show_texts: bool = False
    """Whether documents show the words of examples, all but addresses, numbers and words with a capital; else x's."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Agreement, chance and ceiling."""
        ceiling = (f"ceiling.{measure}.{side}" for measure in MEASURES for side in SIDES)
        return (*_PAIR, *(f"floor.{measure}" for measure in MEASURES), *ceiling)

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Each drawn text without each of its parts, and with a sign in its place."""
        if _barred(sitting):
            return []
        return [text for one in self._asked(sitting) for form in _FORMS for text in one.texts(form)]

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """What both have in common, what chance would give, and what each has in common with itself."""
        if reason := _barred(sitting):
            return self.nothing(reason)
        every = self._asked(sitting)
        weighed = _weighed(sitting, heard, every)
        within = _Figures(sitting, weighed, k=self.k)
        asked = TEACHER in heard.outputs
        pair = within.pair() if asked else within.unasked(heard.unasked)
        return {
            "rows": len(weighed.asked),
            "named_same": int(weighed.same.sum()),
            "k": self.k,
            "texts": sum(len(_FORMS) * len(one.parts) for one in every),
            **pair,
            "ceiling": within.ceiling(heard),
            "examples": self._examples(weighed) if asked else [],
        }

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        ceiling = {measure: dict.fromkeys(SIDES, unknown) for measure in MEASURES}
        counts = {"rows": 0, "named_same": 0, "k": self.k, "texts": 0}
        return {**counts, **dict.fromkeys(_PAIR, unknown), "floor": dict.fromkeys(MEASURES, unknown),
                "ceiling": ceiling, "examples": []}  # fmt: skip

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """What they have in common between chance and ceiling; then how often it is little."""
        k, same = int(found["k"]), int(found["named_same"])
        told = {"spearman": "rank correlation ρ", "top_k": f"{k} heaviest shared", "sign": "same sign"}
        head = (
            "of their words",
            "rows",
            "student and teacher",
            "by chance",
            "teacher and itself",
            "student and itself",
        )
        ranks, *shares = (
            (told[name], same, found[name], found["floor"][name], *(found["ceiling"][name][side] for side in SIDES))
            for name in MEASURES
        )
        none = ("–",) * 3
        note = (
            "A word weighs what the log-odds of the answer fall by without it. By chance: one side’s words shuffled. "
            "And itself: its words left out beside its words replaced by a sign, as alike as this can tell."
        )
        negative = ("rows with ρ below 0", same, found["negative"], *none)
        other = (
            f"same answer for other reasons: none of {k} shared, or ρ below 0",
            same,
            found["other_reasons"],
            *none,
        )
        median = ("the median ρ", same, found["spearman_median"], *none)
        return [
            Exhibit("Whether the words weigh alike, where both answer the same", head, (ranks, median), unit="signed"),
            Exhibit("The heaviest words, where both answer the same", head, (*shares, negative, other), note=note),
        ]

    @classmethod
    def marked(cls, found: Mapping[str, Any]) -> Sequence[MarkedText]:
        """Some texts in which they disagree, and some in which they agree for other reasons."""
        return [
            MarkedText(one["told"], tuple(one["parts"]), tuple(Reading(**reading) for reading in one["readings"]))
            for one in found["examples"]
        ]

    def _asked(self, sitting: Sitting) -> list[_Asked]:
        """The drawn rows whose texts have enough parts."""
        every = [_Asked(row, text, tuple(_parts(text, self.pieces))) for row, text in enumerate(sitting.texts)]
        long = [one for one in every if len(one.parts) >= _FEWEST_PARTS]
        rng = sitting.rng(self.kind, "drawn")
        drawn = rng.permutation(len(long))[: self.rows]
        return [long[at] for at in np.sort(drawn).tolist()]

    def _examples(self, weighed: _Weighed) -> list[dict[str, Any]]:
        """Those with least in common: where they disagree, and where they agree."""
        found = _reasons.table(weighed.pairs((TEACHER, _LEFT_OUT), (STUDENT, _LEFT_OUT)), k=self.k)
        other = weighed.same & _reasons.for_other_reasons(found)
        some = []
        for told, rows in (("They disagree", ~weighed.same), ("They agree for different reasons", other)):
            fit = [at for at in np.flatnonzero(rows).tolist() if len(weighed.asked[at].text) <= _READABLE]
            order = sorted(fit, key=lambda at: (np.nan_to_num(found[at, 0], nan=-1.0), at))
            some += [self._example(weighed, at, told) for at in order[:_SHOWN]]
        return some

    def _example(self, weighed: _Weighed, at: int, told: str) -> dict[str, Any]:
        """One of them, its words as they may be shown."""
        one = weighed.asked[at]
        readings = []
        for side in SIDES:
            weights = weighed.weights[side, _LEFT_OUT][at]
            scaled = weights / (np.abs(weights).max() or 1.0)
            readings.append({"side": side, "named": weighed.shown[side][at],
                             "weights": [plain(round(float(each), 3)) for each in scaled]})  # fmt: skip
        shown = (redacted if self.show_texts else veiled)(one.text)
        starts = [0, *(start for start, _ in one.parts[1:]), len(shown)]
        parts = [shown[start:end] for start, end in itertools.pairwise(starts)]
        return {"told": told, "parts": parts, "readings": readings}


@final
class _Figures:
    """What is measured of rows that were weighed, with the sitting's resamples."""

    def __init__(self, sitting: Sitting, weighed: _Weighed, *, k: int) -> None:
        self._sitting, self._weighed, self._k = sitting, weighed, k
        self._rows = np.array([one.row for one in weighed.asked], dtype=np.int64)
        self._needed = min(sitting.min_rows, _FEWEST_ROWS)

    def pair(self) -> dict[str, Any]:
        """Of both, where they name the same."""
        pairs = self._weighed.pairs((TEACHER, _LEFT_OUT), (STUDENT, _LEFT_OUT))
        found = _reasons.table(pairs, k=self._k)
        kept = self._weighed.same & np.isfinite(found).all(axis=1)
        found, pairs = found[kept], [pairs[at] for at in np.flatnonzero(kept).tolist()]
        rng = self._sitting.rng("attribution", "floor")
        tables = {"both": (found, kept), "floor": (_reasons.by_chance(pairs, k=self._k, rng=rng), kept),
                  "ceiling": self._with_itself(TEACHER)}  # fmt: skip
        known = self._estimates(tables)
        confidence, count = self._sitting.confidence, int(kept.sum())
        reason = self._few(count)
        told = {measure: self._told(known["both", measure], measure) for measure in MEASURES}
        over = known["both", "spearman"] / known["ceiling", "spearman"]
        further = {
            "spearman_median": quantile(found[:, 0], 0.5, confidence),
            "negative": clopper_pearson(int((found[:, 0] < 0).sum()), count, confidence),
            "other_reasons": clopper_pearson(int(_reasons.for_other_reasons(found).sum()), count, confidence),
            "over_ceiling": not_measurable(count, reason) if reason else over.interval(confidence),
        }
        floor = {measure: self._told(known["floor", measure], measure) for measure in MEASURES}
        every = {name: one.as_dict() for name, one in (told | further).items()}
        return {**{name: every[name] for name in _PAIR}, "floor": {name: one.as_dict() for name, one in floor.items()}}

    def unasked(self, reason: str) -> dict[str, Any]:
        """The same where there is one side alone."""
        unknown = not_measurable(len(self._rows), reason).as_dict()
        return {**dict.fromkeys(_PAIR, unknown), "floor": dict.fromkeys(MEASURES, unknown)}

    def ceiling(self, heard: Heard) -> dict[str, Any]:
        """Of each side and itself."""
        sides = [side for side in SIDES if side in heard.outputs]
        known = self._estimates({side: self._with_itself(side) for side in sides})
        return {
            measure: {
                side: (self._told(known[side, measure], measure) if side in sides
                       else not_measurable(len(self._rows), heard.unasked)).as_dict()
                for side in SIDES
            }
            for measure in MEASURES
        }  # fmt: skip

    def _with_itself(self, side: str) -> tuple[Floats, NDArray[np.bool_]]:
        found = _reasons.table(self._weighed.pairs((side, _LEFT_OUT), (side, _REPLACED)), k=self._k)
        kept = np.asarray(np.isfinite(found).all(axis=1), dtype=np.bool_)
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
        if reason := self._few(estimate.n):
            return not_measurable(estimate.n, reason)
        return estimate.interval(self._sitting.confidence, within=_RANGES[measure])

    def _few(self, count: int) -> str:
        if count >= self._needed:
            return ""
        return f"{count} rows with an answer and words that weigh differently; {self._needed} are needed"


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def _barred(sitting: Sitting) -> str:
    """Why nothing can be measured, whatever is asked."""
    form = sitting.task.form
    none = form.take(sitting.said[STUDENT], np.zeros(0, dtype=np.int64))
    if form.swayed(none, none, []) is None:
        return _SILENT
    return _NAMED if TEACHER in sitting.named else ""


def _parts(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Where the parts of a text begin and end: its words and signs, or as many runs of them as there may be."""
    words = core_edits.chunks(text)
    ends = np.linspace(0, len(words), min(most, len(words)) + 1).round().astype(int).tolist()
    for first, last in itertools.pairwise(ends):
        yield words[first].start, words[last - 1].end


def _without(text: str, start: int, end: int) -> Edit:
    """A part left out with the blank before it, or behind it at the beginning; what it parted stays parted."""
    before, after = (re.search(r"\s*$", text[:start]), re.match(r"\s*", text[end:]))
    first = start - len(before[0]) if before else start
    if first == 0:
        return Edit(0, end + (len(after[0]) if after else 0), "")
    joins = first == start and text[start - 1].isalnum() and text[end : end + 1].isalnum()
    return Edit(first, end, " " if joins else "")


def _replaced(text: str, start: int, end: int) -> Edit:
    """A sign in the place of a part, apart from what it touches."""
    before = " " if text[:start][-1:].isalnum() else ""
    return Edit(start, end, f"{before}{_NEUTRAL}{' ' if text[end : end + 1].isalnum() else ''}")


def _weighed(sitting: Sitting, heard: Heard, asked: Sequence[_Asked]) -> _Weighed:
    """What every part weighs to every side that was asked, in the rows that all of them answered in every form."""
    sides = [side for side in SIDES if side in heard.outputs]
    answered = [one for one in asked if all(heard.known(side, one.texts(form)).all() for side in sides
                                            for form in _FORMS)]  # fmt: skip
    weights = {(side, form): _weights(sitting, heard, answered, side, form) for side in sides for form in _FORMS}
    finite = [at for at in range(len(answered)) if all(np.isfinite(one[at]).all() for one in weights.values())]
    answered = [answered[at] for at in finite]
    rows = sitting.judged[[one.row for one in answered]]
    said = {side: sitting.task.form.take(sitting.said[side], rows) for side in sides}
    same = sitting.task.same(said[TEACHER], said[STUDENT]) if TEACHER in sides else np.zeros(len(rows), dtype=np.bool_)
    return _Weighed(answered, {key: [one[at] for at in finite] for key, one in weights.items()}, same,
                    {side: sitting.task.shown(said[side]) for side in sides})  # fmt: skip


def _weights(sitting: Sitting, heard: Heard, asked: Sequence[_Asked], side: str, form: str) -> list[Floats]:
    """What each part weighs to one side."""
    counts = [len(one.parts) for one in asked]
    rows = np.repeat(sitting.judged[[one.row for one in asked]], counts)
    texts = [text for one in asked for text in one.texts(form)]
    edits = [[edit] for one in asked for edit in one.edits(form)]
    said = sitting.task.form.take(sitting.said[side], rows)
    found = sitting.task.form.swayed(said, heard.of(side, texts), edits)
    if found is None:
        raise AssertionError("a side that says how sure it is was barred before")
    return np.split(found, np.cumsum(counts)[:-1]) if counts else []
