"""How each side treats groups of people: whom it selects, where it errs, how sure it is, and what the student adds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom import chance, intervals
from stillroom.core import plugins
from stillroom.core.errors import Problem
from stillroom.intervals import Estimate, Interval, Resamples, holm, not_measurable, plain
from stillroom.metrics import Answered, Metric
from stillroom.probes import SIDES, Exhibit, Heard, Probe, Sitting
from stillroom.probes import _rates as rates
from stillroom.probes._rates import FIGURES, Figure
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task

_BESIDE = ("teacher_gap", "student_gap", "growth")
_ECE = "adaptive_ece"
#: A column with more values than this names rows rather than groups.
_MOST_GROUPS = 50
_NOBODY = "no group has enough rows to be set beside the rest"


@final
@dataclass(frozen=True)
class _Beside:
    """A group beside the rest in one figure: growth of its gap, its sum with the teacher's, and where p is to stand."""

    column: str
    figure: str
    group: str
    growth: Estimate
    both: Estimate
    p: float
    same_as: tuple[str, str, str]
    """Of the two groups of a column the second is the first again, and no second question."""
    told: dict[str, Any]


@final
class Groups(Probe):
    """How each side treats groups of people: whom it selects, where it errs, how sure it is, and what the student adds.

    For each group of each column: the score; the share that gets a favourable label (`selection_rate`), of those whose
    gold is favourable (`tpr`) and of the others (`fpr`); confidence − share right (`overconfidence`), and
    `adaptive_ece`. A gap is a group's figure − that of all other rows, with its sign; `growth` is the student's gap −
    the teacher's, with a paired bootstrap within groups and a p: groups are dealt to the rows anew. Holm's adjustment
    is over all groups and figures.

    `gap_growth` is the largest |student's gap| − |teacher's gap| of all, and its interval holds for all at once, so
    that it is not above zero because the largest was picked. An error of bins is larger in small groups, so that it has
    no gap; `overconfidence` has. Tasks without one label a row have the gap of their score.
    """

    title: ClassVar[str] = "Groups"
    lead: ClassVar[str] = "How groups of people fare with each side, and which differences the student has added."
    whole: ClassVar[bool] = True

    kind: Literal["groups"] = "groups"
    columns: tuple[str, ...] = Field(min_length=1)
    """The corpus's further columns that say to which group a row belongs; a row without a value is in none."""
    favourable: tuple[str, ...] = ()
    """The labels that are good for whom they are given; none: the task's first."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The largest growth of all, of each column, and of each figure there."""
        under = [f"by.{column}{figure}" for column in self.columns for figure in ("", *(f".{one}" for one in FIGURES))]
        return ("gap_growth", *(f"{one}.gap_growth" for one in under))

    def misfits(self, task: Task, *, where: str) -> list[Problem]:
        """Labels that the task does not have."""
        return rates.unknown(self.favourable, task, where=where)

    def texts(self, sitting: Sitting) -> Sequence[str]:
        """Nothing beyond the test."""
        return ()

    def measure(self, sitting: Sitting, heard: Heard) -> dict[str, Any]:
        """Each group of each column."""
        answers = {side: sitting.answered(side) for side in SIDES}
        good = rates.favourable(self.favourable, answers[STUDENT])
        figures = rates.figures(sitting, answers, good)
        unsaid = {name: why for name, why in rates.unsaid(sitting, answers).items() if name not in figures}
        by: dict[str, Any] = {}
        found: list[_Beside] = []
        for column in self.columns:
            by[column], more = self._column(sitting, answers, figures, unsaid, column)
            found += more
        unique = {one.same_as: one.p for one in found}
        adjusted = dict(zip(unique, holm(list(unique.values())), strict=True))
        for one in found:
            one.told.update(p=plain(one.p), p_holm=plain(adjusted[one.same_as]))
        for column, told in by.items():
            own = [one for one in found if one.column == column]
            told["gap_growth"] = _grown(own, sitting, told.get("reason") or _nobody(told["groups"], figures))
            for name in FIGURES:
                why = told.get("reason") or unsaid.get(name) or _nobody(told["groups"], [name])
                told[name] = {"gap_growth": _grown([one for one in own if one.figure == name], sitting, why)}
        every = [one for told in by.values() for one in told["groups"]]
        return {"metric": sitting.metric.kind, "rows": len(sitting.judged), "favourable": list(good),
                "gap_growth": _grown(found, sitting, _nobody(every, figures)), "by": by}  # fmt: skip

    def nothing(self, reason: str) -> dict[str, Any]:
        """Every growth, not measurable."""
        unknown = not_measurable(0, reason).as_dict()
        figures = {name: {"gap_growth": unknown} for name in FIGURES}
        by = {column: {"groups": [], "gap_growth": unknown, **figures} for column in self.columns}
        return {"metric": None, "rows": 0, "favourable": [], "gap_growth": unknown, "by": by}

    @classmethod
    def exhibits(cls, found: Mapping[str, Any]) -> Sequence[Exhibit]:
        """For each column what groups get, then how far each stands from the rest."""
        shown = []
        for column, told in ((column, told) for column, told in found["by"].items() if told["groups"]):
            levels, gaps = [], []
            for one in told["groups"]:
                for name, part in one["figures"].items():
                    words = _words(name, found["metric"])
                    levels.append((one["group"], words, part["n"], part["teacher"], part["student"]))
                    if name in FIGURES:
                        p = part["growth"].get("p_holm")
                        gaps.append((one["group"], words, *(part[name] for name in _BESIDE),
                                     "—" if p is None else f"{p:.3g}"))  # fmt: skip
            chosen = f"Favourable: {', '.join(found['favourable'])}." if found["favourable"] else ""
            shown += [
                Exhibit(f"What each {column} gets", ("group", "figure", "rows", "teacher", "student"), tuple(levels),
                        note=chosen),
                Exhibit(f"Each {column} beside all others",
                        ("group", "figure", "teacher’s gap", "student’s gap", "growth", "p (Holm)"), tuple(gaps),
                        unit="points", note="A gap is the group’s figure − that of all other rows."),
            ]  # fmt: skip
        whole = [("all columns", found["gap_growth"])]
        whole += [(column, told["gap_growth"]) for column, told in found["by"].items()]
        note = "Of the group and figure where it is largest. The intervals hold for all of them at once."
        return [Exhibit("Growth of the largest gap", ("column", "growth"), tuple(whole), unit="points", note=note),
                *shown]  # fmt: skip

    def _column(
        self,
        sitting: Sitting,
        answers: Mapping[str, Answered],
        figures: Mapping[str, Figure],
        unsaid: Mapping[str, str],
        column: str,
    ) -> tuple[dict[str, Any], list[_Beside]]:
        values = sitting.columns.get(column)
        names = sorted(set(values or ()) - {""})
        if values is None or not 1 < len(names) <= _MOST_GROUPS:
            why = ("the corpus has no such column: name it there too" if values is None else
                   f"{len(names)} groups; 2 to {_MOST_GROUPS} can be told apart")  # fmt: skip
            return {"groups": [], "reason": why}, []
        place = {name: number for number, name in enumerate(names)}
        codes = np.array([place.get(values[row], -1) for row in sitting.judged.tolist()], dtype=np.int64)
        drawn = Resamples(len(codes), count=sitting.resamples, rng=sitting.rng("groups", column), within=codes)
        groups: list[dict[str, Any]] = [
            {"group": name, "rows": int((codes == number).sum()), "figures": {}} for number, name in enumerate(names)
        ]
        found: list[_Beside] = []
        for name in FIGURES:
            if name not in figures:
                for number, one in enumerate(groups):
                    one["figures"][name] = _unmeasured(int((codes == number).sum()), unsaid[name])
                continue
            told, more = _measured(sitting, figures[name], codes, names, drawn, column=column)
            for one, part in zip(groups, told, strict=True):
                one["figures"][name] = part
            found += more
        for number, one in enumerate(groups):
            one["figures"][_ECE] = _binned(sitting, answers, np.flatnonzero(codes == number), one["group"])
        return {"groups": groups}, found


