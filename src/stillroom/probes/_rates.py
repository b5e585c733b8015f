"""What a group of rows gets of each side, figure by figure, as sums over rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import Problem, nearest
from stillroom.intervals import Sample
from stillroom.metrics import Answered, Floats, ratio, share
from stillroom.probes import SIDES, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Task

#: The figures of a group, and what each is, as people read it.
FIGURES = {
    "score": "score",
    "selection_rate": "selected",
    "tpr": "selected, of those whose gold is favourable",
    "fpr": "selected, of the others",
    "overconfidence": "confidence − share right",
}
ONE = "it names more or less than one label a row"
MUTE = "it names a label and does not say how sure it is"


@final
@dataclass(frozen=True)
class Figure:
    """What one figure is made of, for each side, along the same rows."""

    name: str
    sides: Mapping[str, Sample]
    rows: NDArray[np.int64]
    """Those that it is about, as positions among those judged."""
    needs: int
    """Rows of a group, at least."""
    exact: bool
    """Whether it is a share of rows, so that its interval is."""
    within: tuple[float, float]

    @property
    def both(self) -> Floats:
        """The statistics of the teacher, then the student's, one row's beside each other."""
        return np.concatenate([self.sides[side].statistics for side in SIDES], axis=1)

    def apart(self, own: Floats, rest: Floats) -> Floats:
        """Of sums of `both`: how much farther a group stands from the rest for the student than for the teacher."""
        width = self.sides[TEACHER].statistics.shape[1]
        (teacher, student), value = (slice(width), slice(width, None)), self.sides[TEACHER].value
        gaps = [value(own[..., part]) - value(rest[..., part]) for part in (student, teacher)]
        return np.asarray(gaps[0] - gaps[1])

    def of(self, side: str, inside: NDArray[np.bool_]) -> Sample:
        """Of some of its rows."""
        own = self.sides[side]
        return Sample(own.statistics[inside], own.value, self.rows[inside])


def unknown(labels: Sequence[str], task: Task, *, where: str) -> list[Problem]:
    """The labels that a task does not have."""
    return [
        Problem(f"{where}, favourable", f"`{one}`", "one of the task's labels", nearest(one, task.names))
        for one in labels
        if one not in task.names
    ]


def favourable(named: Sequence[str], said: Answered) -> tuple[str, ...]:
    """The labels that count as favourable: those named, else the first; none where nobody gets one label."""
    return () if said.chosen is None else tuple(named) or said.labels[:1]


def figures(sitting: Sitting, answers: Mapping[str, Answered], good: Sequence[str]) -> dict[str, Figure]:
    """Those that can be told of such answers; `good` are the favourable labels."""
    found = {"score": _score(sitting, answers)} if sitting.metric.exact else {}
    chosen = {side: one.chosen for side, one in answers.items()}
    student = chosen[STUDENT]
    if student is None:
        return found
    codes = [answers[STUDENT].labels.index(one) for one in good]
    every, gold = np.arange(len(student[0])), np.isin(student[0], codes)
    selected = {side: np.isin(one[1], codes) for side, one in chosen.items() if one is not None}
    for name, rows in (("selection_rate", every), ("tpr", every[gold]), ("fpr", every[~gold])):
        sides = {side: Sample(share(hits[rows]), _mean) for side, hits in selected.items()}
        found[name] = Figure(name, sides, rows, sitting.min_rows, exact=True, within=(0.0, 1.0))
    told = {side: (one.confidence, one.right) for side, one in answers.items()}
    sides = {
        side: Sample(np.stack([sure - right, np.ones(len(sure))], axis=1), _mean)
        for side, (sure, right) in told.items()
        if sure is not None and right is not None
    }
    if len(sides) == len(SIDES):
        name = "overconfidence"
        found[name] = Figure(name, sides, every, sitting.min_rows, exact=False, within=(-1.0, 1.0))
    return found


def unsaid(sitting: Sitting, answers: Mapping[str, Answered]) -> dict[str, str]:
    """Why figures are missing that are."""
    why = ONE if answers[STUDENT].chosen is None else MUTE
    return {**dict.fromkeys(FIGURES, why), "score": f"a row alone has no score by {sitting.metric.kind}"}


def _score(sitting: Sitting, answers: Mapping[str, Answered]) -> Figure:
    """The task's metric, on the rows that it counts for both."""
    samples = {side: sitting.sample(one) for side, one in answers.items()}
    every = np.arange(len(sitting.judged))
    counted = {side: every if one.members is None else one.members for side, one in samples.items()}
    rows = np.intersect1d(counted[TEACHER], counted[STUDENT])
    sides = {side: Sample(one.statistics[np.isin(counted[side], rows)], one.value) for side, one in samples.items()}
    metric = sitting.metric
    needs = max(sitting.min_rows, metric.min_rows)
    return Figure("score", sides, rows, needs, metric.share_of_rows, (metric.low, metric.high))


def _mean(sums: Floats) -> Floats:
    return ratio(sums[..., 0], sums[..., 1])
