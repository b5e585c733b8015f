"""What a student forgot of its teacher, told apart from what the chance of training alone changes.

Several fits of one student, with a seed each, answer the same rows. A row is *forgotten* where what most of them say is
not what their teacher says (Hooker et al., What Do Compressed Deep Neural Networks Forget?, arXiv 1911.05248: there of
compressed and uncompressed networks). Seeds alone make such rows too: the same is asked of each student against all the
others, and only what the teacher is away beyond that is the student's. With one seed it is plain *disagreement*.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import divergence, intervals
from stillroom.core import recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import translating_full_disk
from stillroom.core.progress import Meter, Report, silent
from stillroom.emphasis import FILE, STAGE
from stillroom.export import in_torch
from stillroom.fits import Fits, Flags, most
from stillroom.intervals import Interval, Resamples, Sample, not_measurable
from stillroom.metrics import Answered, Floats, Metric, ratio
from stillroom.slices import Slice
from stillroom.students import Student
from stillroom.table import STUDENT, TEACHER, Table
from stillroom.tasks import Task
from stillroom.transfer_set import TransferSet, part_of

TOP = 50
"""How many rows are named, the most forgotten first."""
SURE = 0.9
"""From here on a teacher counts as sure of a row: its confidence."""
MOST = 0.5
"""A row that was learned from counts as forgotten where students say so much of it otherwise, in the mean."""
FIGURES = ("rate", "null", "excess", "sure", "learned", "spread")
CEILINGS = ("student_student", "teacher_teacher")
ONE_SEED = "one seed; set train.seeds = 3"
_ONE_TEACHER = "one teacher; one that is fitted here can be fitted with two seeds: set evaluate.teachers = 2"
_SEVERAL = 2
_UNSAID = "the teacher does not say how sure it is"
_NOTHING = "nothing was forgotten"
_WRITTEN = "answers are texts, which are seldom the same to the letter"


def measure(
    table: Table,
    slices: Sequence[Slice],
    fits: Fits | None,
    *,
    metric: Metric,
    settings: recipe.Evaluate,
    seed: int,
) -> dict[str, Any]:
    """Everything that is told of what was forgotten, as JSON can hold it. `fits` are of all rows of the table.

    None: there is one student, the one that ships.
    """
    every = fits or Fits.shipped(table.said[STUDENT])
    if every is None:
        return nothing(divergence.NOTHING_NAMED)
    test = every.take(table.test)
    level, count = settings.confidence, len(table.test)
    lost, teacher = test.forgotten, table.said[TEACHER].take(table.test)
    drawn = Resamples(count, count=settings.resamples, rng=seeds.generator(seed, "evaluate/forgotten"))
    alone = not_measurable(count, ONE_SEED)
    null = excess = alone
    each: list[float | None] = []
    if len(test) > 1:
        by_teacher, by_itself = test.left_out
        null, excess = _beyond(by_teacher, by_itself, drawn, level)
        each = [intervals.plain(float(one)) for one in by_itself.mean(axis=1)]
    return {
        "called": "forgotten" if len(test) > 1 else "disagreement",
        "seeds": len(test),
        "teachers": len(test.teachers),
        "rate": _share(lost, level),
        "null": {**null.as_dict(), "each": each},
        "excess": excess.as_dict(),
        "sure": _sure(lost, teacher, level).as_dict(),
        "learned": not_measurable(0, "not looked at").as_dict(),
        "spread": _spread(test, metric, drawn, level),
        "slices": _slices(table, slices, every.forgotten, settings=settings, seed=seed),
        "top": _top(table, test, lost, teacher),
    }


def nothing(reason: str) -> dict[str, Any]:
    """The same where there is no row to test on."""
    unknown = not_measurable(0, reason).as_dict()
    return {
        "called": "disagreement",
        "seeds": 0,
        "teachers": 1,
        **dict.fromkeys(FIGURES, unknown),
        "slices": [],
        "top": [],
    }


def ceiling(table: Table, fits: Fits | None, *, settings: recipe.Evaluate, seed: int) -> dict[str, Any]:
    """How often those agree of whom nobody is more right: what agreement with the teacher can be held against."""
    count, named = len(table.test), table.said[STUDENT].agrees is not None
    groups = {} if fits is None else {"student_student": range(len(fits)), "teacher_teacher": fits.teachers}
    drawn = Resamples(count, count=settings.resamples, rng=seeds.generator(seed, "evaluate/ceiling"))
    found = {}
    for name, alone in zip(CEILINGS, (ONE_SEED, _ONE_TEACHER), strict=True):
        pairs = list(itertools.combinations(groups.get(name, ()), 2))
        if fits is None or not pairs:
            found[name] = not_measurable(count, alone if named else divergence.NOTHING_NAMED).as_dict()
            continue
        same = np.mean([fits.alike[one, other, table.test] for one, other in pairs], axis=0)
        told = drawn.estimate({"same": _mean(same)})["same"].interval(settings.confidence, within=(0.0, 1.0))
        found[name] = told.as_dict()
    return found


def no_ceiling(reason: str) -> dict[str, Any]:
    """The same where there is no row to test on."""
    return dict.fromkeys(CEILINGS, not_measurable(0, reason).as_dict())


def _share(hits: Flags, confidence: float) -> dict[str, Any]:
    count = int(hits.sum())
    return {**intervals.clopper_pearson(count, len(hits), confidence).as_dict(), "count": count}


def _mean(values: NDArray[Any]) -> Sample:
    """The mean of something of each row."""
    return Sample(np.stack([values, np.ones(len(values))], axis=1).astype(np.float64), _per_row)


def _per_row(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def _beyond(by_teacher: Flags, by_itself: Flags, drawn: Resamples, confidence: float) -> tuple[Interval, Interval]:
    """How often siblings are apart from one of theirs, and how much more often from the teacher: the same siblings."""
    both = drawn.estimate({"null": _mean(by_itself.mean(axis=0)), "taught": _mean(by_teacher.mean(axis=0))})
    null, taught = both["null"], both["taught"]
    return null.interval(confidence, within=(0.0, 1.0)), (taught - null).interval(confidence, within=(-1.0, 1.0))


def _sure(lost: Flags, teacher: Answered, confidence: float) -> Interval:
    """How much of what was forgotten the teacher was sure of."""
    surety = teacher.confidence
    if surety is None:
        return not_measurable(int(lost.sum()), _UNSAID)
    if not lost.any():
        return not_measurable(0, _NOTHING)
    return intervals.clopper_pearson(int((surety[lost] >= SURE).sum()), int(lost.sum()), confidence)


def _spread(fits: Fits, metric: Metric, drawn: Resamples, confidence: float) -> dict[str, Any]:
    """How far the fits' scores are apart, beside how far one score is off for the rows that happen to be there."""
    found = [one for one in (metric.statistics(said) for said in fits.said) if one is not None]
    if len(fits) < 2:
        return {**not_measurable(len(fits), ONE_SEED).as_dict(), "metric": metric.kind}
    samples = {str(number): Sample(rows, metric.value, counted) for number, (counted, rows) in enumerate(found)}
    estimates = list(drawn.estimate(samples).values())
    values = [one.value for one in estimates]
    return {
        **intervals.deviation(np.array(values), confidence).as_dict(),
        "metric": metric.kind,
        "lowest": intervals.plain(min(values)),
        "highest": intervals.plain(max(values)),
        "of_rows": intervals.plain(float(np.mean([np.nanstd(one.resampled) for one in estimates]))),
    }


