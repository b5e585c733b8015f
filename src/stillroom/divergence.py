"""How far apart teacher and student are, item by item: divergences of what they say, and labels that went astray.

Equal accuracy says nothing of it: what one gains somewhere may hide what it lost elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stillroom import intervals
from stillroom.core.divergences import KINDS
from stillroom.intervals import Interval, not_measurable
from stillroom.metrics import Answered, Floats

FIGURES = ("mean", "p50", "p95", "p99", "max")
_UNSAID = "it does not say of each row how probable each answer is"
_NO_WORDS = "no row has a word that both tell of"
_NEITHER = "its answers are neither right nor wrong"
NOTHING_NAMED = "teacher and student name nothing that could be the same"


def measure(
    student: Answered, teacher: Answered, *, resamples: int, confidence: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Divergences in nats: their mean, percentiles with distribution-free intervals, and the largest; then flips.

    `forward_kl` is KL(teacher ‖ student), `reverse_kl` the other way round; `jensen_shannon` is at most ln 2. Where
    answers are of words, a row has the mean over its words.
    """
    apart = None if teacher.named else student.row_divergences()
    told: dict[str, Any] = {}
    for kind in KINDS:
        known = None if apart is None else apart[kind][~np.isnan(apart[kind])]
        told[kind] = _spread(known, len(student), resamples=resamples, confidence=confidence, rng=rng)
    agrees = student.agrees
    if agrees is None:
        unnamed = not_measurable(len(student), NOTHING_NAMED).as_dict()
        return {**told, "churn": unnamed, "wrong_flips": unnamed}
    told["churn"] = intervals.clopper_pearson(int((~agrees).sum()), len(agrees), confidence).as_dict()
    right, its = student.right, student.teacher_right
    if right is None or its is None:
        return {**told, "wrong_flips": not_measurable(len(student), _NEITHER).as_dict()}
    astray = ~right & ~its & ~agrees
    return {**told, "wrong_flips": intervals.clopper_pearson(int(astray.sum()), len(astray), confidence).as_dict()}


def nothing(reason: str) -> dict[str, Any]:
    """The same where there is no row."""
    unknown = not_measurable(0, reason).as_dict()
    spread = dict.fromkeys(FIGURES, unknown)
    return {**dict.fromkeys(KINDS, spread), "churn": unknown, "wrong_flips": unknown}


def paths() -> list[str]:
    """The figures' names, as a gate gives them."""
    return [f"divergence.{kind}.{figure}" for kind in KINDS for figure in FIGURES] + [
        "divergence.churn",
        "divergence.wrong_flips",
    ]


def _spread(
    apart: Floats | None, rows: int, *, resamples: int, confidence: float, rng: np.random.Generator
) -> dict[str, Any]:
    if apart is None or not len(apart):
        return dict.fromkeys(FIGURES, not_measurable(rows, _UNSAID if apart is None else _NO_WORDS).as_dict())
    statistics = np.stack([apart, np.ones_like(apart)], axis=1)
    mean = intervals.bca(
        statistics, lambda sums: sums[..., 0] / sums[..., 1], resamples=resamples, confidence=confidence, rng=rng
    )
    figures: dict[str, Interval] = {"mean": mean}
    for name in FIGURES[1:-1]:
        figures[name] = intervals.quantile(apart, int(name[1:]) / 100, confidence)
    largest = {
        "value": intervals.plain(float(apart.max())),
        "n": len(apart),
    }  # of this sample: there is no bound to others
    return {**{name: one.as_dict() for name, one in figures.items()}, "max": largest}
