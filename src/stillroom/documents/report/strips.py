"""Dot-and-whisker rows: each figure with its interval on a scale that its neighbours share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

from stillroom.documents import Evidence, Figure, Source
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents.report import svg

_HEIGHT = 42
_MIDDLE = _HEIGHT / 2
#: Where strips begin and end, in per cent: a mark at either end keeps its whole shape.
_INSET = (4.0, 96.0)


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
        return cls(svg.nice(min(ends), max(ends)), unit, reference)

    def strip(self, figure: Figure, *, system: str, title: str) -> str:
        """A dot with its whiskers."""
        scale = self._scale
        parts = self._grid()
        if figure.low is not None and figure.high is not None:
            low, high = scale.percent(figure.low), scale.percent(figure.high)
            parts.append(svg.line(low, _MIDDLE, high, _MIDDLE, f"whisker {system}"))
            parts += [svg.line(end, _MIDDLE - 5, end, _MIDDLE + 5, f"whisker {system}") for end in (low, high)]
        if figure.value is not None:
            parts.append(svg.mark(system, scale.percent(figure.value), _MIDDLE))
        said = self.unit.told(figure)
        return svg.drawing(*parts, title=f"{title}: {said}", described="", class_="strip", width="100%", height=_HEIGHT)

    def empty(self) -> str:
        """A row without a figure."""
        parts = self._grid()
        return svg.tag("svg", *parts, class_="strip", width="100%", height=_HEIGHT, aria_hidden="true")

    def axis(self) -> str:
        """The ticks in digits."""
        scale = self._scale
        told = [
            svg.words("text", self.unit.tick(tick), x=scale.percent(tick), y=15, text_anchor="middle", class_="tick")
            # Where there are many ticks, every other one is told: on a phone there is no room for more.
            for tick in (self.ticks[::2] if len(self.ticks) > 4 else self.ticks)
        ]
        return svg.tag(
            "svg", *told, class_="strip axis", width="100%", height=22, aria_hidden="true", overflow="visible"
        )

    def _grid(self) -> list[str]:
        scale = self._scale
        lines = [svg.line(scale.percent(tick), 0, scale.percent(tick), _HEIGHT, "grid") for tick in self.ticks]
        if self.reference is not None:
            here = scale.percent(self.reference)
            lines.append(svg.line(here, 0, here, _HEIGHT, "reference"))
        return lines

    @property
    def _scale(self) -> svg.Scale:
        return svg.Scale(self.ticks[0], self.ticks[-1], *_INSET)
