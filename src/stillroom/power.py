"""How many more rows would settle what these rows can't tell.

The halves of an interval shrink with the square root of the rows. All of it is about, should figures stay as they are.
"""

from __future__ import annotations

import math
from statistics import NormalDist

#: Rows show a difference of a size where they would in so large a share of samples, if there is one of just that size.
POWER = 0.8
#: Beyond so many times the rows at hand, "collect more" is no advice.
HOPELESS = 100.0
#: How that is said behind a number of rows.
SHOWN = f"with {100 * POWER:g} % power"
#: A figure that more resamples than this can't tell has no interval.
UNDEFINED = 0.01
#: How likely it is that what a figure is divided by is as frequent as is taken here, where no row had any.
_UNSEEN = 0.05


def to_settle(value: float, low: float, high: float, *, limit: float, n: int) -> int | None:
    """How many more rows about would bring a limit out of an interval, should the figure stay; None: hardly any number.

    0: it is outside already. The halves of an interval shrink with the square root of the rows.
    """
    if not low <= limit <= high:
        return 0
    gap = abs(value - limit)
    half = value - low if value > limit else high - value
    times = (half / gap) ** 2 if gap else math.inf
    return None if times > HOPELESS else max(1, math.ceil(n * (times - 1)))


def to_show(value: float, low: float, high: float, *, size: float, confidence: float, n: int) -> int | None:
    """How many more rows about would show a difference of a size; 0: these would; None: hardly any number would.

    An interval that is no wider to a side than the size shows such a difference in every second sample. It takes
    z / (z + z') of the size to show it in the share `POWER`, z and z' the normal quantiles of the level and of that.
    """
    normal = NormalDist()
    z = normal.inv_cdf((1 + confidence) / 2)
    half, allowed = max(value - low, high - value), size * z / (z + normal.inv_cdf(POWER))
    if half <= allowed:
        return 0
    times = (half / allowed) ** 2 if allowed else math.inf
    return None if times > HOPELESS else max(1, math.ceil(n * (times - 1)))


def difference(value: float, low: float, high: float, *, confidence: float, n: int, of: str = "rows") -> str:
    """In words, how many more would show a difference as large as this one, which is not shown."""
    more = to_show(value, low, high, size=abs(value), confidence=confidence, n=n)
    if not more:
        return f"It is next to nothing: {hopeless(n):,} more {of} would hardly show it."
    return f"About {more:,} more {of} would show a difference of that size {SHOWN}."


def hopeless(n: int) -> int:
    """So many more rows would not do either."""
    return math.ceil(n * (HOPELESS - 1))


def undefined(share: float, *, n: int) -> str:
    """Why a figure that so large a share of the resamples can't tell has no interval, and how many more rows it takes.

    What it is divided by is in e^−λ of all resamples zero, λ the rows with any of it: so λ has to be −ln `UNDEFINED`.
    """
    expected = -math.log(share) if 0 < share < 1 else 1.0
    more = max(1, math.ceil(n * (math.log(UNDEFINED) / -expected - 1)))
    return f"too few rows: in many resamples the figure is not defined; about {more:,} more would define it"


def divided_by_zero(n: int) -> str:
    """Why a figure is no number, and how many more rows it takes at least.

    Of n rows none has what it is divided by, so that with probability 0.95 fewer than 3 in n do (the rule of three).
    """
    more = max(1, math.ceil(n * (math.log(UNDEFINED) / math.log(_UNSEEN) - 1)))
    return f"the figure is not defined on these rows (it divides by zero); no fewer than {more:,} more would define it"
