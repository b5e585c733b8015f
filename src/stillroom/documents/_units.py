"""How people read numbers: each figure in its unit, with its interval, or the words *not measured*."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import final

from stillroom.core import plugins
from stillroom.documents import Figure
from stillroom.metrics import Metric

UNMEASURED = "not measured"
_SIZES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@final
@dataclass(frozen=True)
class Unit:
    """A way to write figures of one kind. `write` gives digits, `sign` follows them: `93.1 % (91.8–94.4)`."""

    write: Callable[[float], str]
    sign: str = ""
    signed: bool = False
    """Whether a figure may be negative: its interval then says "to", for a dash beside a minus can't be read."""

    def value(self, value: float | None) -> str:
        """One number."""
        return UNMEASURED if value is None else f"{self.write(value)}{self.sign}"

    def interval(self, figure: Figure) -> str:
        """The two ends, or nothing."""
        if figure.low is None or figure.high is None:
            return ""
        return f"{self.write(figure.low)}{' to ' if self.signed else '–'}{self.write(figure.high)}"

    def tick(self, value: float) -> str:
        """A round number on an axis."""
        written = re.sub(r"\.(\d*?)0+(?!\d)", lambda found: f".{found[1]}" if found[1] else "", self.write(value))
        return f"{written}{self.sign}" if len(self.sign) < 3 else written

    def told(self, figure: Figure) -> str:
        """A figure with its interval, or why there is none."""
        if figure.value is None:
            return f"{UNMEASURED}: {figure.reason}" if figure.reason else UNMEASURED
        interval = self.interval(figure)
        return f"{self.value(figure.value)} ({interval})" if interval else self.value(figure.value)


def plain(value: float) -> str:
    """Digits enough to tell apart what differs: whole numbers as they are, others to four significant digits."""
    if value == 0 or (value == round(value) and abs(value) < 1e15):
        return f"{value:,.0f}".replace("-", "−")
    places = max(0, 3 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(places, 8)}f}".replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    """A number to some significant digits, without an exponent where that can be helped."""
    if value == 0:
        return "0"
    if not 1e-7 <= abs(value) < 1e15:
        return re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.{digits - 1}e}").replace("-", "−")
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, places):,.{max(0, places)}f}".replace("-", "−")


def price(value: float) -> str:
    """A price to three significant digits, without noughts at its end."""
    written = significant(value)
    return written.rstrip("0").rstrip(".") if "." in written and "e" not in written else written


def signed(value: float, places: int) -> str:
    """A number that always shows its sign; what rounds to nothing has none."""
    written = f"{value:+.{places}f}"
    return (written[1:] if float(written) == 0 else written).replace("-", "−")


def scaled(value: float) -> str:
    """A large number in thousands (k), millions (M), milliards (G) or billions (T)."""
    if abs(value) < 1e4:
        return plain(value)
    size, sign = next((size, sign) for size, sign in _SIZES if abs(value) >= size)
    return f"{significant(value / size)} {sign}"


def duration(seconds: float) -> str:
    """A time, in the units that people say it in."""
    if seconds < 0.1:
        return f"{significant(seconds * 1000, 2)} ms"
    if seconds < 60:
        return f"{significant(seconds, 2) if seconds < 10 else f'{seconds:.0f}'} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _milliseconds(value: float) -> str:
    return f"{significant(value * 1000)} µs" if abs(value) < 0.1 else f"{significant(value)} ms"


def _megabytes(value: float) -> str:
    if abs(value) >= 1000:
        return f"{significant(value / 1000)} GB"
    if abs(value) < 0.1:
        return f"{significant(value * 1000, 2)} kB"
    return f"{significant(value, 2) if abs(value) < 1 else f'{value:.1f}'} MB"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


PERCENT = Unit(lambda value: f"{100 * value:.1f}".replace("-", "−"), " %")
POINTS = Unit(lambda value: signed(100 * value, 1), " points", signed=True)
CHANGE = Unit(lambda value: signed(value, 3), signed=True)
CORRELATION = Unit(lambda value: f"{value:.2f}".replace("-", "−"), signed=True)
DECIMAL = Unit(lambda value: f"{value:.3f}".replace("-", "−"))
TIMES = Unit(_times, "×")
RATE = Unit(lambda value: f"{value:,.0f}" if value >= 100 else significant(value), " texts/s")
LATENCY = Unit(_milliseconds)
MEGABYTES = Unit(_megabytes)
SECONDS = Unit(duration)
COUNT = Unit(lambda value: f"{value:,.0f}")
SCALED = Unit(scaled)
PLAIN = Unit(plain)

_BY_ENDING = {
    "texts_per_second": RATE,
    "resident_mb": MEGABYTES,
    "disk_mb": MEGABYTES,
    "parameters": SCALED,
    "flops_per_text": SCALED,
    "speedup": TIMES,
    "agreement": PERCENT,
    "negative_flips": PERCENT,
    "positive_flips": PERCENT,
    "break_even_texts": COUNT,
    "test_rows_shared": COUNT,
    "dev_rows_shared": COUNT,
    "outside_rows_shared": COUNT,
    "suites_rows_shared": COUNT,
    "teacher_rows_shared": COUNT,
    "test_rows_alike": COUNT,
}


@cache
def metric(name: str) -> Metric | None:
    """The metric of a name, or None for one that this installation does not have."""
    return plugins.build("metrics", name) if name in plugins.names("metrics") else None


def of_metric(name: str) -> Unit:
    """How to write a metric: in per cent where its range is a share's."""
    found = metric(name)
    return PERCENT if found is not None and (found.low, found.high) == (0.0, 1.0) else DECIMAL


def of_difference(name: str) -> Unit:
    """How to write the difference of a metric between two systems."""
    return POINTS if of_metric(name) is PERCENT else CHANGE


def of_measure(path: str) -> Unit:
    """How to write the figure at a path of the summary: its name carries its unit."""
    parts = path.split(".")
    if "retention" in parts:
        return PERCENT
    if parts[0] == "gap":
        return POINTS if parts[-1] == "real_minus_made" else PERCENT
    if parts[0] in ("forgotten", "ceiling"):
        return {"excess": POINTS, "spread": PLAIN, "seeds": COUNT, "teachers": COUNT}.get(parts[-1], PERCENT)
    if parts[0] == "difference":
        return of_difference(parts[-1])
    if "latency_ms" in parts:
        return LATENCY
    if "scores" in parts:
        return of_metric(parts[-1])
    return _BY_ENDING.get(parts[-1], PLAIN)


def label(name: str) -> str:
    """A metric's name as people read it, with which way is better."""
    found, told = metric(name), name.replace("_", "-").replace("f1", "F1")
    return told if found is None else f"{told} {'↑' if found.higher_is_better else '↓'}"
