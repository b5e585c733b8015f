"""Several fits of one student, alike but for their seeds: where they and their teachers say the same, and most of them.

Nothing is asked of an answer but whether it is that of another (`Answered.agrees`), so that labels, spans, texts and
vectors are all one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stillroom.metrics import Answered, Floats
from stillroom.table import TEACHER, align
from stillroom.tasks import Task

Flags = NDArray[np.bool_]


@final
@dataclass(frozen=True, eq=False)
class Fits:
    """What several fits of one student said of the rows of a table, beside their teachers and beside each other.

    `alike` is `[people, people, rows]`: where two name the same. The teachers are the last of the people, the one that
    taught before those that are like it but for their seeds.
    """

    said: Sequence[Answered]
    alike: Flags

    @classmethod
    def of(
        cls, answers: Sequence[Any], teachers: Sequence[Any], rows: pa.Table, *, task: Task, named: frozenset[str]
    ) -> Self | None:
        """From what each of them put out for rows that can be aligned, and what the teachers did, in their order.

        None: the teacher names nothing that they could name too.
        """
        ids = rows["id"].to_pylist()
        people, students = [*answers, *teachers], len(answers)
        said: list[Answered] = []
        alike: list[list[Flags]] = [[] for _ in people]
        for place, one in enumerate(people):
            others = {f"seed {number}": (ids, other) for number, other in enumerate(people[:place])}
            if others:
                table = align(
                    rows, {TEACHER: (ids, one), **others}, task=task, named=named if place >= students else frozenset()
                )
                told = [table.said[system] for system in others]
                alike[place] = [same for one in told if (same := one.agrees) is not None]
                if len(alike[place]) < len(told):
                    return None
                said = told if place == students else said
        count = len(said[0])
        square = np.ones((len(people), len(people), count), dtype=np.bool_)
        for place, row in enumerate(alike):
            for other, same in enumerate(row):
                square[place, other] = square[other, place] = same
        return cls(said, square)

    @classmethod
    def shipped(cls, said: Answered) -> Self | None:
        """The one that ships, alone; None: as above."""
        own, same = np.ones(len(said), dtype=np.bool_), said.agrees
        return None if same is None else cls([said], np.array([[own, same], [same, own]]))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The same of these rows."""
        return type(self)([one.take(rows) for one in self.said], self.alike[:, :, rows])

    def __len__(self) -> int:
        """How many fits."""
        return len(self.said)

    @property
    def teachers(self) -> range:
        """Where among the people the teachers are."""
        return range(len(self), len(self.alike))

    @property
    def forgotten(self) -> Flags:
        """Where none of what most of them say is what most teachers say."""
        return apart(self.alike, range(len(self)), self.teachers)

    @property
    def strength(self) -> Floats:
        """The share of them that does not say what a teacher says, in the mean over the teachers."""
        return np.asarray(1.0 - self.alike[: len(self), len(self) :].mean(axis=(0, 1)), dtype=np.float64)

    @property
    def left_out(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Each one's siblings against the teachers, and the same siblings against itself, `[fits, rows]` both."""
        everybody = range(len(self))
        others = [[one for one in everybody if one != own] for own in everybody]
        teacher = [apart(self.alike, group, self.teachers) for group in others]
        itself = [apart(self.alike, group, [own]) for own, group in enumerate(others)]
        return np.array(teacher), np.array(itself)


def apart(alike: Flags, one: Sequence[int], other: Sequence[int]) -> Flags:
    """Where two groups have no answer in common among those that most of each give, `[rows]`.

    An answer that no other in its group outnumbers counts, so that a tie is apart only where both sides of it are.
    """
    leading = [most(alike, group) for group in (one, other)]
    shared = np.zeros(alike.shape[-1], dtype=np.bool_)
    for place, member in enumerate(one):
        for beside, stranger in enumerate(other):
            shared |= leading[0][place] & leading[1][beside] & alike[member, stranger]
    return ~shared


def most(alike: Flags, group: Sequence[int]) -> Flags:
    """Whose answer no other answer of the group outnumbers, `[group, rows]`."""
    votes = alike[np.ix_(list(group), list(group))].sum(axis=1)
    return np.asarray(votes == votes.max(axis=0))
