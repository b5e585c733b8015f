"""What a student forgot of its teacher, told apart from what the chance of training alone changes.

Several fits of one student, with a seed each, answer the same rows. A row is *forgotten* where what most of them say is
not what their teacher says (Hooker et al., What Do Compressed Deep Neural Networks Forget?, arXiv 1911.05248: there of
compressed and uncompressed networks). Seeds alone make such rows too: the same is asked of each student against all the
others, and only what the teacher is away beyond that is the student's. With one seed it is plain *disagreement*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import intervals
from stillroom.core import recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import translating_full_disk
from stillroom.core.progress import Meter, Report, silent
from stillroom.emphasis import FILE, STAGE
from stillroom.export import in_torch
from stillroom.intervals import Interval, Resamples, Sample, not_measurable
from stillroom.metrics import Answered, Floats, Metric, ratio
from stillroom.slices import Slice
from stillroom.students import Student
from stillroom.table import STUDENT, TEACHER, Table, align
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
_ONE_TEACHER = "one teacher"
_UNSAID = "the teacher does not say how sure it is"
_NOTHING = "nothing was forgotten"
_WRITTEN = "answers are texts, which are seldom the same to the letter"

Flags = NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class Fits:
    """What several fits of one student said of the rows of a table, beside their teacher and beside each other.

    `alike` is `[people, people, rows]`: where two name the same. The teacher is the last of the people.
    """

    said: Sequence[Answered]
    alike: Flags

    @classmethod
    def of(cls, answers: Sequence[Any], teacher: Any, rows: pa.Table, *, task: Task, named: frozenset[str]) -> Self:
        """From what each of them put out for rows that can be aligned, and what the teacher did, in their order."""
        ids = rows["id"].to_pylist()
        people = [*answers, teacher]
        said: list[Answered] = []
        alike: list[list[Flags]] = [[] for _ in people]
        for place, one in enumerate(people):
            others = {f"seed {number}": (ids, other) for number, other in enumerate(answers[:place])}
            if others:
                table = align(
                    rows, {TEACHER: (ids, one), **others}, task=task, named=named if one is teacher else frozenset()
                )
                told = [table.said[system] for system in others]
                alike[place] = [one.agrees for one in told]
                said = told if one is teacher else said
        count = len(said[0])
        square = np.ones((len(people), len(people), count), dtype=np.bool_)
        for place, row in enumerate(alike):
            for other, same in enumerate(row):
                square[place, other] = square[other, place] = same
        return cls(said, square)

    @classmethod
    def shipped(cls, said: Answered) -> Self:
        """The one that ships, alone."""
        own = np.ones(len(said), dtype=np.bool_)
        return cls([said], np.array([[own, said.agrees], [said.agrees, own]]))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The same of these rows."""
        return type(self)([one.take(rows) for one in self.said], self.alike[:, :, rows])

    def __len__(self) -> int:
        """How many fits."""
        return len(self.said)

    @property
    def forgotten(self) -> Flags:
        """Where none of what most of them say is what the teacher says."""
        return apart(self.alike, range(len(self)), [len(self)])

    @property
    def strength(self) -> Floats:
        """The share of them that does not say what the teacher says."""
        return np.asarray(1.0 - self.alike[:-1, -1].mean(axis=0), dtype=np.float64)

    @property
    def left_out(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Each one's siblings against the teacher, and the same siblings against itself, `[fits, rows]` both."""
        everybody = range(len(self))
        others = [[one for one in everybody if one != own] for own in everybody]
        teacher = [apart(self.alike, group, [len(self)]) for group in others]
        itself = [apart(self.alike, group, [own]) for own, group in enumerate(others)]
        return np.array(teacher), np.array(itself)


def apart(alike: Flags, one: Sequence[int], other: Sequence[int]) -> Flags:
    """Where two groups have no answer in common among those that most of each give, `[rows]`.

    An answer that no other in its group outnumbers counts, so that a tie is apart only where both sides of it are.
    """
    most = [(group, _most(alike, group)) for group in (one, other)]
    shared = np.zeros(alike.shape[-1], dtype=np.bool_)
    for place, member in enumerate(one):
        for beside, stranger in enumerate(other):
            shared |= most[0][1][place] & most[1][1][beside] & alike[member, stranger]
    return ~shared


def _most(alike: Flags, group: Sequence[int]) -> Flags:
    """Whose answer no other answer of the group outnumbers, `[group, rows]`."""
    votes = alike[np.ix_(list(group), list(group))].sum(axis=1)
    return np.asarray(votes == votes.max(axis=0))


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
        "teachers": 1,
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
    count = len(table.test)
    students = not_measurable(count, ONE_SEED)
    if fits is not None and len(fits) > 1:
        pairs = np.triu_indices(len(fits), k=1)
        same = fits.alike[:-1, :-1, table.test][pairs].mean(axis=0)
        drawn = Resamples(count, count=settings.resamples, rng=seeds.generator(seed, "evaluate/ceiling"))
        students = _mean(same, drawn).interval(settings.confidence, within=(0.0, 1.0))
    return {
        "student_student": students.as_dict(),
        "teacher_teacher": not_measurable(count, _ONE_TEACHER).as_dict(),
    }


def no_ceiling(reason: str) -> dict[str, Any]:
    """The same where there is no row to test on."""
    return dict.fromkeys(CEILINGS, not_measurable(0, reason).as_dict())


def _share(hits: Flags, confidence: float) -> dict[str, Any]:
    count = int(hits.sum())
    return {**intervals.clopper_pearson(count, len(hits), confidence).as_dict(), "count": count}


def _mean(values: NDArray[Any], drawn: Resamples) -> intervals.Estimate:
    """The mean of something of each row."""
    statistics = np.stack([values, np.ones(len(values))], axis=1).astype(np.float64)
    return drawn.estimate({"mean": Sample(statistics, _per_row)})["mean"]


def _per_row(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])


