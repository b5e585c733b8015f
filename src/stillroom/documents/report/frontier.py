"""Quality against cost: everybody whose cost is known, and the edge of what nobody beats for less."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import final

import svg

from stillroom.documents import Evidence, Figure, Source, at, number, words
from stillroom.documents import _ledger as ledger
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table
from stillroom.documents.report import drawing, panels
from stillroom.documents.report.panels import Panel

_EXPORT = "export"
_NAME_HEIGHT = 16.0  # between two names, so that neither covers the other
_AS_MUCH = "it is the student’s network, and costs as much"
_PRICE, _TIME = "price of a million texts", "time for a million texts, one thread"


@final
@dataclass(frozen=True)
class Point:
    """Somebody who answers: how good, for how much. `cost` is None where it was not measured."""

    name: str
    mark: str
    score: Figure
    cost: float | None
    rate: float | None
    note: str = ""
    beaten_by: str = ""
    """Who is at least as good for no more, and better or cheaper; "": nobody."""


@final
@dataclass(frozen=True)
class Frontier:
    """All points of a run, those whose cost is known first, the cheapest first."""

    points: tuple[Point, ...]
    metric: str
    axis: str
    unit: units.Unit

    @property
    def known(self) -> list[Point]:
        """The points that have both."""
        return [one for one in self.points if one.cost is not None]

    @property
    def edge(self) -> list[Point]:
        """Those that nobody beats, the cheapest first."""
        return [one for one in self.known if not one.beaten_by]


def of_run(evidence: Evidence) -> Frontier | None:
    """The points of a run: its systems, and the forms of the student that were kept. None: no cost is known."""
    metric = evidence.primary
    rates = {side: _above(evidence, side, "texts_per_second") for side in ("teacher", "student")}
    prices = {side: _above(evidence, side, "price_per_million_texts") for side in ("teacher", "student")}
    priced = all(price is not None for price in prices.values())
    axis, unit = (_PRICE, ledger.money(evidence)) if priced else (_TIME, units.SECONDS)
    costs = prices if priced else {side: None if rate is None else 1e6 / rate for side, rate in rates.items()}
    found = []
    for system in tables.present(evidence):
        side = "student" if system == "undistilled" else system
        note = {"undistilled": _AS_MUCH, "baseline": evidence.words("baseline", "name")}.get(system, "")
        point = Point(tables.SHOWN[system], system, tables.score(evidence, system, metric), costs.get(side),
                      rates.get(side), note)  # fmt: skip
        found.append(replace(point, note=evidence.words("student", "runner")) if system == "student" else point)
    student = next((one for one in found if one.mark == "student"), None)
    if student is not None:
        found += _forms(evidence, student, metric)
    found = [one for one in found if one.score.value is not None]
    if all(one.cost is None for one in found):
        return None
    sign = -1.0 if (member := units.metric(metric)) is not None and not member.higher_is_better else 1.0
    judged = [replace(one, beaten_by=_beaten(one, found, sign)) for one in found]
    judged.sort(key=lambda one: (one.cost is None, one.cost or 0.0, -sign * (one.score.value or 0.0)))
    return Frontier(tuple(judged), metric, axis, unit)


def _above(evidence: Evidence, side: str, name: str) -> float | None:
    found = number(evidence.find(side, "cost", name))
    return found if found is not None and found > 0 else None


def _forms(evidence: Evidence, student: Point, metric: str) -> Iterator[Point]:
    """The other forms that were kept: the student, moved by what its export saw of each on dev."""
    checks, default = evidence.table("student", "checks"), evidence.words("student", "runner")
    shipped = number(at(checks, default, "texts_per_second"))
    lost = number(at(checks, default, "metric_loss"))
    if shipped is None or lost is None or student.score.value is None:
        return
    if evidence.words("student", "checked_by") != metric:
        return
    for one in evidence.rows("student", "variants"):
        name = words(one.get("format"))
        speed, loss = (number(at(checks, name, part)) for part in ("texts_per_second", "metric_loss"))
        if name == default or not one.get("kept") or not speed or loss is None or shipped <= 0:
            continue
        times = shipped / speed
        told = units.of_difference(metric).value(lost - loss)
        yield Point(name, _EXPORT, Figure(student.score.value + lost - loss),
                    None if student.cost is None else student.cost * times,
                    None if student.rate is None else student.rate / times,
                    f"the student in another form: on dev {told} beside the one that ships")  # fmt: skip


def _beaten(one: Point, points: Sequence[Point], sign: float) -> str:
    if one.cost is None:
        return ""
    for other in points:
        if other is one or other.cost is None or other.score.value is None or one.score.value is None:
            continue
        dearer, better = one.cost - other.cost, sign * (other.score.value - one.score.value)
        if dearer >= 0 and better >= 0 and (dearer > 0 or better > 0):
            return other.name
    return ""


def picture(evidence: Evidence) -> Panel | None:
    """The points, with the edge as stairs: the best that is to be had for at most so much."""
    found = of_run(evidence)
    if found is None:
        return None
    unit = units.of_metric(found.metric)
    costs = [one.cost for one in found.known if one.cost is not None]
    ticks = drawing.decades(min(costs), max(costs))
    ends = [end for one in found.points for end in (one.score.value, one.score.low, one.score.high) if end is not None]
    heights = drawing.nice(min(ends), max(ends))
    across, up = panels.scales(ticks, heights, log=True)
    parts = [*panels.frame(across, ticks, up, heights, found.unit, unit)]
    parts.append(panels.below(f"{found.axis} (log scale)"))
    left, right = across.at(ticks[0]), across.at(ticks[-1])
    parts.append(drawing.polyline(_stairs(found.edge, across.at, up.at, end=right), "edge"))
    names = []
    for one in found.points:
        height = up.at(one.score.value or 0.0)
        if one.cost is None:
            parts.append(svg.Line(x1=left, y1=height, x2=right, y2=height, class_=["level", one.mark]))
            names.append((f"{one.name}, cost not measured", right, height - 10))
            continue
        x = across.at(one.cost)
        if one.score.low is not None and one.score.high is not None:
            low, high = up.at(one.score.low), up.at(one.score.high)
            whisker = ["whisker", one.mark]
            parts.append(svg.Line(x1=x, y1=low, x2=x, y2=high, class_=whisker))
            parts += [svg.Line(x1=x - 5, y1=end, x2=x + 5, y2=end, class_=whisker) for end in (low, high)]
        parts.append(drawing.mark(one.mark, x, height))
        names.append((one.name, x, height))
    parts += [panels.beside(name, x, y) for name, x, y in _apart(names)]
    told = "; ".join(
        f"{one.name}: {found.unit.value(one.cost)}, {found.metric} {unit.told(one.score)}" for one in found.points
    )
    return Panel(
        f"{units.label(found.metric)} against {found.axis}",
        panels.drawn(parts, title="Quality against cost", described=told),
        evidence.source("cost"),
        f"Scores from evaluate {evidence.source('evaluate').short}. Up and to the left is better. The stairs are the "
        f"frontier: the best score for at most so much. Whiskers are the {tables.level(evidence)}interval of a score; "
        "where those of two overlap, either may be the better one.",
    )


def _stairs(
    edge: Sequence[Point], across: Callable[[float], float], up: Callable[[float], float], *, end: float
) -> Iterator[tuple[float, float]]:
    """From each to the next, first along and then up."""
    height: float | None = None
    for one in edge:
        x, y = across(one.cost or 0.0), up(one.score.value or 0.0)
        if height is not None:
            yield x, height
        yield x, y
        height = y
    if height is not None:
        yield end, height


def _apart(names: Sequence[tuple[str, float, float]]) -> Iterator[tuple[str, float, float]]:
    """The same, from the top down, each so far below the one before that both can be read."""
    last: float | None = None
    for name, x, y in sorted(names, key=lambda one: one[2]):
        last = y if last is None else max(y, last + _NAME_HEIGHT)
        yield name, x, last


def table(evidence: Evidence) -> Table:
    """The same in figures, with who is beaten by whom."""
    found = of_run(evidence)
    sources: tuple[Source, ...] = (evidence.source("evaluate"), evidence.source("cost"))
    if found is None:
        return Table("Quality against cost", (), (), sources)
    unit = units.of_metric(found.metric)
    rows = tuple(
        (
            Cell(one.name, one.note, kind="code" if one.mark == _EXPORT else "text"),
            Cell(unit.value(one.score.value), unit.interval(one.score)),
            Cell(found.unit.value(one.cost)),
            Cell(units.RATE.value(one.rate)),
            Cell(_standing(one), kind="text"),
        )
        for one in found.points
    )
    head = ("", units.label(found.metric), found.axis, "Speed", "On the frontier")
    forms = any(one.mark == _EXPORT for one in found.points)
    if forms:
        sources = (*sources, evidence.source("export"))
    note = "A form that does not ship was checked on dev alone: its place has no interval." if forms else ""
    return Table("Who is good for how much", head, rows, sources, note)


def _standing(point: Point) -> str:
    if point.cost is None:
        return "unknown: its cost was not measured"
    return f"no: beaten by “{point.beaten_by}”" if point.beaten_by else "yes"
