"""What a dossier tells of rows that were forgotten: in a sentence, in figures, slice by slice, and row by row.

A row is told of by its id and, where answers are labels, by these; its text stands in the corpus alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stillroom.documents import Evidence, Figure, number, words
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table, level, of

_FEWEST = 2  # seeds, for what they alone change to be told
_SLICES = 20  # of those that are forgotten no more often than the others
_EXPLAINED = (
    ("rate", "Rows", "most students say otherwise than their teacher", units.PERCENT),
    ("null", "Rows, by seeds alone", "most students say otherwise than one of theirs that was left out", units.PERCENT),
    ("excess", "Beyond that", "the same students against teacher and one of theirs, row by row", units.POINTS),
    ("sure", "Sure ones", "of these rows, those that the teacher was sure of", units.PERCENT),
    ("learned", "Among rows learned from", "students say half of it otherwise, or more", units.PERCENT),
)


def seeds(evidence: Evidence) -> int:
    """With how many seeds the student was fitted; 1 where that is not told."""
    return int(number(evidence.find("forgotten", "seeds")) or 1)


def sentences(evidence: Evidence) -> list[str]:
    """What is forgotten beyond what seeds alone change; nothing where there was one seed."""
    return list(_sentences(evidence)) if seeds(evidence) >= _FEWEST else []


def _sentences(evidence: Evidence) -> Iterator[str]:
    rate, null, excess = (evidence.figure("forgotten", name) for name in ("rate", "null", "excess"))
    if rate.value is None or excess.value is None or excess.low is None or excess.high is None:
        return
    count = seeds(evidence)
    yield (
        f"Most of {count} students, alike but for their seeds, say otherwise than their teacher on "
        f"{units.PERCENT.told(rate)} of the test rows; than one of themselves on {units.PERCENT.told(null)}."
    )
    beyond = units.POINTS.told(excess)
    if excess.low > 0:
        yield f"More is forgotten than seeds alone explain: {beyond}."
    elif excess.high < 0:
        yield f"They are nearer to their teacher than to each other: {beyond}."
    else:
        yield f"No more is shown to be forgotten than seeds alone change: {beyond}."


def figures(evidence: Evidence) -> Table:
    """The figures, with what each is of, and how far agreement can go."""
    found = evidence.table("forgotten")
    rows = [
        (Cell(shown, note, kind="text"), of(figure, unit), Cell(units.COUNT.value(figure.n)))
        for name, shown, note, unit in _EXPLAINED
        if (figure := evidence.figure("forgotten", name)) is not None
    ]
    spread, metric = evidence.figure("forgotten", "spread"), evidence.words("forgotten", "spread", "metric")
    rows.append((Cell("Spread over seeds", _scores(found.get("spread"), metric), kind="text"),
                 of(spread, units.of_metric(metric)), Cell(units.COUNT.value(spread.n))))  # fmt: skip
    for name, shown in (("student_student", "two students"), ("teacher_teacher", "two teachers")):
        figure = evidence.figure("ceiling", name)
        note = "what agreement with the teacher can be held against"
        rows.append((Cell(f"Agreement of {shown}", note, kind="text"), of(figure, units.PERCENT),
                     Cell(units.COUNT.value(figure.n))))  # fmt: skip
    called = "forgotten" if seeds(evidence) >= _FEWEST else "disagreed on, by one student"
    return Table(
        f"What was {called}, with {level(evidence)}intervals",
        ("", "found", "n"),
        tuple(rows) if found else (),
        (evidence.source("evaluate"),),
        "Intervals are over rows, but for the spread, whose interval is over seeds. Students with several seeds answer "
        "in torch; the one that ships is the first.",
    )


def _scores(spread: Any, metric: str) -> str:
    """The lowest and the highest score, and how far one is off for its rows."""
    told = spread if isinstance(spread, Mapping) else {}
    low, high, rows = (number(told.get(name)) for name in ("lowest", "highest", "of_rows"))
    if low is None or high is None or rows is None:
        return f"standard deviation of {metric}" if metric else "standard deviation of the score"
    unit = units.of_metric(metric)
    return f"standard deviation of {metric}, {unit.value(low)} to {unit.value(high)}; over rows {unit.value(rows)}"


def slices(evidence: Evidence) -> Table:
    """The slices that are forgotten more often than the other rows, and the first of those that are not."""
    found = [one for one in evidence.rows("forgotten", "slices") if number(one.get("q")) is not None]
    found = found if evidence.figure("forgotten", "rate").value else []  # of nothing there is no more and no less
    more = [one for one in found if one.get("more") is True]
    rest = [one for one in found if one.get("more") is not True]
    return Table(
        "How often rows of a slice are forgotten, beside the other rows",
        ("cut by", "slice", "n", "forgotten", "times as often", "q", ""),
        tuple(_slice(one) for one in (*more, *rest[:_SLICES])),
        (evidence.source("evaluate"),),
        "q is the p of the slice being no worse than the other rows (Fisher), corrected for all slices (Benjamini and "
        f"Hochberg). Of {len(found)} slices with rows enough, {len(more)} are worse.",
    )


def _slice(one: Mapping[str, Any]) -> tuple[Cell, ...]:
    q = number(one.get("q")) or 0.0
    return (
        Cell(words(one.get("family")).replace("_", " ") or "other", kind="text"),
        Cell(words(one.get("name")) or "unnamed", kind="text"),
        Cell(units.COUNT.value(number(one.get("n")))),
        of(Figure.read(one.get("rate")), units.PERCENT),
        of(Figure.read(one.get("lift")), units.TIMES),
        Cell(units.significant(q, 2) if q >= 0.0001 else "< 0.0001"),
        Cell("more often" if one.get("more") is True else "not shown", kind="text"),
    )


def rows(evidence: Evidence) -> Table:
    """The rows that were forgotten most."""
    found = tuple(
        (
            Cell(words(one.get("id")), kind="code"),
            Cell(units.PERCENT.value(number(one.get("strength")))),
            Cell(words(one.get("teacher")) or "–", kind="text"),
            Cell(words(one.get("students")) or "–", kind="text"),
            Cell(_surety(one), kind="text"),
        )
        for one in evidence.rows("forgotten", "top")
    )
    return Table(
        "Test rows that were forgotten most, by their id in the corpus",
        ("row", "students that say otherwise", "the teacher", "most students", "the teacher was"),
        found,
        (evidence.source("evaluate"),),
        otherwise="none was forgotten" if evidence.figure("forgotten", "rate").value == 0 else units.UNMEASURED,
    )


def _surety(one: Mapping[str, Any]) -> str:
    sure = number(one.get("confidence"))
    return "–" if sure is None else f"{'sure' if one.get('sure') is True else 'unsure'}, {units.PERCENT.value(sure)}"