def _beyond(by_teacher: Flags, by_itself: Flags, drawn: Resamples, confidence: float) -> tuple[Interval, Interval]:
    """How often siblings are apart from one of theirs, and how much more often from the teacher: the same siblings."""
    null, taught = (_mean(one.mean(axis=0), drawn) for one in (by_itself, by_teacher))
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
    estimates = [drawn.estimate({"one": Sample(rows, metric.value, counted)})["one"] for counted, rows in found]
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
        if inside.sum() >= settings.min_slice_rows and (base & ~inside).any():
            measured.append((part, inside, intervals.more_often(lost[base], inside[base])))
        else:
            count = int(inside.sum())
            reason = f"{count} rows; {settings.min_slice_rows} are needed, and some elsewhere"
            told.append(
                _slice(part, _share(lost[inside], settings.confidence), not_measurable(count, reason), None, False)
            )
    drawn = Resamples(len(lost), count=settings.resamples, rng=seeds.generator(seed, "evaluate/forgotten/slices"))
    adjusted = intervals.benjamini_hochberg([p for *_, p in measured])
    found = []
    for (part, inside, _), q in zip(measured, adjusted, strict=True):
        elsewhere = np.flatnonzero(test & ~inside)
        within = np.flatnonzero(inside)
        counted = {
            name: Sample(np.stack([lost[rows], np.ones(len(rows))], axis=1).astype(np.float64), _per_row, rows)
            for name, rows in (("inside", within), ("elsewhere", elsewhere))
        }
        both = drawn.estimate(counted)
        lift = (both["inside"] / both["elsewhere"]).interval(settings.confidence, within=(0.0, np.inf))
        more = q <= 1 - settings.confidence
        found.append(_slice(part, _share(lost[inside], settings.confidence), lift, q, more))
    return sorted(found, key=lambda one: (not one["more"], one["q"])) + told


def _slice(part: Slice, rate: Mapping[str, Any], lift: Interval, q: float | None, more: bool) -> dict[str, Any]:
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
    most = _most(fits.alike, range(len(fits))).argmax(axis=0)
    return [
        {
            "id": ids[row],
            "strength": intervals.plain(float(strength[row])),
            "teacher": its[row] if its is not None else None,
            "students": named[row] if (named := theirs[int(most[row])]) is not None else None,
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
    if task.form.writes:
        return None

    def make(draft: Draft) -> None:
        networks = [student.reopen(one.folder, task=task) for one in fits]
        meter = Meter(report, stage=STAGE, total=said.rows * len(fits), unit="texts")
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


def learned(lost: Artifact | None, *, confidence: float) -> dict[str, Any]:
    """The share of the rows that were learned from of which most was forgotten, and how many rows are listed."""
    if lost is None:
        return not_measurable(0, _WRITTEN).as_dict()
    facts = lost.manifest["facts"]
    found = intervals.clopper_pearson(facts["most"], facts["rows"], confidence)
    return {**found.as_dict(), "count": facts["most"], "listed": facts["listed"]}
