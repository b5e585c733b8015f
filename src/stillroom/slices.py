"""Where a student forgot: the same comparison on parts of the rows, and how bad the worst part is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
from numpy.typing import NDArray

from stillroom import columns, intervals
from stillroom.core import plugins, recipe
from stillroom.intervals import Estimate, Interval, Resamples, Sample, not_measurable
from stillroom.metrics import Answered, Floats, Metric, Narrow
from stillroom.table import STUDENT, TEACHER, Table

if TYPE_CHECKING:
    from stillroom.aspects import Aspect

_FIFTHS = (0.2, 0.4, 0.6, 0.8)
_NEITHER = "its answers are neither right nor wrong"

Rows = NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Slice:
    """A part of the rows: what it was cut by, its name, and the positions of its rows in the table."""

    family: str
    name: str
    members: Rows
    narrow: Narrow | None = None
    """What leaves alone the part of these rows that the slice is about; None: all of it."""

    def of(self, answers: Mapping[str, Answered]) -> dict[str, Answered]:
        """What was said of its rows, all else left out."""
        return {system: said if self.narrow is None else self.narrow(said) for system, said in answers.items()}


@final
@dataclass(frozen=True)
class Finding:
    """What was found on one slice; `retained` is None where it is not measurable, and `retention` says why."""

    slice: Slice
    teacher: Interval
    student: Interval
    retention: Interval
    negative_flips: dict[str, Any]
    retained: Estimate | None
    beside: Mapping[str, Mapping[str, Interval]]
    """By metric and system: what else is told of what stands inside rows."""

    def as_dict(self) -> dict[str, Any]:
        """The finding as a program reads it."""
        return {
            "family": self.slice.family,
            "name": self.slice.name,
            "n": len(self.slice.members),
            "state": "not measurable" if self.retained is None else "measured",
            "reason": self.retention.reason,
            "teacher": self.teacher.as_dict(),
            "student": self.student.as_dict(),
            "retention": self.retention.as_dict(),
            "negative_flips": self.negative_flips,
            "beside": {kind: {system: one.as_dict() for system, one in told.items()}
                       for kind, told in self.beside.items()},
        }  # fmt: skip


def cut(table: Table) -> list[Slice]:
    """Every slice of a table: by class, aspect, teacher confidence and column (test rows), and by domain (all rows).

    A family that would put all its rows into one slice says nothing new and is left out.
    """
    test = table.test
    teacher = table.said[TEACHER].take(test)
    families = [_by_value(family, values, test) for family, values in teacher.kinds().items()]
    inside: dict[str, list[Slice]] = {}
    for (family, name), (members, narrow) in _parts(
        *(table.said[who].take(test) for who in (TEACHER, STUDENT))
    ).items():
        inside.setdefault(family, []).append(Slice(family, name, test[members], narrow))
    families += inside.values()
    families += [
        _by_value("domain", _domains(table), np.arange(len(table.ids))),
    ]
    for name, amounts in table.aspects.items():
        by = _by_count if cast("type[Aspect]", plugins.member("aspects", name)).counts else _by_fifths
        families.append(by(name, amounts[test], test))
    confidence = teacher.confidence
    if confidence is not None:
        families.append(_by_fifths("teacher_confidence", confidence, test))
    families += [_by_column(*named, test) for named in columns.of_test(table.columns, test.tolist()).items()]
    return [part for family in families if len(family) > 1 for part in family]


def _parts(*sides: Answered) -> dict[tuple[str, str], tuple[Rows, Narrow]]:
    """What stands inside rows: the rows in which gold or a side has any of it, so that what is said wrongly counts."""
    found: dict[tuple[str, str], tuple[Rows, Narrow]] = {}
    for side in sides:
        for family, name, rows, narrow in side.parts():
            before, first = found.get((family, name), (rows, narrow))
            found[family, name] = np.union1d(before, rows), first
    return found


def uncut(table: Table) -> list[dict[str, Any]]:
    """The columns that make no slices, since each of their values is nearly a row's own."""
    told = columns.of_test(table.columns, table.test.tolist())
    return [
        {"family": "column", "name": name, "slices": not_measurable(len(table.test), why).as_dict()}
        for name, values in told.items()
        if columns.amounts(values) is None and (why := columns.unfit(values))
    ]


