"""What changes in each side's answers where a text speaks of other people and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom import chance, intervals
from stillroom.core import languages
from stillroom.core.edits import applied
from stillroom.core.errors import Problem
from stillroom.intervals import Resamples, Sample, holm, not_measurable, plain
from stillroom.metrics import Answered, Floats, ratio
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Sitting
from stillroom.probes import _rates as rates
from stillroom.probes._people import AXES, Axis, Name
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task

FIGURES = {
    "flips": "Label changes where words are exchanged",
    "shift": "Probability of a favourable label, told of the second − told of the first",
    "score": "Score, told of the second − told of the first",
}
_FIGURES = (*SIDES, "growth")


@final
@dataclass(frozen=True)
class _Swapped:
    """The judged rows in which something can be exchanged, as positions among them, with their new texts and gold."""

    rows: NDArray[np.int64]
    texts: list[str]
    gold: list[Any]
    ways: NDArray[np.int64]
    """1: its words were of the first side, −1: of the second, 0: of both."""

    def only(self, known: NDArray[np.bool_]) -> _Swapped:
        """Some of them."""
        places = np.flatnonzero(known).tolist()
        return _Swapped(self.rows[places], [self.texts[at] for at in places], [self.gold[at] for at in places],
                        self.ways[places])  # fmt: skip


@final
@dataclass(frozen=True)
class _Compared:
    """What each row gave with words of the first side and of the second, for the sides that were asked."""

    one: Mapping[str, Sample]
    other: Mapping[str, Sample]
    within: float
    """How large the difference may be."""


@final
class Swaps(Probe):
    """What changes in each side's answers where a text speaks of other people and of nothing else.

    Words of test rows are exchanged for those of the other side of an axis, both ways: he and she, given names,
    nationalities, ages, religions, spelling. Gold stays what it was; rows in which nothing can be exchanged are not
    counted. `flips` is the share whose label changes. Of rows that have words of one side only, `shift` is the mean
    change of the probability of a favourable label and `score` that of the task's metric, told of the second side −
    told of the first: signed, so that chance alone is zero. `growth` is the student's − the teacher's, paired, with a
    p by turning pairs round (of flips: McNemar's), adjusted over axes and figures (Holm).

    The lists are English and small (`probes/_people.py`). `dialect` is spelling alone: rules that make other dialects
    out of standard English make caricatures.
    """

    title: ClassVar[str] = "Swaps"
    lead: ClassVar[str] = "What changes in the answers where a text speaks of other people and of nothing else."
    whole: ClassVar[bool] = True

    kind: Literal["swaps"] = "swaps"
    axes: tuple[Name, ...] = tuple(AXES)
    """What is exchanged; leave out an axis that the task is about."""
    favourable: tuple[str, ...] = ()
    """The labels that are good for whom they are given; none: the task's first."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Flips of all axes together; each figure of each axis."""
        under = [f"by.{axis}.{figure}" for axis in self.axes for figure in FIGURES]
        return tuple(f"{one}.{figure}" for one in ("flips", *under) for figure in _FIGURES)

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """Labels that the task does not have."""
        return rates.unknown(self.favourable, task, where=where)

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Test rows with words exchanged, so many of each axis at most."""
        english = languages.english(sitting.texts)
        return [text for name in self.axes for text in _swapped(sitting, AXES[name], english=english).texts]

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """Each axis, and flips of all together."""
        sides = [side for side in SIDES if side in heard.outputs]
        clean = {side: sitting.answered(side) for side in sides}
        good = rates.favourable(self.favourable, clean[STUDENT])
        by: dict[str, Any] = {}
        english = languages.english(sitting.texts)
        flipped = {side: np.zeros(len(sitting.judged), dtype=np.bool_) for side in sides}
        seen = np.zeros(len(sitting.judged), dtype=np.bool_)
        for name in self.axes:
            swapped = _swapped(sitting, AXES[name], english=english)
            swapped = swapped.only(np.logical_and.reduce([heard.known(side, swapped.texts) for side in sides]))
            new = {side: sitting.instead(side, swapped.rows, heard.of(side, swapped.texts), swapped.gold)
                   for side in sides}  # fmt: skip
            seen[swapped.rows] = True
            for side in sides:
                flipped[side] |= _changed(clean[side], new[side])
            by[name] = {"told": AXES[name].told, "one": AXES[name].one, "other": AXES[name].other,
                        "rows": len(swapped.rows), "one_way": int((swapped.ways != 0).sum()),
                        **_figures(sitting, heard, swapped, clean, new, good)}  # fmt: skip
        every = [
            one["growth"] for axis in by.values() for one in map(axis.__getitem__, FIGURES) if "p" in one["growth"]
        ]
        for one, adjusted in zip(every, holm([one["p"] for one in every]), strict=True):
            one["p_holm"] = plain(adjusted)
        whole = {side: one[seen] for side, one in flipped.items()}
        return {"metric": sitting.metric.kind, "rows": int(seen.sum()), "not_english": int((~english).sum()),
                "favourable": list(good), "flips": _flips(sitting, heard, whole, clean[STUDENT]), "by": by}  # fmt: skip

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every figure, not measurable."""
        whole = dict.fromkeys(_FIGURES, not_measurable(0, reason).as_dict())
        by = {name: {"told": AXES[name].told, "one": AXES[name].one, "other": AXES[name].other, "rows": 0,
                     "one_way": 0, **dict.fromkeys(FIGURES, whole)} for name in self.axes}  # fmt: skip
        return {"metric": None, "rows": 0, "not_english": 0, "favourable": [], "flips": whole, "by": by}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """A table a figure, a row an axis."""
        shown = []
        for name, caption in FIGURES.items():
            rows = [
                (f"{axis}: {one['one']} ↔ {one['other']}" if name == "flips" else
                 f"{axis}: {one['other']} − {one['one']}",
                 int(one["rows" if name == "flips" else "one_way"]), *(one[name][figure] for figure in _FIGURES),
                 "—" if one[name]["growth"].get("p_holm") is None else f"{one[name]['growth']['p_holm']:.3g}")
                for axis, one in found["by"].items()
            ]  # fmt: skip
            if name == "flips":
                whole = found["flips"]
                rows.append(("any of them", int(found["rows"]), *(whole[figure] for figure in _FIGURES),
                             "—" if whole["growth"].get("p") is None else f"p {whole['growth']['p']:.3g}"))  # fmt: skip
            note = f"Favourable: {', '.join(found['favourable'])}." if name == "shift" and found["favourable"] else ""
            note = f"The score is {found['metric']}." if name == "score" and found["metric"] else note
            if name == "flips" and found["not_english"]:
                note = f"{found['not_english']:,} rows are not English, and the lists of words are: these were let be."
            shown.append(Exhibit(caption, ("exchanged", "rows", "teacher", "student", "growth", "p (Holm)"),
                                 tuple(rows), unit="points", note=note))  # fmt: skip
        return shown


def _swapped(sitting: Sitting, axis: Axis, *, english: NDArray[np.bool_]) -> _Swapped:
    """The English rows in which words of an axis can be exchanged; of many, the first in an order that chance gives.

    Words of a list may be others elsewhere: of German texts, `man` would become `woman`.
    """
    found = {}
    for place in sitting.rng("swaps", axis.name).permutation(len(sitting.judged)).tolist():
        if not english[place]:
            continue
        row = int(sitting.judged[place])
        text = sitting.rows.texts[row]
        edits, way = axis.edits(text)
        moved = sitting.task.moved(sitting.gold[row], edits) if edits else None
        if moved is not None and (new := applied(text, edits)) != text:
            found[place] = new, moved, way
        if len(found) == sitting.most:
            break
    rows = sorted(found)
    return _Swapped(np.array(rows, dtype=np.int64), [found[row][0] for row in rows], [found[row][1] for row in rows],
                    np.array([found[row][2] for row in rows], dtype=np.int64))  # fmt: skip


def _changed(clean: Answered, new: Answered) -> NDArray[np.bool_]:
    """Of all judged rows, which are named otherwise now; none where a row has more or less than one label."""
    was, now = clean.chosen, new.chosen
    return np.zeros(len(new), dtype=np.bool_) if was is None or now is None else np.asarray(was[1] != now[1])


def _figures(
    sitting: Sitting,
    heard: Heard,
    swapped: _Swapped,
    clean: Mapping[str, Answered],
    new: Mapping[str, Answered],
    good: Sequence[str],
) -> dict[str, Any]:
    """Flips, shift and score of one axis."""
    changed = {side: _changed(clean[side], new[side])[swapped.rows] for side in clean}
    found = {"flips": _flips(sitting, heard, changed, clean[STUDENT])}
    one_way = swapped.only(swapped.ways != 0)
    for name, compared, needs in (
        ("shift", _shifted(one_way, clean, new, good), 0),
        ("score", _scored(sitting, one_way, clean, new), sitting.metric.min_rows),
    ):
        if isinstance(compared, str):
            found[name] = _unmeasured(len(one_way.rows), compared, heard)
        elif (count := len(compared.one[STUDENT].statistics)) < (needed := max(sitting.min_rows, needs)):
            found[name] = _unmeasured(count, _too_few(count, needed), heard)
        else:
            found[name] = _told(sitting, heard, compared)
    return found


def _flips(sitting: Sitting, heard: Heard, changed: Mapping[str, NDArray[np.bool_]], said: Answered) -> dict[str, Any]:
    """How often what is named changes, exactly; the growth by pairs in which it does for one side alone."""
    count = len(changed[STUDENT])
    if said.chosen is None:
        return _unmeasured(count, rates.ONE, heard)
    if count < sitting.min_rows:
        return _unmeasured(count, _too_few(count, sitting.min_rows), heard)
    found = {
        side: intervals.clopper_pearson(int(one.sum()), count, sitting.confidence).as_dict()
        for side, one in changed.items()
    }
    if TEACHER not in changed:
        return {TEACHER: not_measurable(count, heard.unasked).as_dict(), **found,
                "growth": not_measurable(count, heard.unasked).as_dict()}  # fmt: skip
    both = np.stack([changed[STUDENT], changed[TEACHER], np.ones(count)], axis=1)
    growth = intervals.bca(both, lambda sums: ratio(sums[..., 0] - sums[..., 1], sums[..., 2]),
                           resamples=sitting.resamples, confidence=sitting.confidence,
                           rng=sitting.rng("swaps", "flips"))  # fmt: skip
    only = [int((changed[a] & ~changed[b]).sum()) for a, b in ((STUDENT, TEACHER), (TEACHER, STUDENT))]
    return {**found, "growth": {**growth.as_dict(), "p": plain(intervals.mcnemar(*only))}}


def _shifted(
    swapped: _Swapped, clean: Mapping[str, Answered], new: Mapping[str, Answered], good: Sequence[str]
) -> _Compared | str:
    """How probable a favourable label is with words of each side; or why that can't be told."""
    if clean[STUDENT].chosen is None:
        return rates.ONE
    columns = [clean[STUDENT].labels.index(one) for one in good]
    tables: dict[str, list[Floats]] = {}
    for side in clean:
        tables[side] = []
        for one in (clean[side], new[side]):
            told = one.distributions()
            if told is None:
                return rates.MUTE
            own = told[1][:, columns].sum(axis=1)[swapped.rows]
            tables[side].append(np.stack([own, np.ones(len(own))], axis=1))
    return _sided(swapped.ways, tables, _mean, None, within=1.0)


def _scored(
    sitting: Sitting, swapped: _Swapped, clean: Mapping[str, Answered], new: Mapping[str, Answered]
) -> _Compared | str:
    """The metric with words of each side, on rows that it counts throughout; or why that can't be told."""
    metric = sitting.metric
    if not metric.exact:
        return f"a row alone has no score by {metric.kind}"
    tables = {side: [_along(sitting, one, swapped.rows) for one in (clean[side], new[side])] for side in clean}
    known = ~np.isnan(np.concatenate([one for pair in tables.values() for one in pair], axis=1)).any(axis=1)
    return _sided(swapped.ways, tables, metric.value, known, within=metric.high - metric.low)


def _along(sitting: Sitting, answered: Answered, rows: NDArray[np.int64]) -> Floats:
    """What the metric is made of, along some of the judged rows; NaN where it does not count one."""
    sample = sitting.sample(answered)
    found = np.full((len(sitting.judged), sample.statistics.shape[1]), np.nan)
    found[slice(None) if sample.members is None else sample.members] = sample.statistics
    return found[rows]


def _sided(
    ways: NDArray[np.int64],
    tables: Mapping[str, Sequence[Floats]],
    value: intervals.Value,
    known: NDArray[np.bool_] | None,
    *,
    within: float,
) -> _Compared:
    """Each row's pair, the words of the first side before those of the second."""
    kept = np.ones(len(ways), dtype=np.bool_) if known is None else known
    forth = (ways > 0)[:, None]
    pairs = {side: (np.where(forth, was, now)[kept], np.where(forth, now, was)[kept])
             for side, (was, now) in tables.items()}  # fmt: skip
    one, other = ({side: Sample(pair[at], value) for side, pair in pairs.items()} for at in (0, 1))
    return _Compared(one, other, within)


def _told(sitting: Sitting, heard: Heard, compared: _Compared) -> dict[str, Any]:
    """The difference for each side, and the growth."""
    count = len(compared.one[STUDENT].statistics)
    drawn = Resamples(count, count=sitting.resamples, rng=sitting.rng("swaps", "rows"))
    parts = {f"{side}/{at}": part[side] for at, part in enumerate((compared.one, compared.other)) for side in part}
    found = drawn.estimate(parts)
    gaps = {side: found[f"{side}/1"] - found[f"{side}/0"] for side in compared.one}
    far = compared.within
    told = {side: one.interval(sitting.confidence, within=(-far, far)).as_dict() for side, one in gaps.items()}
    if TEACHER not in gaps:
        unasked = not_measurable(count, heard.unasked).as_dict()
        return {TEACHER: unasked, **told, "growth": unasked}
    growth = (gaps[STUDENT] - gaps[TEACHER]).interval(sitting.confidence, within=(-2 * far, 2 * far)).as_dict()
    return {**told, "growth": {**growth, "p": plain(_turned(sitting, compared))}}


def _turned(sitting: Sitting, compared: _Compared) -> float:
    """How often chance alone gives as much growth, where each row's words might be of either side."""
    value, width = compared.one[STUDENT].value, compared.one[STUDENT].statistics.shape[1]
    one, other = (np.concatenate([part[side].statistics for side in (STUDENT, TEACHER)], axis=1)
                  for part in (compared.one, compared.other))  # fmt: skip

    def apart(first: Floats, second: Floats) -> Floats:
        student, teacher = (value(second[..., part]) - value(first[..., part])
                            for part in (slice(width), slice(width, None)))  # fmt: skip
        return np.asarray(student - teacher)

    return chance.turned(one, other, apart, count=sitting.resamples, rng=sitting.rng("swaps", "turned"))


def _unmeasured(rows: int, why: str, heard: Heard) -> dict[str, Any]:
    """No figure, and why; the teacher's own reason goes before."""
    told = {name: why if name == STUDENT else heard.unasked or why for name in _FIGURES}
    return {name: not_measurable(rows, one).as_dict() for name, one in told.items()}


def _too_few(count: int, needed: int) -> str:
    return intervals.too_few(count, needed, of="English rows in which they can be exchanged, with gold that stays")


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