def _measured(
    sitting: Sitting, figure: Figure, codes: NDArray[np.int64], names: Sequence[str], drawn: Resamples, *, column: str
) -> tuple[list[dict[str, Any]], list[_Beside]]:
    """One figure of each group, and of those with enough rows how far they stand from the rest."""
    of = codes[figure.rows]
    counts = [int((of == number).sum()) for number in range(len(names))]
    others = [sum(counts) - count for count in counts]
    fine = [number for number, count in enumerate(counts) if count >= figure.needs]
    beside = [number for number in fine if others[number] >= figure.needs]
    samples = {f"{side}/own/{n}": figure.of(side, of == n) for n in fine for side in SIDES}
    samples |= {f"{side}/rest/{n}": figure.of(side, (of != n) & (of >= 0)) for n in beside for side in SIDES}
    found = drawn.estimate(samples)
    p = _dealt(sitting, figure, of, groups=len(names), column=column) if beside else []
    told = [
        _levels(figure, {side: found[f"{side}/own/{n}"] for side in SIDES}, sitting)
        if n in fine
        else _unmeasured(counts[n], _too_few(figure, counts[n], column, name))
        for n, name in enumerate(names)
    ]
    more = []
    for n in fine:
        if n not in beside:
            why = intervals.too_few(others[n], figure.needs, of="rows of all others")
            told[n] |= dict.fromkeys(_BESIDE, not_measurable(counts[n], why).as_dict())
            continue
        gaps = {side: found[f"{side}/own/{n}"] - found[f"{side}/rest/{n}"] for side in SIDES}
        told[n] |= _gaps(figure, gaps, sitting)
        # Of two groups, the second's question is the first's.
        first = beside[0] if len(names) == 2 else n
        more.append(_Beside(column, figure.name, names[n], gaps[STUDENT] - gaps[TEACHER], gaps[STUDENT] + gaps[TEACHER],
                            p[first], (column, figure.name, names[first]), told[n]["growth"]))  # fmt: skip
    return told, more