def compare(
    table: Table,
    slices: Sequence[Slice],
    *,
    metric: Metric,
    beside: Sequence[Metric] = (),
    settings: recipe.Evaluate,
    rng: np.random.Generator,
) -> list[Finding]:
    """The metric of teacher and student on each slice, all on the same resamples of all rows of the table.

    On what stands inside rows also those `beside` it that are told of parts.
    """
    beside = [one for one in beside if one.of_parts]
    drawn = Resamples(len(table.ids), count=settings.resamples, rng=rng)
    needed = max(settings.min_slice_rows, metric.min_rows)
    said = table.said[TEACHER]
    unsaid = next((why for who in (TEACHER, STUDENT) if (why := metric.unsaid(table.said[who], who=who))), "")
    counts = {part: _count(metric, said.take(part.members)) for part in slices}
    findings: list[Finding] = []
    # A family at a time: its slices' statistics are no more than the table's, whatever the number of families.
    for _, family in itertools.groupby(slices, key=lambda part: part.family):
        parts = list(family)
        measurable = [part for part in parts if counts[part] >= needed and not unsaid]
        estimates = drawn.estimate(
            {
                f"{one.kind}/{system}/{part.name}": _sample(one, answers, part.members)
                for part in measurable
                for system, answers in part.of(table.answers(part.members, (TEACHER, STUDENT))).items()
                for one in (metric, *(beside if part.narrow else ()))
            }
        )
        for part in parts:
            pair = [estimates.get(f"{metric.kind}/{system}/{part.name}") for system in (TEACHER, STUDENT)]
            none = not_measurable(counts[part], unsaid or _too_few(part, counts[part], needed, metric=metric))
            also = {}
            for one in beside if part.narrow else ():
                its = {system: estimates.get(f"{one.kind}/{system}/{part.name}") for system in (TEACHER, STUDENT)}
                also[one.kind] = {system: none if found is None
                                  else intervals.score(one, found, confidence=settings.confidence)
                                  for system, found in its.items()}  # fmt: skip
            findings.append(_finding(table, part, pair, metric=metric, settings=settings, none=none, beside=also))
    return findings


def _count(metric: Metric, answers: Answered) -> int:
    """How many rows the metric is about."""
    found = metric.about(answers)
    return 0 if found is None else len(answers if found[1] is None else found[1])


def _sample(metric: Metric, answers: Answered, members: Rows) -> Sample:
    found = metric.statistics(answers)
    if found is None:
        raise AssertionError(f"{metric.kind} is about nothing of a slice, of which it counts rows")
    counted, rows = found
    return Sample(rows, metric.value, members if counted is None else members[counted])


def worst(findings: Sequence[Finding], *, confidence: float) -> dict[str, Any]:
    """The slice that kept least, with the interval of the *minimum*: it was picked because it came out lowest."""
    measured = [(one, one.retained) for one in findings if one.retained is not None]
    if not measured:
        nothing = not_measurable(0, _nearest(findings))
        return {"family": None, "name": None, "n": 0, "retention": nothing.as_dict()}
    lowest, _ = min(measured, key=lambda pair: pair[1].value)
    least = intervals.least([retained for _, retained in measured])
    return {
        "family": lowest.slice.family,
        "name": lowest.slice.name,
        "n": len(lowest.slice.members),
        "retention": least.careful(confidence, within=(0.0, math.inf)).as_dict(),
    }


def _nearest(findings: Sequence[Finding]) -> str:
    """Why no slice is measured, by the one that lacks least."""
    if not findings:
        return "the rows make no slices"
    return (
        f"no slice can be measured; of the largest: {max(findings, key=lambda one: one.retention.n).retention.reason}"
    )


