"""Dot-and-whisker rows: each figure with its interval on a scale that its neighbours share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import final

import svg

from stillroom.documents import Evidence, Figure, Source
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents.report import drawing

_HEIGHT = 42
_MIDDLE = _HEIGHT / 2
#: Where strips begin and end, in per cent: a mark at either end keeps its whole shape.
_INSET = (4.0, 96.0)
_STRIP = svg.SVG(class_=["strip"], width=svg.Length(100, "%"), height=_HEIGHT)


@final
@dataclass(frozen=True)
class Row:
    """A row of a strip chart: what it is of, its picture, and the same in digits. `group` heads the rows it begins."""

    name: str
    note: str
    picture: str
    told: str
    interval: str
    more: tuple[str, ...] = ()
    measured: bool = True
    group: str = ""


@final
@dataclass(frozen=True)
class Chart:
    """Rows over one axis."""

    caption: str
    rows: tuple[Row, ...]
    axis: str
    head: tuple[str, ...]
    source: Source
    note: str = ""


def scores(evidence: Evidence) -> list[Chart]:
    """For each metric, the systems that have it."""
    charts = []
    for metric in evidence.metrics:
        found = {system: tables.score(evidence, system, metric) for system in tables.present(evidence)}
        measured = {system: figure for system, figure in found.items() if figure.value is not None}
        if not measured:
            continue
        unit, told = units.of_metric(metric), units.label(metric)
        ruler = _Ruler.around(measured.values(), unit)
        rows = [
            Row(
                tables.SHOWN[system],
                "",
                ruler.strip(figure, system=system, title=f"{told}, {tables.SHOWN[system]}"),
                unit.value(figure.value),
                unit.interval(figure),
            )
            for system, figure in measured.items()
        ]
        caption = f"{told}{tables.rows_told(list(measured.values()))}"
        charts.append(Chart(caption, tuple(rows), ruler.axis(), ("system", "score"), evidence.source("evaluate")))
    return charts


def slices(evidence: Evidence) -> Chart | None:
    """What each slice kept, families together; slices that can't be measured stand among them, with the reason."""
    found = tables.slices(evidence)
    if not found:
        return None
    ruler = _Ruler.around([one.retention for one in found if one.measured], units.PERCENT, reference=1.0)
    rows, before = [], ""
    for one in found:
        heading = one.family.replace("_", " ") if one.family != before else ""
        before = one.family
        rows.append(_slice(evidence, one, ruler, heading))
    metric = evidence.primary.replace("_", "-") or "score"
    return Chart(
        f"Kept of the teacher’s {metric}, with {tables.level(evidence)}intervals",
        tuple(rows),
        ruler.axis(),
        ("slice", "kept", "teacher → student", "negative flips"),
        evidence.source("evaluate"),
        "The upright line stands at 100 %: the student does as well there as its teacher.",
    )


def _slice(evidence: Evidence, one: tables.Slice, ruler: _Ruler, heading: str) -> Row:
    unit = units.of_metric(evidence.primary)
    rows = "n not recorded" if one.n is None else f"n = {one.n:,}"
    if not one.measured:
        nothing = ruler.empty()
        return Row(one.name, rows, nothing, "not measurable", one.reason, measured=False, group=heading)
    pair = f"{unit.value(one.teacher.value)} → {unit.value(one.student.value)}"
    return Row(
        one.name,
        rows,
        ruler.strip(one.retention, system="student", title=f"{one.family} {one.name}"),
        units.PERCENT.value(one.retention.value),
        units.PERCENT.interval(one.retention),
        (pair, units.PERCENT.value(one.flips.value)),
        group=heading,
    )


@final
@dataclass(frozen=True)
class _Ruler:
    """The scale that the rows of a chart share, with its ticks."""

    ticks: Sequence[float]
    unit: units.Unit
    reference: float | None = None

    @classmethod
    def around(cls, figures: Iterable[Figure], unit: units.Unit, *, reference: float | None = None) -> _Ruler:
        ends = [end for one in figures for end in (one.value, one.low, one.high) if end is not None]
        ends += [] if reference is None else [reference]
        return cls(drawing.nice(min(ends), max(ends)), unit, reference)

    def strip(self, figure: Figure, *, system: str, title: str) -> str:
        """A dot with its whiskers."""
        scale = self._scale
        parts = self._grid()
        if figure.low is not None and figure.high is not None:
            low, high = scale.percent(figure.low), scale.percent(figure.high)
            whisker = ["whisker", system]
            parts.append(svg.Line(x1=low, y1=_MIDDLE, x2=high, y2=_MIDDLE, class_=whisker))
            parts += [svg.Line(x1=end, y1=_MIDDLE - 5, x2=end, y2=_MIDDLE + 5, class_=whisker) for end in (low, high)]
        if figure.value is not None:
            parts.append(drawing.mark(system, scale.percent(figure.value), _MIDDLE))
        return drawing.markup(replace(_STRIP, elements=parts), said=f"{title}: {self.unit.told(figure)}")

    def empty(self) -> str:
        """A row without a figure."""
        return drawing.markup(replace(_STRIP, elements=self._grid()))

    def axis(self) -> str:
        """The ticks in digits."""
        scale = self._scale
        told = [
            drawing.words(self.unit.tick(tick), "tick", x=scale.percent(tick), y=15)
            # Where there are many ticks, every other one is told: on a phone there is no room for more.
            for tick in (self.ticks[::2] if len(self.ticks) > 4 else self.ticks)
        ]
        axis = replace(_STRIP, elements=[*told], class_=["strip", "axis"], height=22, overflow="visible")
        return drawing.markup(axis)

    def _grid(self) -> list[svg.Element]:
        lines = [(tick, "grid") for tick in self.ticks]
        lines += [] if self.reference is None else [(self.reference, "reference")]
        places = [(self._scale.percent(one), class_) for one, class_ in lines]
        return [svg.Line(x1=here, y1=0, x2=here, y2=_HEIGHT, class_=[class_]) for here, class_ in places]

    @property
    def _scale(self) -> drawing.Scale:
        return drawing.Scale(self.ticks[0], self.ticks[-1], *_INSET)
