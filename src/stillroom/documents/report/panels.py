"""Pictures with two axes: training curves, reliability, and what the frontier is drawn with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import svg

from stillroom.documents import Evidence, Source, at, number
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents.report import drawing
from stillroom.documents.report.drawing import Scale, nice

_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 446, 18, 262
_STRIP = (272, 296)


@final
@dataclass(frozen=True)
class Panel:
    """A picture with where it comes from. `keys` name the lines of a picture that has several."""

    caption: str
    picture: str
    source: Source
    note: str = ""
    keys: tuple[tuple[str, str], ...] = ()


def curves(evidence: Evidence) -> list[Panel]:
    """How the loss fell, and how each dev metric went."""
    steps = _steps(evidence.curves)
    losses = {"loss": _series(evidence.curves, "loss")}
    terms = {name: _series(evidence.curves, "terms", name) for name in _names(evidence.curves, "terms")}
    if len(terms) > 1:
        losses |= terms
    losses |= {"loss on dev": dev} if any(dev := _series(evidence.curves, "dev", "loss")) else {}
    panels = [_curve(evidence, "Loss, epoch by epoch", losses, steps, best=None)] if any(losses["loss"]) else []
    for name in _names(evidence.curves, "dev"):
        if units.metric(name) is not None:
            found = _series(evidence.curves, "dev", name)
            chosen = _best(evidence.curves, name) if name == evidence.primary else None
            panels.append(_curve(evidence, f"{units.label(name)} on dev", {name: found}, steps, best=chosen))
    return [panel for panel in panels if panel is not None]


def _curve(
    evidence: Evidence,
    caption: str,
    lines: Mapping[str, Sequence[float | None]],
    steps: tuple[str, Sequence[float]],
    *,
    best: int | None,
) -> Panel | None:
    shown, places = steps
    values = [value for line in lines.values() for value in line if value is not None]
    if not values:
        return None
    unit = units.of_metric(next(iter(lines))) if len(lines) == 1 else units.PLAIN
    unit = units.PLAIN if unit is units.DECIMAL else unit
    heights, ticks = nice(min(values), max(values)), _whole(places)
    across = Scale(places[0], places[-1], _LEFT + 12, _RIGHT - 12)
    up = Scale(heights[0], heights[-1], _BOTTOM - 6, _TOP + 6)
    parts = [*frame(across, ticks, up, heights, units.COUNT, unit), below(shown)]
    for number_, line in enumerate(lines.values()):
        dots = [(across.at(x), up.at(y)) for x, y in zip(places, line, strict=True) if y is not None]
        key = f"curve-{number_ % 5}"
        parts.append(drawing.polyline(dots, "curve", key))
        if len(dots) < 40:
            parts += [svg.Circle(cx=x, cy=y, r=2.4, class_=["dot", key]) for x, y in dots]
    note = ""
    if best is not None:
        value = next(iter(lines.values()))[best] or 0.0
        parts.append(svg.Circle(cx=across.at(places[best]), cy=up.at(value), r=7, class_=["ring"]))
        note = f"Best on dev at {shown} {places[best]:g}: {unit.value(value)} (ringed)."
    told = "; ".join(
        f"{name}: from {unit.value(next((one for one in line if one is not None), None))} to "
        f"{unit.value(next((one for one in reversed(line) if one is not None), None))}"
        for name, line in lines.items()
    )
    keys = tuple((name, f"curve-{place % 5}") for place, name in enumerate(lines)) if len(lines) > 1 else ()
    return Panel(caption, drawn(parts, title=caption, described=told), evidence.source("train"), note, keys)


def _best(rows: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """The place that dev chooses: the best value, of equal ones that with the least loss on dev, of those the first."""
    found = units.metric(name)
    values = [(place, number(at(row, "dev", name)), number(at(row, "dev", "loss"))) for place, row in enumerate(rows)]
    known = [(place, value, loss or 0.0) for place, value, loss in values if value is not None]
    if found is None or not known:
        return None
    sign = 1.0 if found.higher_is_better else -1.0
    return max(known, key=lambda one: (sign * one[1], -one[2], -one[0]))[0]


def _steps(rows: Sequence[Mapping[str, Any]]) -> tuple[str, list[float]]:
    """What the curves run along: epochs, or else steps, or else rows of the log."""
    for name in ("epoch", "step"):
        found = [number(row.get(name)) for row in rows]
        known = [one for one in found if one is not None]
        if known and len(known) == len(rows):
            return name, known
    return "row", [float(place) for place in range(1, len(rows) + 1)]


def _series(rows: Sequence[Mapping[str, Any]], *path: str) -> list[float | None]:
    return [number(at(row, *path)) for row in rows]


def _names(rows: Sequence[Mapping[str, Any]], part: str) -> list[str]:
    return list(dict.fromkeys(str(name) for row in rows if isinstance(row.get(part), Mapping) for name in row[part]))


def _whole(places: Sequence[float]) -> list[float]:
    """Ticks at whole numbers within the ends."""
    ticks = [tick for tick in nice(places[0], places[-1], count=6) if places[0] <= tick <= places[-1]]
    return list(dict.fromkeys(float(round(tick)) for tick in (places[0], *ticks[1:], *ticks[:1], places[-1])))[:9]


def reliability(evidence: Evidence) -> list[Panel]:
    """For teacher and student: how often right where how sure, bin by bin, with how many rows."""
    return [panel for system in ("teacher", "student") if (panel := _reliability(evidence, system)) is not None]


def _reliability(evidence: Evidence, system: str) -> Panel | None:
    bins = list(_bins(evidence, system))
    if not bins:
        return None
    first = min(
        one.low for bins_ in (_bins(evidence, side) for side in ("teacher", "student")) for one in bins_ if one.n
    )
    across = Scale(first, 1.0, _LEFT + 6, _RIGHT - 6)
    lowest = min(first, *(one.right for one in bins))
    heights = nice(lowest, 1.0)
    up = Scale(heights[0], heights[-1], _BOTTOM, _TOP + 4)
    start = max(first, heights[0])
    ticks = _within(nice(first, 1.0), first)
    parts = [*frame(across, ticks, up, heights, units.PERCENT, units.PERCENT, further=50)]
    parts.append(drawing.polyline(((across.at(one), up.at(one)) for one in (start, 1.0)), "diagonal"))
    parts += list(_counts(bins, across))
    dots = [(across.at(one.sure), up.at(one.sure), up.at(one.right)) for one in bins]
    parts += [svg.Line(x1=x, y1=sure, x2=x, y2=right, class_=["gap", system]) for x, sure, right in dots]
    parts.append(drawing.polyline(((x, right) for x, _, right in dots), "trail", system))
    parts += [drawing.mark(system, x, right) for x, _, right in dots]
    of = tables.answers(evidence)
    parts.append(below(f"confidence, and {of} in each bin", further=48))
    told = "; ".join(
        f"{units.PERCENT.value(one.sure)} sure, {units.PERCENT.value(one.right)} right, {one.n:,} {of}" for one in bins
    )
    error = evidence.figure(system, "scores", "ece")
    note = f"Expected calibration error {units.PERCENT.told(error)}." if error.value is not None else ""
    divided = number(evidence.find(system, "calibration", "temperature"))
    note += f" Its logits are divided by {units.PLAIN.value(divided)}, which dev chose." if divided else ""
    shown = tables.SHOWN[system]
    picture = drawn(parts, title=f"Reliability of the {system}", described=told, height=_HEIGHT + 44)
    return Panel(shown, picture, evidence.source("evaluate"), note)


def risk_and_coverage(evidence: Evidence) -> Panel | None:
    """How often each is wrong where it answers no more than what it is surest of."""
    lines = {system: found for system in ("teacher", "student") if len(found := _risks(evidence, system)) > 1}
    if not lines:
        return None
    heights = nice(0.0, max(risk for line in lines.values() for _, risk in line) or 0.01)
    across, up = Scale(0.0, 1.0, _LEFT + 6, _RIGHT - 6), Scale(heights[0], heights[-1], _BOTTOM, _TOP + 6)
    parts = [*frame(across, nice(0.0, 1.0), up, heights, units.PERCENT, units.PERCENT)]
    parts.append(below(f"share of the {tables.answers(evidence)} that it answers, the surest first"))
    for system, line in lines.items():
        places = [(across.at(share), up.at(risk)) for share, risk in line]
        parts += [drawing.polyline(places, "trail", system), drawing.mark(system, *places[-1])]
    told = "; ".join(
        f"{tables.SHOWN[system]}: wrong on {units.PERCENT.value(line[-1][1])} of all" for system, line in lines.items()
    )
    areas = ", ".join(
        f"{tables.SHOWN[system]} {units.PERCENT.told(figure)}"
        for system in lines
        if (figure := evidence.figure(system, "scores", "aurc")).value is not None
    )
    note = f"How often it is wrong on what it answers. Area under the curve: {areas}." if areas else ""
    picture = drawn(parts, title="Risk and coverage", described=told)
    return Panel("Risk and coverage", picture, evidence.source("evaluate"), note)


def _risks(evidence: Evidence, system: str) -> list[tuple[float, float]]:
    found = [(number(one.get("coverage")), number(one.get("risk"))) for one in evidence.rows("risk_coverage", system)]
    return [(share, risk) for share, risk in found if share is not None and risk is not None
            and 0 <= share <= 1 and 0 <= risk <= 1]  # fmt: skip


@final
@dataclass(frozen=True)
class _Bin:
    low: float
    high: float
    n: int
    sure: float
    right: float


def _bins(evidence: Evidence, system: str) -> Iterator[_Bin]:
    for one in evidence.rows("reliability", system):
        low, high, n, sure, right = (number(one.get(name)) for name in ("low", "high", "n", "confidence", "accuracy"))
        if low is None or high is None or sure is None or right is None or not n:
            continue
        # What is no share can't stand on these axes.
        if 0 <= low < high <= 1 and 0 <= sure <= 1 and 0 <= right <= 1:
            yield _Bin(low, high, int(n), sure, right)


def _counts(bins: Sequence[_Bin], across: Scale) -> Iterator[svg.Element]:
    """How many rows each bin has: a bar below the axis, and the number."""
    top, bottom = _STRIP
    most = max(one.n for one in bins)
    for one in bins:
        left, right = across.at(one.low), across.at(one.high)
        width, height = max(1.0, round(right - left - 2, 2)), max(1.0, round((bottom - top) * one.n / most, 2))
        yield svg.Rect(x=left + 1, y=bottom - height, width=width, height=height, class_=["bar"])
        told = f"{one.n}" if one.n < 10_000 else units.scaled(one.n).replace(" ", "")
        yield drawing.words(told, "count", x=round((left + right) / 2, 2), y=bottom + 12)


def _within(ticks: Sequence[float], low: float) -> list[float]:
    return [tick for tick in ticks if tick >= low - 1e-9]


def frame(
    across: Scale,
    ticks: Sequence[float],
    up: Scale,
    heights: Sequence[float],
    x_unit: units.Unit,
    y_unit: units.Unit,
    *,
    further: int = 0,
) -> Iterator[svg.Element]:
    """The grid with its digits; those of the lower axis `further` down where something stands between."""
    for tick in heights:
        y = up.at(tick)
        yield svg.Line(x1=_LEFT, y1=y, x2=_RIGHT, y2=y, class_=["grid"])
        yield drawing.words(y_unit.tick(tick), "tick", x=_LEFT - 8, y=y + 4, anchor="end")
    for tick in ticks:
        x = across.at(tick)
        yield svg.Line(x1=x, y1=_TOP, x2=x, y2=_BOTTOM, class_=["grid"])
        yield drawing.words(x_unit.tick(tick), "tick", x=x, y=_BOTTOM + 18 + further)


def scales(ticks: Sequence[float], heights: Sequence[float], *, log: bool = False) -> tuple[Scale, Scale]:
    """Along and up, with room for marks at the ends."""
    return (Scale(ticks[0], ticks[-1], _LEFT + 12, _RIGHT - 12, log=log),
            Scale(heights[0], heights[-1], _BOTTOM - 12, _TOP + 8))  # fmt: skip


def below(said: str, *, further: int = 0) -> svg.Text:
    """What the lower axis is of."""
    return drawing.words(said, "label", x=(_LEFT + _RIGHT) / 2, y=_BOTTOM + 42 + further)


def beside(said: str, x: float, y: float) -> svg.Text:
    """A name beside a mark, on the side that has room."""
    if x < (_LEFT + _RIGHT) / 2:
        return drawing.words(said, "name", x=x + 13, y=y + 4, anchor="start")
    return drawing.words(said, "name", x=x - 13, y=y + 4, anchor="end")


def drawn(parts: Sequence[svg.Element], *, title: str, described: str, height: float = _HEIGHT) -> str:
    """The picture, with what it shows in words."""
    picture = svg.SVG(elements=[*parts], class_=["panel"], viewBox=svg.ViewBoxSpec(0, 0, _WIDTH, height))
    return drawing.markup(picture, said=title, described=described)
