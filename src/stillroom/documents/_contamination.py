"""What a dossier tells of rows that were seen before: which sides share them, and how the scores fare without them."""

from __future__ import annotations

from collections.abc import Iterator

from stillroom.documents import Evidence, Figure, number, words
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table

_METHODS = {"exact": "equal", "grams": "13 words in a row", "near": "nearly equal"}
_MEANING = {"meaning": "alike in meaning"}
_HOW = {**_METHODS, **_MEANING}
_SIDES = {
    "teacher": "what the teacher is known to have seen",
    "transfer": "texts made for the transfer set",
    "written": "what the teacher wrote",
}
_PARTS = {
    "all": ("All test rows", ""),
    "clean": ("Clean", "found in nothing that was learned from or chosen by"),
    "contaminated": ("Contaminated", "found there"),
}


def sentences(evidence: Evidence) -> list[str]:
    """What was found of the test, and what is known of the teacher."""
    return evidence.sentences("contamination", "sentences")


def limitations(evidence: Evidence) -> Iterator[str]:
    """What of it a reader has to keep in mind."""
    found, seen = (evidence.figure("contamination", f"{one}_rows_shared") for one in ("test", "teacher"))
    told = sentences(evidence)
    if found.value != 0:
        yield from told[:1]
    if seen.value != 0:
        yield from told[1:]


def pairs(evidence: Evidence) -> Table:
    """How many rows of each side share with each side before it."""
    found = evidence.rows("contamination", "pairs")
    meaning = _MEANING if any("meaning" in one for one in found) else {}
    counted = ("rows", "others", *_METHODS, "any", *meaning)
    rows = tuple(
        (
            Cell(_side(words(one.get("of"))), kind="text"),
            Cell(_side(words(one.get("with"))), kind="text"),
            *(Cell(units.COUNT.value(number(one.get(name)))) for name in counted),
        )
        for one in found
    )
    short = [
        f"{words(one.get('side'))} {units.COUNT.value(number(one.get('short')))}"
        for one in evidence.rows("contamination", "sides")
        if one.get("side") in ("dev", "test", "outside", "suites") and number(one.get("short"))
    ]
    alike = "; ".join(
        f"{_side(words(one.get('of')))} and {_side(words(one.get('with')))} ({words(one.get('why'))})"
        for one in evidence.rows("contamination", "by_design")
    )
    design = f" Alike by design: {alike}." if alike else ""
    few = f" Rows with fewer than thirteen words, which can have none in a row: {', '.join(short)}." if short else ""
    return Table(
        "Rows that share their text with another side",
        ("rows of", "held against", "rows", "texts there", *_METHODS.values(), "any of these", *meaning.values()),
        rows,
        (evidence.source("evaluate"),),
        "Equal: case, white space and compatibility forms aside. Nearly equal: a Jaccard index of the five-character "
        f"pieces of 0.8 or more.{few}{design}",
    )


def scores(evidence: Evidence) -> Table:
    """Teacher and student on all test rows, on clean ones and on the others."""
    metric = evidence.words("contamination", "scores", "metric")
    unit = units.of_metric(metric)
    rows = []
    for part, (name, note) in _PARTS.items():
        found = evidence.table("contamination", "scores", part)
        if not found:
            continue
        teacher, student, kept = (Figure.read(found.get(one)) for one in ("teacher", "student", "retention"))
        cells = (tables.of(teacher, unit), tables.of(student, unit), tables.of(kept, units.PERCENT))
        rows.append((Cell(name, note, kind="text"), Cell(units.COUNT.value(student.n)), *cells))
    return Table(
        f"{metric.replace('_', '-') or 'Scores'} with and without them, with {tables.level(evidence)}intervals",
        ("test rows", "n", "teacher", "student", "kept"),
        tuple(rows),
        (evidence.source("evaluate"),),
    )


def flagged(evidence: Evidence) -> Table:
    """The first of the test rows that share, with whom."""
    rows = tuple(
        (
            Cell(words(one.get("id"))[:12] or "–", kind="code", title=words(one.get("id"))),
            Cell(_HOW.get(words(one.get("method")), words(one.get("method")) or "–"), kind="text"),
            Cell(_side(words(one.get("with"))), kind="text"),
            Cell(words(one.get("other"))[:12] or "–", kind="code", title=words(one.get("other"))),
        )
        for one in evidence.rows("contamination", "flagged")
    )
    return Table("Test rows that share their text", ("test row", "how", "with", "row there"), rows,
                 (evidence.source("evaluate"),), "All of them are in `flags.parquet` of the search.")  # fmt: skip


def _side(name: str) -> str:
    return _SIDES.get(name, name) or "unnamed"
