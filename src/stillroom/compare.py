"""Two runs, or a run and last week's: what of the student got better, worse, or can't be told apart.

Both are judged on the same test rows, paired row by row. Figures are corrected for there being several (the intervals
of Bonferroni's level, the slices of Benjamini and Hochberg's); a regression is a drop that is shown to be past the
margin, not one that might be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import evaluate, intervals, journey, paired, power, written_slices
from stillroom.core import artifact, plugins, seeds
from stillroom.core.artifact import Artifact
from stillroom.core.errors import InputError, Problem
from stillroom.intervals import Estimate, Interval, Resamples, Sample, not_measurable
from stillroom.metrics import Floats, Metric
from stillroom.paired import Paired, Part
from stillroom.table import SLICES, STATISTICS, STUDENT

State = Literal["better", "worse", "regression", "unchanged", "not measurable"]
_COSTS = ("texts_per_second", "disk_mb", "resident_mb")
_RESAMPLES = 5000


@final
@dataclass(frozen=True)
class Side:
    """One of the two: its evaluation, and the summary of its run, where it is a run."""

    where: Path
    evaluation: Artifact
    summary: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Side:
        """The run, or the evaluation, in a folder.

        Raises:
            ArtifactError: neither is there, or it is damaged.
            InputError: a run that was not evaluated.
        """
        found = journey.look(folder)
        stages = found.get("stages")
        if isinstance(stages, Mapping):
            if "evaluate" not in stages:
                todo = "Run its recipe to the end, or name the folder of an evaluation."
                raise InputError(Problem(str(folder), "a run that was not evaluated", "one that was", todo))
            key = stages["evaluate"]["key"]
            own = folder.resolve().parent.parent / evaluate.STAGE / key
            return cls(folder, artifact.load(own), found)
        if found.get("stage") != evaluate.STAGE:
            expected = "the folder of a run, or of an evaluation"
            raise InputError(Problem(str(folder), f"an artifact of `{found.get('stage')}`", expected, "Name another."))
        return cls(folder, artifact.load(folder), {})

    def table(self, name: str) -> pa.Table:
        """A file of its evaluation.

        Raises:
            InputError: it has none: there was no row to test on, or an older version wrote it.
        """
        path = self.evaluation.folder / name
        if not path.is_file():
            raise InputError(Problem(str(path), "no such file", "an evaluation with test rows", "Evaluate it again."))
        return pq.read_table(path)


def compare(before: Path, after: Path, *, margin: float = 0.0, confidence: float = 0.95) -> dict[str, Any]:
    """What changed from one run to another: `metrics`, `slices`, `costs` and `gates`, and the `regressions` by name.

    `margin` is how much a figure may fall, as a share of its range, before that is a regression.

    Raises:
        InputError: other test rows, or no figure in common.
        ArtifactError: a folder without a run or an evaluation, or a damaged one.
    """
    sides = Side.of(before), Side.of(after)
    rows = Paired(*(side.table(STATISTICS) for side in sides), where=(before, after))
    known = [name.removeprefix(f"{STUDENT}.") for name in rows.names if name.startswith(f"{STUDENT}.")]
    members: list[Metric] = [plugins.build("metrics", name) for name in known]
    primary = next((one for one in members if rows.counts(one) >= one.min_rows), members[0])
    cut = [written_slices.read(side.table(SLICES)) for side in sides]
    parts = list(paired.parts(primary, rows, *cut))
    changes = _changes(members, primary, parts, rows)
    level = 1 - (1 - confidence) / len(members)
    metrics = {one.kind: _metric(one, changes[one.kind], margin=margin, level=level) for one in members}
    by_slice = _slices(primary, parts, changes, margin=margin, confidence=confidence)
    regressions = [name for name, one in metrics.items() if one["state"] == "regression"]
    regressions += [f"{one['family']} “{one['name']}”" for one in by_slice if one["state"] == "regression"]
    return {
        "before": str(before),
        "after": str(after),
        "rows": {"both": len(rows), "only_before": rows.alone[0], "only_after": rows.alone[1]},
        "margin": margin,
        "confidence": confidence,
        "metrics": metrics,
        "slices": by_slice,
        "costs": list(_costs(*(side.summary for side in sides))),
        "gates": list(_gates(*(side.summary for side in sides))),
        "regressions": regressions,
    }


@final
@dataclass(frozen=True)
class _Change:
    """A figure before and after, on the same rows and the same resamples; None: too few rows for one."""

    n: int
    before: Estimate | None = None
    after: Estimate | None = None


def _changes(
    members: Sequence[Metric],
    primary: Metric,
    parts: Sequence[Part],
    rows: Paired,
) -> dict[str, _Change]:
    """Each metric, and the primary one on each slice, before and after, all in one pass over the same resamples."""
    samples: dict[str, Sample] = {}
    found: dict[str, _Change] = {}
    for metric in members:
        counted, *both = rows.statistics(f"{STUDENT}.{metric.kind}")
        found[metric.kind] = _Change(len(counted))
        if len(counted) >= metric.min_rows:
            samples |= _sampled(metric.kind, metric, both, counted)
    for number, part in enumerate(parts):
        found[str(number)] = _Change(len(part.rows))
        if len(part.rows) >= primary.min_rows:
            samples |= _sampled(str(number), primary, part.statistics, part.rows)
    told = Resamples(len(rows), count=_RESAMPLES, rng=seeds.generator(0, "compare")).estimate(samples)
    return {
        name: _Change(one.n, told[f"{name} before"], told[f"{name} after"]) if f"{name} before" in told else one
        for name, one in found.items()
    }


def _sampled(name: str, metric: Metric, both: Sequence[Floats], places: NDArray[np.int64]) -> dict[str, Sample]:
    return {
        f"{name} {when}": Sample(one, metric.value, places) for when, one in zip(("before", "after"), both, strict=True)
    }


def _metric(metric: Metric, found: _Change, *, margin: float, level: float) -> dict[str, Any]:
    if found.before is None or found.after is None:
        nothing = not_measurable(found.n, intervals.too_few(found.n, metric.min_rows, of=f"rows for {metric.kind}"))
        return {"state": "not measurable", "change": nothing.as_dict()}
    width = metric.high - metric.low
    change = (found.after - found.before).interval(level, within=(-width, width))
    state = _state(metric, change, margin=margin)
    return {
        "before": intervals.plain(found.before.value),
        "after": intervals.plain(found.after.value),
        "change": change.as_dict(),
        "state": state,
        **_power(metric, change, state, margin=margin, confidence=level),
    }


def _state(metric: Metric, change: Interval, *, margin: float) -> State:
    """What an interval of a change shows; the margin is a share of the metric's range."""
    if change.low is None or change.high is None:
        return "not measurable"
    low, high = (change.low, change.high) if metric.higher_is_better else (-change.high, -change.low)
    if low > 0:
        return "better"
    if high >= 0:
        return "unchanged"
    return "regression" if high < -margin * _scale(metric) else "worse"


