"""Rows that the teacher has right and the student wrong, to be looked at one by one, as far as they may be shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from stillroom import intervals
from stillroom.core.redaction import redacted, veiled
from stillroom.metrics import Answered
from stillroom.table import STUDENT, TEACHER, Table

MOST = 20
_LONGEST = 280  # characters of a text


def examples(table: Table, texts: Sequence[str], *, show_texts: bool) -> list[dict[str, Any]]:
    """The negative flips that both are surest of, `texts` being those of the table's rows.

    Without `show_texts` every letter of a text is an x; with it, what may be personal still is (`core.redaction`).
    """
    test = table.test
    teacher, student = (table.said[system].take(test) for system in (TEACHER, STUDENT))
    if teacher.right is None or student.right is None:
        return []
    rows = np.flatnonzero(teacher.right & ~student.right)
    sure = [np.zeros(len(test)) if one.confidence is None else one.confidence for one in (teacher, student)]
    first = sorted(rows.tolist(), key=lambda row: (-min(one[row] for one in sure), table.ids[test[row]]))[:MOST]
    masked = redacted if show_texts else veiled
    return [
        {"id": table.ids[test[row]], "text": masked(_cut(texts[test[row]])), **_said(teacher, TEACHER, row),
         **_said(student, STUDENT, row)}
        for row in first
    ]  # fmt: skip


def _said(side: Answered, name: str, row: int) -> dict[str, Any]:
    """The label that a side gives, and how sure it is, where it says so."""
    names, sure = side.names, side.confidence
    return {name: None if names is None else names[row],
            f"{name}_confidence": None if sure is None else intervals.plain(float(sure[row]))}  # fmt: skip


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
