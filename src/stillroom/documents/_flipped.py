"""What was lost, side by side: texts with what teacher and student said of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stillroom.documents import Evidence, number, words
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table


def table(evidence: Evidence) -> Table:
    """Rows that the teacher has right and the student wrong, those first that both are surest of.

    Of answers that are more or less good, those on which a metric falls most.
    """
    metric = evidence.words("fallen_by")
    rows = tuple(
        (Cell(words(one.get("text")) or "–", words(one.get("id")), kind="text"), _said(one, "teacher", metric),
         _said(one, "student", metric))
        for one in evidence.rows("flipped")
    )  # fmt: skip
    falls = f"Texts on which {metric.replace('_', '-')} falls most from teacher to student"
    return Table(
        falls if metric else "Texts that the teacher gets right and the student wrong, the surest first",
        ("text", "teacher", "student"),
        rows,
        (evidence.source("evaluate"),),
        "Each letter of a text, and of what was found or written in it, is an x unless `evaluate.show_texts` is set; "
        "what may be personal stays so even then.",
        otherwise="none of the test rows",
    )


def _said(row: Mapping[str, Any], side: str, metric: str) -> Cell:
    """What a side says of a row, how sure it is, and what that is by the metric that fell."""
    sure, score = (number(row.get(f"{side}_{name}")) for name in ("confidence", "score"))
    notes = [] if sure is None else [f"sure by {units.PERCENT.value(sure)}"]
    notes += [] if score is None else [f"{metric.replace('_', '-')} {units.of_metric(metric).value(score)}"]
    return Cell(words(row.get(side)) or "–", ", ".join(notes), kind="text")
