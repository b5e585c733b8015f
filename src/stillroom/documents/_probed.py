"""What each probe found, as it tells it itself: a section a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, final

from stillroom.core import plugins
from stillroom.documents import Evidence, Figure
from stillroom.documents import _tables as tables
from stillroom.documents import _units as units
from stillroom.documents._tables import Cell, Table

if TYPE_CHECKING:
    from stillroom.probes import Exhibit, Probe


@final
@dataclass(frozen=True)
class Probed:
    """What one probe found."""

    name: str
    title: str
    lead: str
    tables: tuple[Table, ...]


def sections(evidence: Evidence) -> list[Probed]:
    """What each probe found, those that were not put left out."""
    found = []
    for kind in plugins.names("probes"):
        probe = cast("type[Probe]", plugins.member("probes", kind))
        if told := evidence.table(kind):
            shown = [_exhibit(evidence, one) for one in probe.exhibits(told)]
            found.append(Probed(kind, probe.title, probe.lead, tuple(shown)))
    return found


def _exhibit(evidence: Evidence, exhibit: Exhibit) -> Table:
    unit = {"percent": units.PERCENT, "points": units.POINTS, "plain": units.PLAIN}[exhibit.unit]
    rows = tuple(
        tuple(
            tables.of(Figure.read(cell), unit) if isinstance(cell, Mapping)
            else Cell(units.COUNT.value(cell)) if isinstance(cell, int)
            else Cell(cell, kind="text")
            for cell in row
        )
        for row in exhibit.rows
    )  # fmt: skip
    caption = f"{exhibit.caption}, with {tables.level(evidence)}intervals"
    return Table(caption, exhibit.head, rows, (evidence.source("audit"),), exhibit.note)