def _power(
    metric: Metric, change: Interval, state: State, *, margin: float, confidence: float, of: str = ""
) -> dict[str, Any]:
    """How many more rows would show what these don't: a change of the margin, or, without one, of the size it has.

    Of a figure that is worse: whether it is so by more than the margin. `confidence` is the level of the interval.
    """
    if change.value is None or change.low is None or change.high is None:
        return {}
    ends, limit = (change.value, change.low, change.high), margin * _scale(metric)
    past, went = (-limit, "fell") if metric.higher_is_better else (limit, "rose")
    if state == "unchanged":
        if power.to_settle(*ends, limit=0.0, n=change.n) == 0:
            return {
                "more_rows": 0,
                "power": "On its own the change is shown; the correction for several slices decides.",
            }
        size = limit or abs(change.value)
        what = f"a change of {size:.3g} {power.SHOWN}" if size else "any change"
    elif state == "worse" and change.low < past < change.high:
        size, what = abs(change.value - past), f"whether it {went} by more than {limit:.3g} {power.SHOWN}"
    else:
        return {}
    never = change.low == change.high  # no row tells the two apart
    more = 0 if never else power.to_show(*ends, size=size, confidence=confidence, n=change.n)
    rows = f"{power.hopeless(change.n) if more is None else more:,} more rows{of}"
    told = f"Even {rows} would hardly show {what}." if more is None else f"About {rows} would show {what}."
    return {"more_rows": more, "power": f"These rows would show {what}." if more == 0 else told}


def _scale(metric: Metric) -> float:
    """What a margin of 1 is: the width of a share or of a percentage, and 1 for what has no such end."""
    width = metric.high - metric.low
    return width if width <= 1000 else 1.0


