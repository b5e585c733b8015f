"""Answers that are vectors of texts: how near texts lie to each other, beside what people and the teacher say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import judged
from stillroom.core.judged import Golds
from stillroom.metrics import Answered, Floats, Masked, Narrow

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.float32]
Places = NDArray[np.int64]

FIRST = 10
"""How many of the nearest are looked at."""
_BLOCK = 1 << 26  # cosines at a time


@final
@dataclass(frozen=True)
class Space:
    """The vectors of all texts, `[texts, width]` of length one, of a system and of the teacher; and what is judged.

    `rows` are the texts that are judged, with their `gold`. `ids` and `domains` are of all texts.
    """

    vectors: Numbers
    teacher: Numbers
    rows: Places
    gold: Golds
    ids: Sequence[str]
    domains: Sequence[str]
    texts: Sequence[str] = ()

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Where each text stands, by its id; the first of equal ones."""
        found = {judged.here(row): row for row in range(len(self.ids))}
        for row, one in enumerate(self.ids):
            found.setdefault(one.partition("-")[0], row)
        return found

    @cached_property
    def among(self) -> NDArray[np.str_]:
        """Where each judged row searches; "": it does not."""
        return np.array([one.among for one in self.gold], dtype=np.str_)

    @cached_property
    def pairs(self) -> tuple[Places, Floats, Floats]:
        """The graded pairs: which judged row each is of, the cosine of its vectors, its grade."""
        found = [
            (row, self.place[other], grade)
            for row, one in enumerate(self.gold)
            if not one.among
            for other, grade in one.others
            if other in self.place
        ]
        owners = np.array([row for row, _, _ in found], dtype=np.int64)
        others = np.array([other for _, other, _ in found], dtype=np.int64)
        cosines = np.einsum("pw,pw->p", self.vectors[self.rows[owners]], self.vectors[others], dtype=np.float64)
        return owners, cosines, np.array([grade for _, _, grade in found], dtype=np.float64)

    @cached_property
    def ndcg(self) -> Floats:
        """Of each judged row: how well its search finds what it should; NaN where it searches nothing."""
        found = np.full(len(self.rows), np.nan)
        for rows, candidates in self._searches():
            if not self.among[rows[0]]:
                continue
            for row, nearest in zip(rows.tolist(), self._nearest(self.vectors, rows, candidates), strict=True):
                grades = {self.place[one]: grade for one, grade in self.gold[row].others if one in self.place}
                best = sorted((grade for _, grade in self.gold[row].others), reverse=True)[:FIRST]
                found[row] = _gain([grades.get(one, 0.0) for one in nearest]) / _gain(best)
        return found

    @cached_property
    def shared(self) -> Floats:
        """Of each judged row: the share of the teacher's nearest texts that are the system's nearest too."""
        found = np.full(len(self.rows), np.nan)
        for rows, candidates in self._searches():
            both = zip(*(self._nearest(one, rows, candidates) for one in (self.vectors, self.teacher)), strict=True)
            found[rows] = [len(set(own) & set(its)) / max(1, len(its)) for own, its in both]
        return found

    @cached_property
    def agrees(self) -> NDArray[np.bool_]:
        """Of each judged row: whether the nearest text is the teacher's nearest."""
        found = np.zeros(len(self.rows), dtype=np.bool_)
        for rows, candidates in self._searches():
            both = zip(*(self._nearest(one, rows, candidates) for one in (self.vectors, self.teacher)), strict=True)
            found[rows] = [own[:1] == its[:1] for own, its in both]
        return found

    @cached_property
    def first_found(self) -> Places:
        """Of each judged row: the nearest text, −1 where there is none."""
        found = np.full(len(self.rows), -1, dtype=np.int64)
        for rows, candidates in self._searches():
            found[rows] = [next(iter(own), -1) for own in self._nearest(self.vectors, rows, candidates)]
        return found

    def first(self, width: int) -> Space:
        """The same with so many dimensions of the system's vectors; the teacher keeps all."""
        part = self.vectors[:, :width]
        return replace(self, vectors=part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12))

    def _searches(self) -> Iterator[tuple[Places, Places]]:
        """Judged rows, and the texts that they look among: a domain, or else all that no search is about."""
        once = np.array(sorted({row for one, row in self.place.items() if not one.startswith("#")}), dtype=np.int64)
        domains = np.array([self.domains[row] for row in once.tolist()], dtype=np.str_)
        asked = np.isin(once, self.rows)
        for name in np.unique(self.among):
            rows = np.flatnonzero(self.among == name)
            yield (
                rows,
                once[(domains == name) & ~asked] if name else once[~np.isin(domains, self.among[self.among != ""])],
            )

    def _nearest(self, vectors: Numbers, rows: Places, candidates: Places) -> Iterator[list[int]]:
        """The nearest candidates of each judged row, itself left out, nearest first."""
        place = {row: number for number, row in enumerate(candidates.tolist())}
        table, count = vectors[candidates].T, min(FIRST, len(candidates))
        block = max(1, _BLOCK // max(1, len(candidates)))
        for start in range(0, len(rows), block):
            own = self.rows[rows[start : start + block]]
            near = vectors[own] @ table
            for line, row in enumerate(own.tolist()):
                itself = place.get(self.place[self.ids[row].partition("-")[0]])
                if itself is not None:
                    near[line, itself] = -np.inf
            best = np.argpartition(-near, count - 1, axis=1)[:, :count] if count else np.zeros((len(own), 0), np.int64)
            for line, some in zip(near, best, strict=True):
                ordered = sorted(some.tolist(), key=lambda one: (-line[one], one))
                yield [int(candidates[one]) for one in ordered if line[one] > -np.inf]


def _gain(grades: Sequence[float]) -> float:
    """The discounted cumulative gain: Σ grade / log₂(1 + rank)."""
    return float(sum(grade / np.log2(rank + 2) for rank, grade in enumerate(grades)))


@final
@dataclass(frozen=True)
class Embedded(Answered):
    """Vectors of texts: judged rows of a space."""

    space: Space
    rows: Places
    """Which of the space's judged rows, in this order."""
    prefixes: tuple[int, ...] = ()
    """How many first dimensions have to do without the others."""
    labels: tuple[str, ...] = field(default=(), init=False)
    named: bool = field(default=False, init=False)
    graded: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: NDArray[np.int64]) -> Embedded:
        """The same of these rows."""
        return replace(self, rows=self.rows[rows])

    @property
    def right(self) -> None:
        """A vector is neither right nor wrong."""
        return None

    @property
    def teacher_right(self) -> None:
        """Nor is the teacher's."""
        return None

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where the nearest text is the teacher's nearest."""
        return self.space.agrees[self.rows]

    @property
    def confidence(self) -> None:
        """It does not say how sure it is."""
        return None

    def shown(self, row: int, *, masked: Masked) -> str | None:
        """The text that it finds nearest, and how near."""
        its = int(self.rows[row])
        place = int(self.space.first_found[its])
        if place < 0 or not len(self.space.texts):
            return None
        own, other = (self.space.vectors[one].astype(np.float64) for one in (self.space.rows[its], place))
        return f"{float(own @ other):.2f}: {masked(self.space.texts[place])}"

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """Rows of pairs, and searches."""
        return {"judged": [one or "pairs" for one in self.space.among[self.rows].tolist()]}

    def parts(self) -> Iterator[tuple[str, str, NDArray[np.int64], Narrow]]:
        """All rows, with the first dimensions alone."""
        for width in self.prefixes:
            yield "dimensions", f"the first {width}", np.arange(len(self)), partial(_first, width=width)

    def told(self) -> dict[str, pa.Array]:
        """The mean cosine of its pairs, and how well its search finds: null where it has none."""
        import pyarrow as pa

        owners, cosines, _ = self.space.pairs
        counts = np.bincount(owners, minlength=len(self.space.rows))
        means = np.bincount(owners, weights=cosines, minlength=len(counts)) / np.maximum(counts, 1)
        both = {"cosine": np.where(counts > 0, means, np.nan), "ndcg": self.space.ndcg}
        return {name: pa.array(one[self.rows], from_pandas=True) for name, one in both.items()}

    def told_gold(self) -> pa.Array:
        """The grades."""
        import pyarrow as pa

        return pa.array([[grade for _, grade in self.space.gold[row].others] for row in self.rows.tolist()],
                        type=pa.list_(pa.float32()))  # fmt: skip


def _first(answers: Embedded, *, width: int) -> Embedded:
    """With the first dimensions alone; the teacher as it is, for that is what a shorter vector is to stand for."""
    space = answers.space
    return answers if space.vectors is space.teacher else replace(answers, space=space.first(width))