def _slices(
    table: Table, slices: Sequence[Slice], lost: Flags, *, settings: recipe.Evaluate, seed: int
) -> list[dict[str, Any]]:
    """How often rows of each slice are forgotten, and how many times as often as the test rows that are not in it.

    `q` is the exact p of the slice being no worse than those (Fisher, one-sided), corrected for there being several.
    """
    test = np.zeros(len(lost), dtype=np.bool_)
    test[table.test] = True
    measured: list[tuple[Slice, Flags, float]] = []
    told: list[dict[str, Any]] = []
    for part in slices:
        inside = np.zeros(len(lost), dtype=np.bool_)
        inside[part.members] = True
        base = test | inside
        if not (base & ~inside).any():
            continue  # all rows, seen in another way: there is nothing to hold them against
        if inside.sum() >= settings.min_slice_rows:
            measured.append((part, inside, intervals.more_often(lost[base], inside[base])))
        else:
            count = int(inside.sum())
            reason = intervals.too_few(count, settings.min_slice_rows, which=f" of {part.family} “{part.name}”")
            told.append(_slice(part, _share(lost[inside], settings.confidence), not_measurable(count, reason)))
    adjusted = intervals.benjamini_hochberg([p for *_, p in measured])
    drawn = Resamples(len(lost), count=settings.resamples, rng=seeds.generator(seed, "evaluate/forgotten/slices"))
    found = []
    # A family at a time: its figures are no more than the table's, whatever the number of families.
    for _, family in itertools.groupby(zip(measured, adjusted, strict=True), key=lambda one: one[0][0].family):
        parts = [(part, inside, q) for (part, inside, _), q in family]
        lifts = drawn.estimate({part.name: _lift(lost, inside, test | inside) for part, inside, _ in parts})
        for part, inside, q in parts:
            lift = lifts[part.name].interval(settings.confidence, within=(0.0, np.inf))
            more = q <= 1 - settings.confidence
            found.append(_slice(part, _share(lost[inside], settings.confidence), lift, q=q, more=more))
    return sorted(found, key=lambda one: (not one["more"], one["q"])) + told


