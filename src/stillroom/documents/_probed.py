"""What each probe found, as it tells it itself: a section a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, final

from stillroom.core import plugins
from stillroom.documents import Evidence, Figure, Source
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table

if TYPE_CHECKING:
    from stillroom.probes import Exhibit, MarkedText, Probe, Reading

#: From which weights on a word is marked more strongly.
_STRENGTHS = (0.2, 0.5, 0.8)
_HEAVIEST = 3
#: What stands where a row has no such figure.
_NOTHING = "–"


@final
@dataclass(frozen=True)
class Word:
    """A part of a text with the blank before it, and what it weighs: `strength` from 0 (little) to 3, by its side."""

    blank: str
    text: str
    strength: int
    speaks: str
    """`for` what is named, or `against` it."""


@final
@dataclass(frozen=True)
class Read:
    """A text as one side reads it: what it names, its words, and the heaviest ones in a sentence."""

    side: str
    named: str
    words: tuple[Word, ...]
    heaviest: str


@final
@dataclass(frozen=True)
class Marked:
    """A text as both read it."""

    caption: str
    readings: tuple[Read, ...]
    sources: tuple[Source, ...]


@final
@dataclass(frozen=True)
class Probed:
    """What one probe found."""

    name: str
    title: str
    lead: str
    tables: tuple[Table, ...]
    texts: tuple[Marked, ...]


def sections(evidence: Evidence) -> list[Probed]:
    """What each probe found, those that were not put left out."""
    found = []
    for kind in plugins.names("probes"):
        probe = cast("type[Probe]", plugins.member("probes", kind))
        if told := evidence.table(kind):
            shown = [_exhibit(evidence, one) for one in probe.exhibits(told)]
            sources = (evidence.source("audit"),)
            texts = [Marked(one.caption, tuple(_read(one, reading) for reading in one.readings), sources)
                     for one in probe.marked(told)]  # fmt: skip
            found.append(Probed(kind, probe.title, probe.lead, tuple(shown), tuple(texts)))
    return found


def _read(text: MarkedText, reading: Reading) -> Read:
    marked = []
    for part, weight in zip(text.parts, reading.weights, strict=True):
        word = part.lstrip()
        strength = sum(abs(weight) >= least for least in _STRENGTHS)
        marked.append(Word(part[: len(part) - len(word)], word, strength, "for" if weight > 0 else "against"))
    order = sorted(range(len(marked)), key=lambda at: -abs(reading.weights[at]))[:_HEAVIEST]
    told = [f"“{marked[at].text.strip()}” {marked[at].speaks} it ({abs(reading.weights[at]):.2f})"
            for at in order if reading.weights[at]]  # fmt: skip
    return Read(reading.side, reading.named, tuple(marked), ", ".join(told) or "no word weighs anything")


def _exhibit(evidence: Evidence, exhibit: Exhibit) -> Table:
    unit = {"percent": units.PERCENT, "points": units.POINTS, "plain": units.PLAIN, "signed": units.CORRELATION}[
        exhibit.unit
    ]
    rows = tuple(
        tuple(
            tables.of(Figure.read(cell), unit) if isinstance(cell, Mapping)
            else Cell(units.COUNT.value(cell)) if isinstance(cell, int)
            else Cell(cell, kind="number" if cell == _NOTHING else "text")
            for cell in row
        )
        for row in exhibit.rows
    )  # fmt: skip
    caption = f"{exhibit.caption}, with {tables.level(evidence)}intervals"
    return Table(caption, exhibit.head, rows, (evidence.source("audit"),), exhibit.note)
