"""What is ours of a picture: scales, ticks, marks, and words for those who can't see it. `svg.py` draws.

Two ways of placing: a strip stretches with its row (horizontal places in per cent, so that type and dots keep their
size), a panel has a fixed shape and scales as a whole. `svg.py` writes words as they are given: here they are escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, final

import svg

#: The corners of each system's mark, and of other forms of the student, about the origin; the teacher's is a circle.
_CORNERS = {
    "student": ((0, -6.8), (6.8, 0), (0, 6.8), (-6.8, 0)),
    "undistilled": ((0, -6.4), (6.2, 5), (-6.2, 5)),
    "baseline": ((-4.8, -4.8), (4.8, -4.8), (4.8, 4.8), (-4.8, 4.8)),
    "export": ((0, -5.4), (5.4, 0), (0, 5.4), (-5.4, 0)),
}


@final
@dataclass(frozen=True)
class Scale:
    """From a figure to a place; `log` scales need figures above zero."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Where a figure stands, held within the ends, with no more digits than the eye needs."""
        low, high, here = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        share = 0.5 if high == low else (here - low) / (high - low)
        return round(self.start + (self.end - self.start) * min(1.0, max(0.0, share)), 2)

    def percent(self, value: float) -> svg.Length:
        """The same for a strip."""
        return svg.Length(self.at(value), "%")


def nice(low: float, high: float, *, count: int = 4) -> list[float]:
    """Round figures from at most `low` to at least `high`, about `count` steps apart."""
    low, high = min(low, high), max(low, high)
    size = max(abs(low), abs(high), 1e-6)
    # Figures that are one but for rounding still need a scale with two ends.
    span = high - low if high - low > 1e-9 * size else size
    rough = span / max(1, count)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(one * magnitude for one in (1, 2, 2.5, 5, 10) if one * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    digits = 3 - math.floor(math.log10(step))  # of the step's own size, so that small steps stay apart
    return [round(number * step, digits) for number in range(first, last + 1)]


def decades(low: float, high: float) -> list[float]:
    """Powers of ten from at most `low` to at least `high`."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return [10.0**power for power in range(first, max(last, first + 1) + 1)]


def polyline(points: Iterable[tuple[float, float]], *classes: str) -> svg.Polyline:
    """A line through points."""
    return svg.Polyline(points=[svg.Point(x, y) for x, y in points], class_=[*classes])


def words(
    said: str, *classes: str, x: svg.Length | float, y: float, anchor: Literal["start", "middle", "end"] = "middle"
) -> svg.Text:
    """Words at a place, escaped."""
    return svg.Text(text=html.escape(said), x=x, y=y, text_anchor=anchor, class_=[*classes] or None)


def title(said: str) -> svg.Title:
    """What an element is, told where a pointer rests on it."""
    return svg.Title(text=html.escape(said))


def mark(system: str, x: svg.Length | float, y: float) -> svg.SVG:
    """A system's mark, told apart by shape, then by colour; nested, because a polygon can't stand at a per cent."""
    points, classes = [svg.Point(*one) for one in _CORNERS.get(system, ())], ["mark", system]
    shape = svg.Polygon(points=points, class_=classes) if points else svg.Circle(r=5.2, class_=classes)
    return svg.SVG(xmlns=None, elements=[shape], x=x, y=y, overflow="visible")


def markup(picture: svg.SVG, *, said: str = "", described: str = "") -> str:
    """A whole picture as a page holds it, with what it shows in words; with none it is hidden from screen readers."""
    if not said:
        return str(replace(picture, xmlns=None, extra={"aria-hidden": "true"}))
    more = [svg.Desc(text=html.escape(described))] if described else []
    label = html.escape(f"{said}. {described}" if described else said)
    elements = [title(said), *more, *(picture.elements or ())]
    return str(replace(picture, xmlns=None, elements=elements, extra={"role": "img", "aria-label": label}))
