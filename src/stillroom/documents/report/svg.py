"""Small pieces of SVG, written by hand so that a report needs no library, no script and no network to be crisp.

Two ways of placing: a strip stretches with its row (horizontal places in per cent, so that type and dots keep their
size), a panel has a fixed shape and scales as a whole.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

#: A mark for each system, and for other forms of the student, about the origin: told apart by shape, then by colour.
_MARKS = {
    "teacher": "M-5.2 0A5.2 5.2 0 1 0 5.2 0A5.2 5.2 0 1 0 -5.2 0Z",
    "student": "M0 -6.8L6.8 0L0 6.8L-6.8 0Z",
    "undistilled": "M0 -6.4L6.2 5L-6.2 5Z",
    "baseline": "M-4.8 -4.8H4.8V4.8H-4.8Z",
    "export": "M0 -5.4L5.4 0L0 5.4L-5.4 0Z",
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
        """Where a figure stands, held within the ends."""
        low, high, here = (math.log10(one) if self.log else one for one in (self.low, self.high, value))
        share = 0.5 if high == low else (here - low) / (high - low)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def percent(self, value: float) -> str:
        """The same for a strip."""
        return f"{coordinate(self.at(value))}%"


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


def coordinate(value: float) -> str:
    """A coordinate, with no more digits than the eye needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def tag(name: str, *children: str, **attributes: float | str | None) -> str:
    """An element. Children are markup already; attributes are escaped; `class_` is HTML’s `class`."""
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>{''.join(children)}</{name}>" if children else f"<{name}{told}/>"


def _plain(value: float | str | None) -> str:
    return value if isinstance(value, str) else coordinate(float(value or 0.0))


def words(name: str, said: str, **attributes: float | str | None) -> str:
    """An element that holds words, escaped."""
    return tag(name, html.escape(said, quote=False), **attributes)


def line(x1: float | str, y1: float | str, x2: float | str, y2: float | str, class_: str) -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str) -> str:
    """A line through points."""
    places = "L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in points)
    return tag("path", d=f"M{places}", class_=class_)


def mark(system: str, x: float | str, y: float) -> str:
    """A system's mark at a place; a nested drawing, because a path can't stand at a per cent."""
    shape = tag("path", d=_MARKS.get(system, _MARKS["teacher"]), class_=f"mark {system}")
    return tag("svg", shape, x=x, y=y, overflow="visible")


def drawing(*children: str, title: str, described: str, **attributes: float | str | None) -> str:
    """A whole picture, with what it shows in words for those who can't see it."""
    told = f"{title}. {described}" if described else title
    start = words("title", title) + (words("desc", described) if described else "")
    return tag("svg", start, *children, role="img", aria_label=told, **attributes)
