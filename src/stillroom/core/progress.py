"""How long work tells that it is moving: events to a callback, never a print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True)
class Event:
    """Something worth showing: a stage moved on, or has something to say.

    `total` is None where it can't be known; where it began as a bound, it comes down on the way. `facts` are short
    named values to show beside the bar.
    A `note` is a sentence for people; it never holds a text of the corpus.
    """

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "items"
    facts: dict[str, str] = field(default_factory=dict)
    note: str = ""


Report = Callable[[Event], None]


def silent(event: Event) -> None:
    """The report of a caller who does not want to be told."""


@final
class Meter:
    """Counts one piece of long work and reports each step."""

    def __init__(self, report: Report, *, stage: str, total: int | None, unit: str) -> None:
        self._report, self._stage, self._total, self._unit = report, stage, total, unit
        self.done = 0
        self._report(Event(stage, 0, total, unit))

    def advance(self, count: int = 1, **facts: str) -> None:
        """Say that `count` more items are done."""
        self.done += count
        self._report(Event(self._stage, self.done, self._total, self._unit, facts))

    @property
    def total(self) -> int | None:
        """How many items there are at most, as far as is known."""
        return self._total

    def spare(self, count: int) -> None:
        """Say that `count` items of the total need not be done."""
        if self._total is not None:
            self._total -= count

    def note(self, sentence: str) -> None:
        """Say something that people should read."""
        self._report(Event(self._stage, self.done, self._total, self._unit, note=sentence))