def _dealt(sitting: Sitting, figure: Figure, of: NDArray[np.int64], *, groups: int, column: str) -> list[float]:
    """The p of each group's growth."""
    inside = of >= 0
    found = chance.dealt(figure.both[inside], of[inside], figure.apart, count=sitting.resamples,
                         rng=sitting.rng("groups", column, figure.name))  # fmt: skip
    return [*found, *[1.0] * (groups - len(found))]


def _nobody(groups: Sequence[Mapping[str, Any]], names: Iterable[str]) -> str:
    """Why no group is set beside the rest, by the one that lacks least."""
    told = [one["figures"][name]["growth"] for one in groups for name in names]
    known = [(one["n"], one["reason"]) for one in told if one.get("reason")]
    return f"{_NOBODY}; of the largest: {max(known)[1]}" if known else _NOBODY


def _levels(figure: Figure, own: Mapping[str, Estimate], sitting: Sitting) -> dict[str, Any]:
    """What a group gets of each side: exact where it is a share of rows."""
    found: dict[str, Any] = {"n": own[STUDENT].n}
    for side, one in own.items():
        told = (
            intervals.clopper_pearson(round(one.value * one.n), one.n, sitting.confidence)
            if figure.exact
            else one.interval(sitting.confidence, within=figure.within)
        )
        found[side] = told.as_dict()
    return found


def _gaps(figure: Figure, gaps: Mapping[str, Estimate], sitting: Sitting) -> dict[str, Any]:
    """How far a group stands from the rest for each side, and how much farther for the student."""
    width = figure.within[1] - figure.within[0]
    told = {f"{side}_gap": (one, width) for side, one in gaps.items()}
    told["growth"] = (gaps[STUDENT] - gaps[TEACHER], 2 * width)
    return {name: one.interval(sitting.confidence, within=(-far, far)).as_dict() for name, (one, far) in told.items()}


def _grown(beside: Sequence[_Beside], sitting: Sitting, why: str) -> dict[str, Any]:
    """The largest |student's gap| − |teacher's gap|, with an interval that holds for all at once.

    Where d is the student's gap − the teacher's and s their sum, it is sgn(s d) · min(|s|, |d|). Both are smooth where
    an absolute value is not, so that intervals of all d and s together give one of it: its ends are at their corners.
    """
    if not beside:
        return not_measurable(len(sitting.judged), why).as_dict()
    ends = intervals.together([one for each in beside for one in (each.growth, each.both)], sitting.confidence)
    values, lows, highs = [], [], []
    for number, one in enumerate(beside):
        corners = [_more(s, d) for s, d in itertools.product(ends[2 * number + 1], ends[2 * number])]
        values.append(_more(one.both.value, one.growth.value))
        lows.append(min(corners))
        highs.append(max(corners))
    most = int(np.argmax(values))
    found = Interval(values[most], max(lows), max(highs), beside[most].growth.n).as_dict()
    return {**found, "column": beside[most].column, "figure": beside[most].figure, "group": beside[most].group,
            "p_holm": min((one.told["p_holm"] for one, more in zip(beside, values, strict=True) if more > 0),
                          default=1.0)}  # fmt: skip


def _more(both: float, growth: float) -> float:
    """How much larger in size one number is than another, from their sum and difference."""
    return float(np.sign(both * growth) * min(abs(both), abs(growth)))


def _binned(sitting: Sitting, answers: Mapping[str, Answered], rows: NDArray[np.int64], group: str) -> dict[str, Any]:
    """How far confidence and accuracy stand apart in a group, bin by bin."""
    metric: Metric = plugins.build("metrics", _ECE)
    needed = max(sitting.min_rows, metric.min_rows)
    if answers[STUDENT].chosen is None:
        return _unmeasured(len(rows), rates.ONE)
    if len(rows) < needed:
        return _unmeasured(len(rows), intervals.too_few(len(rows), needed, which=f" of “{group}”"))
    found: dict[str, Any] = {"n": len(rows)}
    for side, one in answers.items():
        if one.confidence is None:
            found[side] = not_measurable(len(rows), rates.MUTE).as_dict()
            continue
        told = intervals.bca(metric.rows(one.take(rows)), metric.value, resamples=sitting.resamples,
                             confidence=sitting.confidence, rng=sitting.rng("groups", _ECE))  # fmt: skip
        found[side] = told.as_dict()
    return found


def _unmeasured(rows: int, why: str) -> dict[str, Any]:
    return {"n": rows, **dict.fromkeys((*SIDES, *_BESIDE), not_measurable(rows, why).as_dict())}


def _too_few(figure: Figure, count: int, column: str, group: str) -> str:
    of = {"tpr": ", whose gold is favourable", "fpr": ", whose gold is not favourable"}.get(figure.name, "")
    return intervals.too_few(count, figure.needs, which=f" of {column} “{group}”{of}")


def _words(name: str, metric: str) -> str:
    return metric if name == "score" else FIGURES.get(name, "adaptive ECE")
