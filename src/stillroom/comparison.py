"""What was kept: teacher, student, the same student without the teacher, and a floor, on one aligned table.

Every figure has an interval and its number of rows, and every comparison is paired. What the rows can't tell is null,
with the reason, and never a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stillroom import discovery, divergence, forgotten, generalisation, intervals, power
from stillroom import slices as parts
from stillroom.core import plugins, recipe, seeds
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.fits import Fits
from stillroom.intervals import Estimate, Interval, Resamples, Sample, not_measurable
from stillroom.metrics import Answered, Metric
from stillroom.table import BASELINE, STUDENT, SYSTEMS, TEACHER, UNDISTILLED, Table

_STANDS_IN = (
    "No row has gold, and what the teacher said stands for it: the teacher's own scores mean nothing, and what is kept "
    "is how much of its words the student repeats."
)


def compare(
    table: Table,
    *,
    metrics: Sequence[str],
    settings: recipe.Evaluate,
    seed: int,
    floor: str = "its floor",
    fits: Fits | None = None,
    report: Report = silent,
) -> dict[str, Any]:
    """Everything that is told of the systems in a table, as JSON can hold it.

    The first metric that is about these rows is the primary one; those of answers that nobody gives are left out.

    `floor` is what people call the baseline; `fits` is what several fits of the student said of all rows of the table.

    Raises:
        InputError: the table lacks teacher or student, or the primary metric can't be retained.
    """
    members: list[Metric] = [plugins.build("metrics", name) for name in metrics]
    _check(table, members)
    systems = [system for system in SYSTEMS if system in table.said]
    meter = Meter(report, stage="intervals", total=len(members) + 1, unit="passes")
    answers = table.answers(table.test, systems)
    members = [one for one in members if answers[STUDENT].part(one.answers) is not None]
    first = primary(members, answers)
    members = [first, *(one for one in members if one is not first)]
    told = _headline(answers, members, settings=settings, seed=seed, meter=meter)
    cut = parts.cut(table)
    findings = parts.compare(
        table,
        cut,
        metric=members[0],
        beside=members[1:],
        settings=settings,
        rng=seeds.generator(seed, "evaluate/slices"),
    )
    meter.advance()
    student, confidence = answers[STUDENT], settings.confidence
    return {
        "rows": {"test": len(table.test), "outside": int(table.outside.sum())},
        "gold": "corpus" if table.has_gold else "teacher",
        "confidence": confidence,
        "resamples": settings.resamples,
        **told,
        "agreement": _agreement(student, confidence),
        "negative_flips": parts.flips(student, confidence),
        "positive_flips": parts.flips(student, confidence, better=True),
        "mcnemar": _mcnemar(answers),
        "divergence": divergence.measure(student, answers[TEACHER], resamples=settings.resamples,
                                         confidence=confidence, rng=seeds.generator(seed, "evaluate/divergence")),
        "slices": [finding.as_dict() for finding in findings],
        "uncut": parts.uncut(table),
        "worst_slice": parts.worst(findings, confidence=confidence),
        "forgotten": forgotten.measure(table, cut, fits, metric=members[0], settings=settings, seed=seed),
        "ceiling": forgotten.ceiling(table, fits, settings=settings, seed=seed),
        "discovered": discovery.discover(table, confidence=confidence, seed=seed),
        "calibrated_by": student.calibrated_by,
        "reliability": {
            system: bins for system in (TEACHER, STUDENT) if (bins := answers[system].reliability()) is not None
        },
        "risk_coverage": {
            system: found for system in (TEACHER, STUDENT) if (found := answers[system].risk_coverage()) is not None
        },
        "verdict": _verdict(
            told["difference"], told["systems"], metric=members[0].kind, floor=floor,
                            has_gold=table.has_gold, confidence=confidence),
    }  # fmt: skip


def nothing(metrics: Sequence[str], *, settings: recipe.Evaluate, reason: str) -> dict[str, Any]:
    """The same where there is no row to test on: every figure is there, not measurable, and says why."""
    members: list[Metric] = [plugins.build("metrics", name) for name in metrics]
    unknown = not_measurable(0, reason).as_dict()
    own = [one for one in members if not one.against_teacher]
    return {
        "rows": {"test": 0, "outside": 0},
        "confidence": settings.confidence,
        "resamples": settings.resamples,
        "systems": {
            TEACHER: {"scores": {one.kind: unknown for one in own}},
            STUDENT: {"scores": {one.kind: unknown for one in members}},
        },
        "signatures": {},
        "retention": {one.kind: unknown for one in own if one.higher_is_better},
        "difference": {f"student_minus_{TEACHER}": {one.kind: unknown for one in own}},
        "agreement": unknown,
        "negative_flips": unknown,
        "flipped": [],
        "fallen_by": None,
        "positive_flips": unknown,
        "mcnemar": {},
        "divergence": divergence.nothing(reason),
        "generalisation": generalisation.nothing(reason),
        "slices": [],
        "uncut": [],
        "discovered": discovery.nothing(reason),
        "forgotten": forgotten.nothing(reason),
        "ceiling": forgotten.no_ceiling(reason),
        "worst_slice": {"family": None, "name": None, "n": 0, "retention": unknown},
        "calibrated_by": None,
        "reliability": {},
        "risk_coverage": {},
        "verdict": {
            "sentence": f"What was kept is not measurable: {reason}.",
            "worth": "not measurable",
            "difference": None,
            "floor": "not measured",
        },
    }


def _check(table: Table, members: Sequence[Metric]) -> None:
    problems = [
        Problem("table", f"no answers of the {system}", "answers of teacher and student", "Run the stage before.")
        for system in (TEACHER, STUDENT)
        if system not in table.said
    ]
    if not members or members[0].against_teacher or not members[0].higher_is_better:
        found = f"`{members[0].kind}` as the primary metric" if members else "no metric"
        expected = "one that is higher for better systems and that the teacher has too, such as `accuracy`"
        problems.append(Problem("metrics", found, expected, "Name such a metric first."))
    if problems:
        raise InputError(*problems)


def primary(members: Sequence[Metric], answers: Mapping[str, Answered]) -> Metric:
    """The first metric that is about any of these rows, and can be retained, since both sides say what it takes.

    Where there is none, the first.
    """
    for one in members:
        unsaid = any(one.unsaid(answers[side], who=side) for side in (TEACHER, STUDENT))
        if one.higher_is_better and not one.against_teacher and not unsaid:
            found = one.about(answers[STUDENT])
            if found is not None and (found[1] is None or len(found[1])):
                return one
    return members[0]


def _headline(
    answers: Mapping[str, Answered],
    members: Sequence[Metric],
    *,
    settings: recipe.Evaluate,
    seed: int,
    meter: Meter,
) -> dict[str, Any]:
    """Scores, retention and differences on the test rows, a metric at a time."""
    rows = len(answers[STUDENT])
    drawn = Resamples(rows, count=settings.resamples, rng=seeds.generator(seed, "evaluate/test"))
    systems: dict[str, Any] = {system: {"scores": {}} for system in answers}
    retention: dict[str, Any] = {}
    pairs = {f"student_minus_{other}": other for other in answers if other != STUDENT}
    difference: dict[str, Any] = {pair: {} for pair in pairs}
    for metric in members:
        judged = {one: said for one, said in answers.items() if not (metric.against_teacher and one == TEACHER)}
        mute = {one: not_measurable(rows, why) for one, said in judged.items() if (why := metric.unsaid(said, who=one))}
        estimates = drawn.estimate({one: _sample(metric, said) for one, said in judged.items() if one not in mute})
        for system in judged:
            score = mute.get(system) or _score(metric, estimates[system], settings.confidence)
            systems[system]["scores"][metric.kind] = score.as_dict()
        for pair, other in pairs.items():
            if other in judged:
                unsaid = mute.get(STUDENT) or mute.get(other)
                minus = unsaid or _difference(metric, estimates[STUDENT], estimates[other], settings.confidence)
                difference[pair][metric.kind] = minus.as_dict()
        if metric.higher_is_better and not metric.against_teacher:
            unsaid = mute.get(STUDENT) or mute.get(TEACHER)
            kept = unsaid or _retention(metric, estimates[STUDENT], estimates[TEACHER], settings.confidence)
            retention[metric.kind] = kept.as_dict()
        meter.advance()
    signatures: dict[str, str] = {}
    for metric in members:
        about = metric.about(answers[STUDENT])
        if about is not None and (found := metric.signature(about[0])):
            signatures[metric.kind] = found
    return {"systems": systems, "retention": retention, "difference": difference, "signatures": signatures}


def _sample(metric: Metric, said: Answered) -> Sample:
    """The statistics of the rows that a metric is about."""
    found = metric.statistics(said)
    if found is None:
        raise AssertionError(f"{metric.kind} is about nothing of this, as it is of what the student said")
    counted, rows = found
    return Sample(rows, metric.value, counted)


def _score(metric: Metric, estimate: Estimate, confidence: float) -> Interval:
    return _sized(metric, intervals.score(metric, estimate, confidence=confidence))


def _retention(metric: Metric, student: Estimate, teacher: Estimate, confidence: float) -> Interval:
    return _sized(metric, (student / teacher).interval(confidence, within=(0.0, math.inf)))


def _difference(metric: Metric, student: Estimate, other: Estimate, confidence: float) -> Interval:
    width = metric.high - metric.low
    return _sized(metric, (student - other).interval(confidence, within=(-width, width)))


def _sized(metric: Metric, interval: Interval) -> Interval:
    """The interval, or why there is none, where the metric needs more rows."""
    if interval.n >= metric.min_rows:
        return interval
    return not_measurable(interval.n, intervals.too_few(interval.n, metric.min_rows, of=f"rows for {metric.kind}"))


def _agreement(student: Answered, confidence: float) -> dict[str, Any]:
    same = student.agrees
    if same is None:
        return not_measurable(len(student), divergence.NOTHING_NAMED).as_dict()
    return intervals.clopper_pearson(int(same.sum()), len(same), confidence).as_dict()


def _mcnemar(answers: Mapping[str, Answered]) -> dict[str, Any]:
    """For each other system: rows that only it has right (b), that only the student has right (c), and the exact p."""
    student = answers[STUDENT].right
    told: dict[str, Any] = {}
    for other, said in answers.items():
        right = said.right
        if other != STUDENT and student is not None and right is not None:
            b, c = int((right & ~student).sum()), int((student & ~right).sum())
            told[other] = {"b": b, "c": c, "p": intervals.mcnemar(b, c)}
    for one, adjusted in zip(told.values(), intervals.holm([one["p"] for one in told.values()]), strict=True):
        one.update(p=intervals.plain(one["p"]), p_holm=intervals.plain(adjusted))
    return told


def _verdict(
    difference: Mapping[str, Any],
    systems: Mapping[str, Any],
    *,
    metric: str,
    floor: str,
    has_gold: bool,
    confidence: float,
) -> dict[str, Any]:
    """In words: what the teacher added to this student, and whether the student stands above its floor."""
    added = difference.get(f"student_minus_{UNDISTILLED}", {}).get(metric)
    above = difference.get(f"student_minus_{BASELINE}", {}).get(metric)
    worth = _sign(added, more="helps", less="hurts")
    stands = _sign(above, more="above", less="under")
    level = f"{100 * confidence:g} %"
    if added is None:
        first = "What the teacher added is not measured: the same student without the teacher is not there."
    elif added["value"] is None:
        first = f"What the teacher added is not measurable: {added['reason']}."
    else:
        said = {"helps": "The teacher helps", "hurts": "The teacher hurts"}.get(worth, "No difference is shown")
        with_it, without = (systems[system]["scores"][metric]["value"] for system in (STUDENT, UNDISTILLED))
        first = (
            f"{said}: {metric} {with_it:.3f} with the teacher's words, {without:.3f} without them, "
            f"{_span(added, level)} on {added['n']:,} rows."
        )
        first += _power(added, confidence) if worth == "no difference shown" else ""
    second = {
        "above": f"The student stands above {floor}",
        "under": f"A finding: the student stands under its floor, {floor}",
        "no difference shown": f"No difference is shown between the student and {floor}",
    }.get(stands)
    more = _power(above, confidence) if above is not None and stands == "no difference shown" else ""
    sentence = f"{first} {second}, {_span(above, level)}.{more}" if second else first
    sentence = sentence if has_gold else f"{_STANDS_IN} {sentence}"
    return {"sentence": sentence, "worth": worth, "difference": added, "floor": stands}


def _sign(interval: Mapping[str, Any] | None, *, more: str, less: str) -> str:
    if interval is None:
        return "not measured"
    if interval["value"] is None:
        return "not measurable"
    if interval["low"] > 0:
        return more
    return less if interval["high"] < 0 else "no difference shown"


def _power(difference: Mapping[str, Any], confidence: float) -> str:
    """How many more rows would show a difference as large as this one."""
    value, low, high = (float(difference[end]) for end in ("value", "low", "high"))
    return f" {power.difference(value, low, high, confidence=confidence, n=difference['n'])}"


def _span(interval: Mapping[str, Any] | None, level: str) -> str:
    """A difference with its interval, as people read it."""
    if interval is None:
        return ""
    ends = (f"{interval[end]:+.3f}".replace("-", "−") for end in ("value", "low", "high"))
    value, low, high = ends
    return f"{value} ({level} interval {low} to {high})"
