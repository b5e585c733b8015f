"""What may be shipped: each gate's answer, judged on the bound of an interval and never on a lucky point.

    pass             the whole interval is on the right side of the limit
    fail             the whole interval is on the wrong side
    inconclusive     the limit lies inside the interval: these rows can't tell
    not measurable   there is no such figure, or the rows were too few for one

Only `pass` passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeGuard, final

from stillroom import contamination, divergence, forgotten, gap, generalisation, power
from stillroom.core import plugins, recipe
from stillroom.core.errors import nearest
from stillroom.metrics import Metric
from stillroom.table import BASELINE, STUDENT, SYSTEMS, TEACHER, UNDISTILLED

State = Literal["pass", "fail", "inconclusive", "not measurable"]
Sense = Literal["at_least", "at_most"]

_COSTS = (
    "texts_per_second",
    "latency_ms.p50",
    "latency_ms.p95",
    "latency_ms.p99",
    "resident_mb",
    "disk_mb",
    "parameters",
)
#: Parts of a summary that describe the run and not the systems.
_NOT_MEASURED = frozenset({"seed", "stages", "gates", "confidence", "resamples"})
_ABSENT = object()


@final
@dataclass(frozen=True)
class Verdict:
    """A gate's answer: the figure that it was judged on, why, and what would settle or mend it."""

    measure: str
    state: State
    limit: float
    sense: Sense
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The verdict as a program reads it."""
        return asdict(self)


@final
@dataclass(frozen=True)
class _Figure:
    """A figure of the summary; without an interval both ends are the value."""

    value: float
    low: float
    high: float
    n: int | None
    has_interval: bool


def judge(gates: Sequence[recipe.Gate], summary: Mapping[str, Any]) -> list[Verdict]:
    """Each gate's answer, in the order of the recipe."""
    known = measures(summary)
    return [_judge(gate, summary, known) for gate in gates]


def passed(verdicts: Sequence[Verdict]) -> bool:
    """Whether every gate passed; without gates nothing said no."""
    return all(verdict.state == "pass" for verdict in verdicts)


def measures(summary: Mapping[str, Any]) -> list[str]:
    """The paths of every figure in a summary, measured or not, in alphabetical order."""
    return sorted(_paths({name: part for name, part in summary.items() if name not in _NOT_MEASURED}, ""))


def vocabulary(metrics: Sequence[str]) -> list[str]:
    """The measures that a finished run of a task with these metrics has: for a check before anything dear begins."""
    members: dict[str, Metric] = {name: plugins.build("metrics", name) for name in metrics}
    own = [name for name, member in members.items() if not member.against_teacher]
    kept = [name for name in own if members[name].higher_is_better]
    paths = [
        *divergence.paths(),
        *(f"generalisation.{one}" for one in generalisation.FIGURES),
        "discovered.confirmed",
        "agreement",
        "negative_flips",
        "positive_flips",
        "worst_slice.retention",
        "speedup",
    ]
    paths += [f"forgotten.{figure}" for figure in forgotten.FIGURES]
    paths += [f"ceiling.{figure}" for figure in forgotten.CEILINGS]
    paths += [f"retention.{name}" for name in kept]
    paths += [f"{system}.cost.{cost}" for system in (TEACHER, STUDENT) for cost in _COSTS]
    for system in SYSTEMS:
        paths += [f"{system}.scores.{name}" for name in (own if system == TEACHER else metrics)]
    for other in (TEACHER, UNDISTILLED, BASELINE):
        paths += [f"difference.student_minus_{other}.{name}" for name in (own if other == TEACHER else metrics)]
    paths += [f"contamination.{figure}" for figure in contamination.FIGURES]
    return sorted([*paths, *(f"gap.{figure}" for figure in gap.FIGURES)])


