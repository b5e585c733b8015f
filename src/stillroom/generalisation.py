"""Whether the student learned, or learned by heart: how often it agrees with its teacher on what it learned from.

Rows are drawn by their ids, which are hashes, as many of each: so both sides are as hard where an answer depends on
the rows beside it (a nearest neighbour).
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from stillroom import heard, intervals, transfer_set
from stillroom.core.artifact import Artifact
from stillroom.core.progress import Meter
from stillroom.divergence import NOTHING_NAMED
from stillroom.gap import Side
from stillroom.intervals import Interval, not_measurable
from stillroom.tasks import Rows, Task
from stillroom.transfer_set import TransferSet

_WRITTEN = "what is written is hardly ever the same to the letter"
FIGURES = ("seen", "unseen", "gap")
_MOST, _FEWEST = 1000, 30
_LEARNED = ("train", "unlabelled")


def most(task: Task) -> int:
    """How many texts the student is asked for it, at most."""
    return 0 if task.form.writes or task.form.may_write else _MOST


def measure(
    test: Side, *, said: TransferSet, bundle: Artifact, task: Task, confidence: float, meter: Meter
) -> dict[str, Any]:
    """Agreement on rows that were learned from (`seen`), on test rows, and the difference: the generalisation gap."""
    if not most(task):
        return nothing(_WRITTEN)
    return compare(_seen(said, bundle=bundle, task=task, meter=meter), test, task=task, confidence=confidence)


def _seen(said: TransferSet, *, bundle: Artifact, task: Task, meter: Meter) -> Side:
    """Some of the rows that the student learned from, with what both say of them."""
    ids = (
        one
        for shard in said.shards(["id", "part"])
        if transfer_set.part_of(shard) in _LEARNED
        for one in shard["id"].to_pylist()
    )
    told = heard.told(said, task, only=frozenset(heapq.nsmallest(_MOST, ids)))
    meter.spare(_MOST - len(told.texts))
    return Side(told.ids, told.texts, told.logits, heard.of_student(bundle, told.texts, meter, task=task))


def compare(learned: Side, test: Side, *, task: Task, confidence: float) -> dict[str, Any]:
    """The same of rows that both have answered."""
    rows = min(len(learned.texts), len(test.texts))
    if rows < _FEWEST:
        return nothing(intervals.too_few(rows, _FEWEST, of="rows on one side"), rows=rows)
    both = {"seen": _agreement(learned, rows, task, confidence), "unseen": _agreement(test, rows, task, confidence)}
    both["gap"] = intervals.apart(both["seen"], both["unseen"])
    return {name: one.as_dict() for name, one in both.items()}


def nothing(reason: str, *, rows: int = 0) -> dict[str, Any]:
    """The same where that can't be told."""
    return {name: not_measurable(rows, reason).as_dict() for name in FIGURES}


def _agreement(side: Side, rows: int, task: Task, confidence: float) -> Interval:
    """How often both name the same, of so many rows, the first by their ids."""
    places = np.array(sorted(range(len(side.ids)), key=side.ids.__getitem__)[:rows], dtype=np.int64)
    texts, ids = ([some[place] for place in places.tolist()] for some in (side.texts, side.ids))
    about = Rows(texts, ids, [""] * rows, np.zeros(rows, dtype=np.bool_))
    student, teacher = (task.form.take(said, places) for said in (side.student, side.teacher))
    agrees = task.answered(task.named(teacher), student, teacher, rows=about).agrees
    if agrees is None:
        return not_measurable(rows, NOTHING_NAMED)
    return intervals.clopper_pearson(int(agrees.sum()), len(agrees), confidence)
