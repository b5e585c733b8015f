"""Whether intervals hold what they say: how often the truth lies inside, in samples whose truth is known.

    python bench/coverage.py [--samples 1000] [--resamples 1000] [--json]

Rows are drawn from systems that are right with known, correlated probabilities; each sample gets the interval that a
report would show, and the share of samples whose interval holds the truth is told with its own exact interval.

    retention      student's accuracy ÷ teacher's, BCa on paired resamples
    difference     student's accuracy − teacher's, the same
    macro_f1       the student's macro-F1, the same
    flips          what the teacher has right and the student wrong: Clopper–Pearson
    worst slice    the lowest retention of six slices: the interval of the minimum, of slices that truly differ

A level of 95 % is asked. Clopper–Pearson may hold the truth more often, never less; so may the careful minimum.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping

import numpy as np

from stillroom import intervals
from stillroom.intervals import Interval, Resamples, Sample
from stillroom.metrics import Floats

CONFIDENCE = 0.95
ROWS = 600
#: Where both are right, only the teacher, only the student, and neither, by slice.
SLICES = np.array([[0.80, 0.06, 0.03, 0.11], [0.78, 0.07, 0.03, 0.12], [0.82, 0.05, 0.03, 0.10],
                   [0.75, 0.09, 0.02, 0.14], [0.70, 0.13, 0.02, 0.15], [0.80, 0.06, 0.04, 0.10]])  # fmt: skip


def share(sums: Floats) -> Floats:
    """Of statistics `[hit, 1]`."""
    return sums[..., 0] / sums[..., 1]


def drawn(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of a sample: the slice of each, and whether teacher and student have it right."""
    part = rng.integers(len(SLICES), size=ROWS)
    case = (rng.random(ROWS)[:, None] > SLICES[part].cumsum(axis=1)).sum(axis=1)
    return part, np.isin(case, (0, 1)), np.isin(case, (0, 2))


def kept(teacher: np.ndarray, student: np.ndarray, members: np.ndarray) -> dict[str, Sample]:
    """What retention is made of, on some rows."""
    ones = np.ones(len(members))
    return {name: Sample(np.stack([right[members], ones], axis=1).astype(np.float64), share, members)
            for name, right in (("teacher", teacher), ("student", student))}  # fmt: skip


def of_rows(rng: np.random.Generator, resamples: int) -> dict[str, Interval]:
    """The intervals of one sample."""
    part, teacher, student = drawn(rng)
    members = {where: np.flatnonzero((part == where) | (where < 0)) for where in (-1, *range(len(SLICES)))}
    samples = {
        f"{where}/{name}": sample
        for where, rows in members.items()
        for name, sample in kept(teacher, student, rows).items()
    }
    found = Resamples(ROWS, count=resamples, rng=rng).estimate(samples)
    ratios = {where: found[f"{where}/student"] / found[f"{where}/teacher"] for where in members}
    flips = int((teacher & ~student).sum())
    return {
        "retention": ratios[-1].interval(CONFIDENCE),
        "difference": (found["-1/student"] - found["-1/teacher"]).interval(CONFIDENCE),
        "flips": intervals.clopper_pearson(flips, ROWS, CONFIDENCE),
        "worst slice": intervals.least([ratios[where] for where in range(len(SLICES))]).careful(CONFIDENCE),
    }


def truths() -> dict[str, float]:
    """The same of all rows there could be."""
    mean = SLICES.mean(axis=0)
    by = [(one[0] + one[2]) / (one[0] + one[1]) for one in SLICES]
    return {"retention": (mean[0] + mean[2]) / (mean[0] + mean[1]), "difference": mean[2] - mean[1],
            "flips": mean[1], "worst slice": min(by)}  # fmt: skip


#: How often each of three classes is gold, and what is said of it.
GOLD = np.array([0.6, 0.3, 0.1])
SAID = np.array([[0.85, 0.10, 0.05], [0.15, 0.75, 0.10], [0.25, 0.15, 0.60]])


def f1(counts: Floats) -> Floats:
    """Macro-F1 from counts of pairs `[..., 9]`."""
    table = counts.reshape(*counts.shape[:-1], 3, 3)
    hits = np.diagonal(table, axis1=-2, axis2=-1)
    both = table.sum(axis=-1) + table.sum(axis=-2)
    return np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0).mean(axis=-1)


def of_classes(rng: np.random.Generator, resamples: int) -> dict[str, Interval]:
    """The interval of one sample's macro-F1."""
    pairs = rng.choice(9, size=300, p=(GOLD[:, None] * SAID).ravel())
    return {"macro_f1": intervals.bca(np.eye(9)[pairs], f1, resamples=resamples, confidence=CONFIDENCE, rng=rng)}


def measure(samples: int, resamples: int) -> dict[str, Interval]:
    """Of each kind of interval, how often it holds the truth."""
    truth = truths() | {"macro_f1": float(f1((GOLD[:, None] * SAID).ravel()))}
    held: dict[str, list[bool]] = {name: [] for name in truth}
    ways: tuple[Callable[[np.random.Generator, int], Mapping[str, Interval]], ...] = (of_rows, of_classes)
    for seed in range(samples):
        for way in ways:
            for name, one in way(np.random.default_rng(seed), resamples).items():
                low, high = one.low, one.high
                held[name].append(low is not None and high is not None and low <= truth[name] <= high)
    return {name: intervals.clopper_pearson(sum(one), len(one), 0.99) for name, one in held.items()}


def main() -> int:
    """Exit code 1 where an interval holds the truth less often than it says, beyond what chance explains."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--samples", type=int, default=1000)
    options.add_argument("--resamples", type=int, default=1000)
    options.add_argument("--json", action="store_true")
    asked = options.parse_args()
    found = measure(asked.samples, asked.resamples)
    if asked.json:
        print(json.dumps({name: one.as_dict() for name, one in found.items()}))
    else:
        print(f"{'interval of':<14}{'holds the truth':>16}   99 % interval, {asked.samples} samples")
        for name, one in found.items():
            print(f"{name:<14}{one.value or 0:>15.1%}   {one.low or 0:.1%} to {one.high or 0:.1%}")
    # BCa is exact in the limit alone: at these numbers of rows two points less are its own.
    return int(any((one.high or math.inf) < CONFIDENCE - 0.02 for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