def _paths(part: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, value in part.items():
        path = f"{where}.{name}" if where else str(name)
        if isinstance(value, Mapping):
            if "value" in value:
                yield path
            else:
                yield from _paths(value, path)
        elif _is_number(value):
            yield path


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _limit(gate: recipe.Gate) -> tuple[Sense, float]:
    if gate.at_least is not None:
        return "at_least", gate.at_least
    if gate.at_most is not None:
        return "at_most", gate.at_most
    raise AssertionError("a gate without a limit: the recipe takes exactly one")


def _judge(gate: recipe.Gate, summary: Mapping[str, Any], known: Sequence[str]) -> Verdict:
    sense, limit = _limit(gate)
    found = _at(summary, gate.measure)
    # Only a figure as a whole may be named: `retention.accuracy.value` would be judged on the point, past its interval.
    if gate.measure not in known and found is not None:
        reason = "the summary has no figure of this name"
        return Verdict(gate.measure, "not measurable", limit, sense, reason=reason, advice=nearest(gate.measure, known))
    figure, reason = _figure(found)
    if figure is None:
        why = reason or _beside(summary, gate.measure) or "it was not measured"
        return Verdict(gate.measure, "not measurable", limit, sense, reason=why)
    # Seen from the right side of the limit, `at_most` is `at_least` with the signs turned.
    sign = 1.0 if sense == "at_least" else -1.0
    worst, best = sorted((sign * figure.low, sign * figure.high))
    state: State = "pass" if worst >= sign * limit else "fail" if best < sign * limit else "inconclusive"
    return Verdict(
        gate.measure,
        state,
        limit,
        sense,
        value=figure.value,
        low=figure.low if figure.has_interval else None,
        high=figure.high if figure.has_interval else None,
        reason=_reason(figure, state, limit, sense),
        advice=_advice(figure, limit, sense, of=_of(summary, gate.measure)) if state == "inconclusive" else "",
    )


def _at(summary: Mapping[str, Any], path: str) -> Any:
    """What stands at a dotted path, None included, or `_ABSENT`."""
    part: Any = summary
    for name in path.split("."):
        part = part.get(name, _ABSENT) if isinstance(part, Mapping) else _ABSENT
    return part


def _beside(summary: Mapping[str, Any], path: str) -> str:
    """Why a whole table of the summary was not measured, where one on the way to a figure says so."""
    part: Any = summary
    for name in path.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
        if isinstance(part, Mapping) and part.get("reason"):
            return str(part["reason"])
    return ""


def _figure(found: Any) -> tuple[_Figure | None, str]:
    """The figure in what was found, or why there is none, where that is said."""
    told: Mapping[str, Any] = found if isinstance(found, Mapping) else {"value": found}
    value, low, high = (float(end) if _is_number(end) else None for end in map(told.get, ("value", "low", "high")))
    torn = "low" in told and (low is None or high is None)
    if value is None or torn:
        return None, str(told.get("reason") or ("its interval was not measured" if torn else ""))
    n = told.get("n")
    rows = n if isinstance(n, int) and n > 0 else None
    if low is None or high is None:
        figure = _Figure(value, value, value, rows, has_interval=False)
    else:
        figure = _Figure(value, low, high, rows, has_interval=True)
    finite = all(math.isfinite(end) for end in (figure.value, figure.low, figure.high))
    return (figure, "") if finite else (None, "it is not a finite number")


def _reason(figure: _Figure, state: State, limit: float, sense: Sense) -> str:
    asked = f"{'at least' if sense == 'at_least' else 'at most'} {limit:g}"
    if not figure.has_interval:
        return f"judged on the point {figure.value:g}, {asked} asked: this figure has no interval"
    span = f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"
    if state == "inconclusive":
        return f"{asked} asked, and the limit lies inside {span}"
    bound = {("at_least", "pass"): "lower", ("at_most", "fail"): "lower"}.get((sense, state), "upper")
    return f"{asked} asked, and the {bound} end of {span} is {'within' if state == 'pass' else 'past'} it"


def _advice(figure: _Figure, limit: float, sense: Sense, *, of: str) -> str:
    """How many more rows about would settle it, and which."""
    rows = figure.n or 1000
    more = power.to_settle(figure.value, figure.low, figure.high, limit=limit, n=rows)
    if more is None:
        many = f"{power.hopeless(rows):,} more rows{of}" if figure.n else f"{power.HOPELESS:g} times the rows"
        return f"The figure lies at the limit: {many} alone would hardly settle it."
    fate = "pass" if (figure.value >= limit) == (sense == "at_least") else "fail"
    if figure.n is None:
        return (
            f"About {1 + more / rows:.1f} times the rows would settle it; it would then {fate}, should the figure stay."
        )
    return (
        f"About {more:,} more rows{of} would settle it; it would then {fate}, should the figure stay at "
        f"{figure.value:.4g}."
    )


def _of(summary: Mapping[str, Any], path: str) -> str:
    """Which rows a figure rests on, where it is a slice's."""
    part = _at(summary, path.rpartition(".")[0])
    family, name = (part.get(one) if isinstance(part, Mapping) else None for one in ("family", "name"))
    return f" of {family} “{name}”" if family and name else ""