def _lift(lost: Flags, inside: Flags, base: Flags) -> Sample:
    """The rate inside over the rate in the rest of the base."""
    rows = np.flatnonzero(base)
    columns = [lost[rows] & inside[rows], inside[rows], lost[rows] & ~inside[rows], ~inside[rows]]
    return Sample(np.stack(columns, axis=1).astype(np.float64), _times_as_often, None if base.all() else rows)


def _times_as_often(sums: Floats) -> Floats:
    return ratio(ratio(sums[..., 0], sums[..., 1]), ratio(sums[..., 2], sums[..., 3]))


def _slice(
    part: Slice, rate: Mapping[str, Any], lift: Interval, *, q: float | None = None, more: bool = False
) -> dict[str, Any]:
    return {
        "family": part.family,
        "name": part.name,
        "n": len(part.members),
        "rate": dict(rate),
        "lift": lift.as_dict(),
        "q": intervals.plain(q),
        "more": more,
    }


def _top(table: Table, fits: Fits, lost: Flags, teacher: Answered) -> list[dict[str, Any]]:
    """The rows that are forgotten most, of equally forgotten ones those that the teacher is surest of first."""
    strength, surety = fits.strength, teacher.confidence
    rows = np.flatnonzero(lost)
    sure = np.zeros(len(lost)) if surety is None else surety
    ids = [table.ids[row] for row in table.test.tolist()]
    first = sorted(rows.tolist(), key=lambda row: (-strength[row], -sure[row], ids[row]))[:TOP]
    its, theirs = teacher.names, [one.names for one in fits.said]
    leading = most(fits.alike, range(len(fits))).argmax(axis=0)
    return [
        {
            "id": ids[row],
            "strength": intervals.plain(float(strength[row])),
            "teacher": its[row] if its is not None else None,
            "students": named[row] if (named := theirs[int(leading[row])]) is not None else None,
            "confidence": None if surety is None else intervals.plain(float(surety[row])),
            "sure": None if surety is None else bool(surety[row] >= SURE),
        }
        for row in first
    ]


def among_learned(
    fits: Sequence[Artifact],
    *,
    student: Student,
    said: TransferSet,
    task: Task,
    store: Store,
    report: Report = silent,
) -> Artifact | None:
    """Which rows that they learned from the fits forgot, with how much of each, for the next recipe to emphasise.

    Rows of dev and of the test are not among them. Strength is the mean over the fits of the share of a row that they
    say otherwise than the teacher (`Shape.alike`). None: what they answer can't be compared so.
    """
    if said.answers_are_texts:
        return None

    def make(draft: Draft) -> None:
        networks = [student.reopen(one.folder, task=task) for one in fits]
        total = sum(1 for _ in said.learned()) * len(fits)
        meter = Meter(report, stage=STAGE, total=total, unit="texts")
        ids: list[str] = []
        parts: list[Floats] = []
        for shard in said.shards():
            if not shard.num_rows or part_of(shard) == "dev":
                continue
            texts, told = shard["text"].to_pylist(), task.form.answers(shard)
            strength = np.zeros(len(texts))
            for network in networks:
                own = in_torch(network, texts, task=task)[0]
                strength += 1.0 - task.form.alike(own, task.form.laid(told, own))
                meter.advance(len(texts))
            ids += shard["id"].to_pylist()
            parts.append(np.clip(strength / len(fits), 0.0, 1.0))
        strengths = np.concatenate([np.zeros(0), *parts])
        order = [
            row for row in sorted(range(len(ids)), key=lambda row: (-strengths[row], ids[row])) if strengths[row] > 0
        ]
        columns = {"id": pa.array([ids[row] for row in order], type=pa.string()),
                   "strength": pa.array(strengths[order].astype(np.float32))}  # fmt: skip
        with translating_full_disk(draft.folder):
            pq.write_table(pa.table(columns), draft.folder / FILE, compression="zstd")
        most = int((strengths >= MOST).sum())
        draft.facts |= {"seeds": len(fits), "rows": len(ids), "listed": len(order), "most": most}

    described = {"student": student.resolved(), "task": task.model_dump(mode="json")}
    inputs = {"said": said.artifact.digest, **{f"fit[{number}]": one.digest for number, one in enumerate(fits)}}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def learned(lost: Artifact | None, *, seeds: int, confidence: float) -> dict[str, Any]:
    """The share of the rows that were learned from of which most was forgotten, and how many rows are listed."""
    if lost is None:
        return not_measurable(0, ONE_SEED if seeds < _SEVERAL else _WRITTEN).as_dict()
    facts = lost.manifest["facts"]
    found = intervals.clopper_pearson(facts["most"], facts["rows"], confidence)
    return {**found.as_dict(), "count": facts["most"], "listed": facts["listed"]}
