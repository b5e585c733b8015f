"""What could not be measured, and why: every figure of a summary that is none, those of one reason together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stillroom.documents import Evidence, words
from stillroom.documents._tables import Cell, Table

#: Of figures with one reason so many are named.
_NAMED = 4
_STAGES = ("evaluate", "audit", "cost")


def table(evidence: Evidence) -> Table:
    """A line a reason."""
    reasons: dict[str, list[str]] = {}
    for path, reason in _without(evidence.summary, ""):
        reasons.setdefault(reason, []).append(path)
    rows = tuple(
        (Cell(reason, kind="text"), Cell(_named(paths), kind="text"))
        for reason, paths in sorted(reasons.items(), key=lambda one: -len(one[1]))
    )
    sources = tuple(evidence.source(stage) for stage in _STAGES)
    return Table("What could not be measured", ("why", "what"), rows, sources,
                 otherwise="nothing: every figure that was asked for is there")  # fmt: skip


def _without(part: Any, where: str) -> Iterator[tuple[str, str]]:
    """The path and the reason of each figure without a value."""
    if isinstance(part, Mapping):
        if part.get("value", "") is None and words(part.get("reason")):
            yield where, words(part["reason"])
            return
        for name, value in part.items():
            yield from _without(value, f"{where}.{name}" if where else str(name))
    elif isinstance(part, list | tuple):
        for value in part:
            told = value if isinstance(value, Mapping) else {}
            kind, name = words(told.get("family")), words(told.get("name"))
            yield from _without(value, f"{where} {kind} “{name}”" if name else where)


def _named(paths: list[str]) -> str:
    told = [f"`{one}`" for one in dict.fromkeys(paths)]
    more = len(told) - _NAMED
    return ", ".join(told[:_NAMED]) + (f" and {more} more" if more > 0 else "")
