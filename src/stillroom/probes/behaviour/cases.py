"""A case of a suite: texts, and what is expected of whoever answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillroom.metrics import Answered
from stillroom.shapes import Outputs
from stillroom.tasks import Task


class Expectation(Protocol):
    """What is expected of the answers to the texts of a case."""

    def failing(self, task: Task, said: Outputs, *, named: bool) -> list[int] | None:
        """The numbers of the texts whose answer is not what is expected; None: these answers can't tell.

        `named`: whoever answers names something and does not say how sure it is.
        """


@final
@dataclass(frozen=True)
class Case:
    """Texts that are judged together: one of them that fails, and the case fails."""

    id: str
    capability: str
    test: str
    texts: tuple[str, ...]
    expected: Expectation


@final
@dataclass(frozen=True)
class Minimum:
    """Each text gets one of the answers that are right for it."""

    gold: tuple[tuple[Any, ...], ...]
    """Of each text, as the task `code`s it."""

    def failing(self, task: Task, said: Outputs, *, named: bool) -> list[int] | None:
        """Those that get another answer."""
        rows = np.repeat(np.arange(len(self.gold)), [len(some) for some in self.gold])
        codes = pa.array([one for some in self.gold for one in some], type=task.gold_type())
        gold = task.gold(pa.chunked_array([codes]))
        right = _answered(task, task.form.take(said, rows), gold=gold, named=named).right
        if right is None:
            return None
        hits = np.bincount(rows[right], minlength=len(self.gold))
        return np.flatnonzero(hits == 0).tolist()


@final
@dataclass(frozen=True)
class Invariance:
    """What is named of the first text is named of all others.

    Another name is let pass where the probability of the first has moved by no more than the tolerance.
    """

    tolerance: float

    def failing(self, task: Task, said: Outputs, *, named: bool) -> list[int] | None:
        """Those of which something else is named."""
        first, *others = task.gist(task.named(said))
        moved = [place for place, one in enumerate(others, start=1) if one != first]
        table = _probabilities(task, said, named=named)
        if table is None:
            return moved
        likely = table[:, table[0].argmax()]
        return [place for place in moved if abs(likely[place] - likely[0]) > self.tolerance]


@final
@dataclass(frozen=True)
class Direction:
    """From the first text to the others the probability of a label does not fall, or does not rise."""

    label: int | None
    """Its position; None: the label that whoever answers names for the first text."""
    rises: bool
    """Whether it may rise and not fall."""
    tolerance: float
    unless: frozenset[int]
    """The labels that, named for the first text, leave nothing to expect."""

    def failing(self, task: Task, said: Outputs, *, named: bool) -> list[int] | None:
        """Those where it goes the other way by more than the tolerance."""
        table = _probabilities(task, said, named=named)
        if table is None:
            return None
        first = int(table[0].argmax())
        if first in self.unless:
            return None
        likely = table[:, first if self.label is None else self.label]
        wrong = (likely[0] - likely) if self.rises else (likely - likely[0])
        return np.flatnonzero(wrong > self.tolerance).tolist()


def texts(cases: Sequence[Case]) -> list[str]:
    """Every text of some cases, in their order."""
    return [text for one in cases for text in one.texts]


def _probabilities(task: Task, said: Outputs, *, named: bool) -> NDArray[np.float64] | None:
    """Of each label, `[texts, labels]`; None where that is not told of a text as a whole."""
    found = _answered(task, said, gold=task.golds([None] * len(said)), named=named).distributions()
    return None if found is None else found[1]


def _answered(task: Task, said: Outputs, *, gold: NDArray[Any], named: bool) -> Answered:
    return task.answered(gold, said, said, named=named)