def _slices(
    metric: Metric,
    parts: Sequence[Part],
    changes: Mapping[str, _Change],
    *,
    margin: float,
    confidence: float,
) -> list[dict[str, Any]]:
    """The primary metric on each slice; what changed is held to a share of false finds (Benjamini and Hochberg)."""
    found: list[tuple[Part, Estimate, float]] = []
    told: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        one, of = changes[str(number)], _of(part)
        if one.before is None or one.after is None:
            few = not_measurable(one.n, intervals.too_few(one.n, metric.min_rows, which=of) if one.n else part.why)
            told.append({**_named(part, few), "q": None, "state": "not measurable"})
            continue
        change = one.after - one.before
        found.append((part, change, _chance(change)))
    adjusted = intervals.benjamini_hochberg([p for *_, p in found])
    for (part, change, _), q in zip(found, adjusted, strict=True):
        level = 1 - (1 - confidence) / len(found)
        interval, strict = (change.interval(one) for one in (confidence, level))
        state = _state(metric, interval, margin=margin)
        state = "unchanged" if q > 1 - confidence and interval.value is not None else state
        told.append({**_named(part, interval), "q": intervals.plain(q), "state": state,
                     **_power(metric, strict, state, margin=margin, confidence=level, of=_of(part))})  # fmt: skip
    return told


def _named(part: Part, change: Interval) -> dict[str, Any]:
    return {"family": part.family, "name": part.name, "n": change.n, "change": change.as_dict()}


def _of(part: Part) -> str:
    return f" of {part.family} “{part.name}”"


def _chance(change: Estimate) -> float:
    """The p of no change, two-sided: twice the smaller share of the resamples on one side, or a normal tail if larger.

    Shares end where the resamples do, which is too early for one slice among hundreds. The tail is that of z / √(1 +
    z²/n), z the change in standard errors of its resamples: they spread about the change, and √(spread² + change²/n) is
    how far they would about none. So ten rows of thirty that all fell have 0.0016, where the sign test has 0.0020.
    """
    if not np.isfinite(change.resampled).all():
        return 1.0
    beyond = min(float(np.mean(change.resampled >= 0)), float(np.mean(change.resampled <= 0)))
    far = math.hypot(float(np.std(change.resampled)), change.value / math.sqrt(change.n))
    tail = math.erfc(abs(change.value) / far / math.sqrt(2)) if far else 1.0
    return min(1.0, max(2 * beyond, tail))


def _costs(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the student costs, and by how much that changed: of one machine at two times, so nothing is concluded."""
    for name in _COSTS:
        one, other = (((side.get("student") or {}).get("cost") or {}).get(name) for side in (before, after))
        if isinstance(one, int | float) and isinstance(other, int | float) and one > 0:
            yield {"cost": name, "before": one, "after": other, "ratio": intervals.plain(other / one)}


def _gates(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The gates of both, and those that changed their answer."""
    states = [{one["measure"]: one["state"] for one in side.get("gates") or ()} for side in (before, after)]
    for measure in dict.fromkeys([*states[0], *states[1]]):
        yield {"measure": measure, "before": states[0].get(measure), "after": states[1].get(measure)}


def passed(found: Mapping[str, Any]) -> bool:
    """Whether nothing regressed past the margin."""
    return not found["regressions"]


def told(found: Mapping[str, Any]) -> Sequence[str]:
    """The comparison in sentences."""
    states = [one["state"] for one in found["metrics"].values()]
    counts = {state: states.count(state) for state in ("better", "worse", "regression", "unchanged", "not measurable")}
    parts = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    lines = [f"Of {len(states)} metrics on {found['rows']['both']:,} rows that both have: {parts}."]
    lines += [f"{name}: {one['power']}" for name, one in found["metrics"].items() if one.get("more_rows") != 0 and
              "power" in one]  # fmt: skip
    few = [one["change"] for one in found["slices"] if one["state"] == "not measurable"]
    if few:
        nearest = max(few, key=lambda one: int(one["n"]))["reason"]
        lines.append(f"{len(few)} of {len(found['slices'])} slices can't be compared; of the largest: {nearest}.")
    if found["regressions"]:
        lines.append(f"Regressed past the margin: {', '.join(found['regressions'])}.")
    return lines
