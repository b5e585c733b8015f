"""Family: what people are shown. A document is rendered from a run's evidence, and from nothing else.

`Evidence` is read with care: whatever is missing, null or of another shape than expected is *not measured*, which a
document says in words. It never fills a gap and never fails for one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

from stillroom.core.plugins import Member

SYSTEMS = ("teacher", "student", "undistilled", "baseline")


@final
@dataclass(frozen=True)
class Figure:
    """A figure with its interval; `value` is None where it was not measured, and `reason` may say why."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    reason: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None

    @classmethod
    def read(cls, found: Any) -> Figure:
        """The figure in an interval, in a bare number, or in nothing."""
        if not isinstance(found, Mapping):
            return cls(number(found))
        value = number(found.get("value"))
        n = number(found.get("n"))
        ends = (None, None) if value is None else (number(found.get("low")), number(found.get("high")))
        return cls(value, *ends, None if n is None else int(n), words(found.get("reason")))


@final
@dataclass(frozen=True)
class Source:
    """The artifact that a figure comes from."""

    stage: str
    digest: str

    @property
    def short(self) -> str:
        """What is shown of the digest; the whole stands beside it where there is room."""
        return self.digest[:12] or "no digest recorded"


@final
@dataclass(frozen=True)
class Evidence:
    """A run's summary, and its training log, a row an epoch."""

    summary: Mapping[str, Any]
    curves: Sequence[Mapping[str, Any]] = ()

    def find(self, *path: str) -> Any:
        """What stands at a place of the summary, or None."""
        return at(self.summary, *path)

    def figure(self, *path: str) -> Figure:
        """The figure at a place of the summary."""
        return Figure.read(self.find(*path))

    def table(self, *path: str) -> Mapping[str, Any]:
        """The table at a place of the summary; empty if there is none."""
        found = self.find(*path)
        return found if isinstance(found, Mapping) else {}

    def rows(self, *path: str) -> list[Mapping[str, Any]]:
        """The list of tables at a place of the summary; empty if there is none."""
        found = self.find(*path)
        return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list | tuple) else []

    def words(self, *path: str) -> str:
        """The words at a place of the summary; empty if there are none."""
        return words(self.find(*path))

    def sentences(self, *path: str) -> list[str]:
        """The sentences at a place of the summary, whether one or a list."""
        found = self.find(*path)
        listed = found if isinstance(found, list | tuple) else [found]
        return [words(one) for one in listed if words(one)]

    def source(self, stage: str) -> Source:
        """The artifact of a stage."""
        return Source(stage, self.words("stages", stage, "digest"))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics of any system, in the order in which they were asked for."""
        return tuple(dict.fromkeys(name for system in SYSTEMS for name in self.table(system, "scores")))

    @property
    def primary(self) -> str:
        """The metric that everything is judged by first: what retention names first, or else the first there is."""
        return next(iter((*self.table("retention"), *self.metrics)), "")


class Document(Member, ABC):
    """Something to read, made from evidence."""

    name: ClassVar[str]
    """The file that it becomes."""

    @abstractmethod
    def render(self, evidence: Evidence) -> str:
        """The whole document. The same evidence gives the same text."""


def at(found: Any, *path: str) -> Any:
    """What stands at a place in nested tables, or None."""
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def number(found: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if math.isfinite(found) else None


def words(found: Any) -> str:
    """Words on one line; a number as it stands; empty for anything else."""
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return " ".join(str(found).split())
