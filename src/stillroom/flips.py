"""Rows that the student lost, to be looked at one by one, as far as they may be shown.

Where an answer is right or wrong these are the rows that the teacher has right and the student wrong. Where it is more
or less good (`Answered.graded`), hardly a text is anybody's reference to the letter: these are then the rows on which
a metric falls most from teacher to student.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillroom import intervals
from stillroom.core.redaction import redacted, veiled
from stillroom.metrics import Answered, Masked, Metric
from stillroom.table import STUDENT, TEACHER, Table

MOST = 20
_LONGEST = 280  # characters of a text


def examples(table: Table, texts: Sequence[str], *, metrics: Sequence[Metric], show_texts: bool) -> dict[str, Any]:
    """`flipped`: what was lost most, `texts` being those of the table's rows; `fallen_by`: by which metric, or None.

    Without `show_texts` every letter of a text is an x, and so is every letter of what was written or found in it; with
    it, what may be personal still is (`core.redaction`).
    """
    test = table.test
    sides = {system: table.said[system].take(test) for system in (TEACHER, STUDENT)}
    ids = [table.ids[row] for row in test.tolist()]
    graded = sides[STUDENT].graded
    metric, scores, rows = _fallen(sides, metrics, ids) if graded else (None, {}, _flipped(sides, ids))
    masked = redacted if show_texts else veiled
    told = partial(_told, masked=masked, scores=scores)
    flipped = [
        {"id": ids[row], "text": _cut(masked(texts[test[row]])), **told(sides[TEACHER], TEACHER, row),
         **told(sides[STUDENT], STUDENT, row)}
        for row in rows[:MOST]
    ]  # fmt: skip
    return {"flipped": flipped, "fallen_by": metric}


def _flipped(sides: Mapping[str, Answered], ids: Sequence[str]) -> list[int]:
    """The negative flips, those first that both are surest of."""
    right, its = sides[STUDENT].right, sides[TEACHER].right
    if right is None or its is None:
        return []
    sure = [np.zeros(len(ids)) if one.confidence is None else one.confidence for one in sides.values()]
    return sorted(np.flatnonzero(its & ~right).tolist(), key=lambda row: (-min(one[row] for one in sure), ids[row]))


def _fallen(
    sides: Mapping[str, Answered], metrics: Sequence[Metric], ids: Sequence[str]
) -> tuple[str | None, dict[str, NDArray[np.float64]], list[int]]:
    """The first metric that is one of a single row too, what it is on each of both sides, and where it falls most."""
    for metric in metrics:
        if not metric.higher_is_better or any(metric.unsaid(said, who=who) for who, said in sides.items()):
            continue
        scores = {who: np.full(len(ids), np.nan) for who in sides}
        for who, said in sides.items():
            if found := metric.each(said):
                scores[who][found[0]] = found[1]
        fall = scores[TEACHER] - scores[STUDENT]
        if not np.isnan(fall).all():
            rows = np.flatnonzero(fall > 0).tolist()
            return metric.kind, scores, sorted(rows, key=lambda row: (-fall[row], ids[row]))
    return None, {}, []


def _told(
    side: Answered, name: str, row: int, *, masked: Masked, scores: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """What a side says of a row, how sure it is, where it says so, and what that is by the metric that fell."""
    said, sure = side.shown(row, masked=masked), side.confidence
    told = {name: None if said is None else _cut(said),
            f"{name}_confidence": None if sure is None else intervals.plain(float(sure[row]))}  # fmt: skip
    return told | ({f"{name}_score": intervals.plain(float(scores[name][row]))} if scores else {})


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