def flips(said: Answered, confidence: float, *, better: bool = False) -> dict[str, Any]:
    """How often what the teacher has right is wrong (or, `better`, the other way round): exact interval and count."""
    right, teacher = said.right, said.teacher_right
    if right is None or teacher is None:
        return {**not_measurable(len(said), _NEITHER).as_dict(), "count": None}
    flipped = right & ~teacher if better else teacher & ~right
    count = int(flipped.sum())
    return {**intervals.clopper_pearson(count, len(flipped), confidence).as_dict(), "count": count}


def _finding(
    table: Table,
    part: Slice,
    pair: Sequence[Estimate | None],
    *,
    metric: Metric,
    settings: recipe.Evaluate,
    none: Interval,
    beside: Mapping[str, Mapping[str, Interval]],
) -> Finding:
    answers = part.of(table.answers(part.members, (STUDENT,)))[STUDENT]
    flipped = flips(answers, settings.confidence)
    teacher, student = pair
    if teacher is None or student is None:
        return Finding(part, none, none, none, flipped, None, beside)
    retained = student / teacher
    retention = retained.interval(settings.confidence, within=(0.0, math.inf))
    return Finding(
        part,
        intervals.score(metric, teacher, confidence=settings.confidence),
        intervals.score(metric, student, confidence=settings.confidence),
        retention,
        flipped,
        None if retention.value is None else retained,
        beside,
    )


def _too_few(part: Slice, count: int, needed: int, *, metric: Metric) -> str:
    which = f"{part.family} “{part.name}”"
    # Of what it is not about, more rows would not do.
    return intervals.too_few(count, needed, which=f" of {which}") if count else intervals.not_about(metric, which)


def _by_value(family: str, values: Sequence[str], rows: Rows) -> list[Slice]:
    """A slice for each value, in the order of the alphabet; rows without one are in none."""
    given = np.array(values, dtype=object)
    return [Slice(family, value, rows[given == value]) for value in sorted(set(values)) if value]


def _by_column(family: str, values: Sequence[str], rows: Rows) -> list[Slice]:
    """Fifths of numbers, or a slice for each value; of too many values none (`uncut` says so)."""
    numbers = columns.amounts(values)
    if numbers is not None:
        return _by_fifths(family, numbers, rows)
    return [] if columns.unfit(values) else _by_value(family, values, rows)


def _by_fifths(family: str, values: Floats, rows: Rows) -> list[Slice]:
    """Five slices of about equally many rows, from small values to large; fewer where many values are equal.

    Rows without a number are in none.
    """
    known = np.flatnonzero(~np.isnan(values))
    values, rows = values[known], rows[known]
    if not len(values):
        return []
    place = np.searchsorted(np.quantile(values, _FIFTHS), values, side="left")
    parts = [np.flatnonzero(place == number) for number in np.unique(place)]
    told = "{:.0f}" if (values == np.round(values)).all() else "{:.3f}"
    return [
        Slice(
            family,
            f"{number} of {len(parts)}: {told.format(values[part].min())}–{told.format(values[part].max())}",
            rows[part],
        )
        for number, part in enumerate(parts, start=1)
    ]


def _by_count(family: str, values: Floats, rows: Rows) -> list[Slice]:
    """Rows with none of something, with one, and with more, as far as there are any; those without a number in none."""
    held = {"none": values == 0, "1": values == 1, "2 or more": values >= 2}
    return [Slice(family, name, rows[inside]) for name, inside in held.items() if inside.any()]


def _domains(table: Table) -> list[str]:
    """Each row's domain; where a domain has test rows and rows outside, the latter are told apart by a word."""
    both = {table.domain[row] for row in table.test.tolist()}
    return [
        f"{domain} (outside)" if outside and domain in both else domain
        for domain, outside in zip(table.domain, table.outside.tolist(), strict=True)
    ]
