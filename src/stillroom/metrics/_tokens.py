"""What was said of the tokens of texts, beside what the teacher said: how probable, how far apart, how repetitive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import objects, spans
from stillroom.core.scored import Scored
from stillroom.metrics import Answered, Floats, Masked, Metric
from stillroom.metrics._texts import References, TextMetric, Written

if TYPE_CHECKING:
    import pyarrow as pa

#: Where bins of divergences begin, in nats: what is below the first counts as none.
EDGES = np.concatenate([[0.0], np.geomspace(1e-4, 80.0, 240)])
UNSCORED = "does not say how probable tokens are"
_AT_ONCE = 4096  # tokens that are laid beside each other together


@final
@dataclass(frozen=True)
class Told(Answered):
    """What was said of the tokens that were read, and the teacher's; and what was written behind each text."""

    said: Scored
    teacher: Scored
    references: References
    """How each text may go on, where somebody says so; else nothing, `[texts]`."""
    sources: NDArray[np.object_]
    """The texts that were read, for what is written to be held beside; "" where nobody says, `[texts]`."""
    labels: tuple[str, ...] = field(default=(), init=False)
    named: bool = field(default=False, init=False)
    graded: ClassVar[bool] = True

    @classmethod
    def of(
        cls,
        said: Scored,
        teacher: Scored,
        references: References | None = None,
        *,
        sources: Sequence[str] | None = None,
    ) -> Self:
        """Of the tokens of the texts alone: those that are written are everybody's own."""
        nothing, blank = objects.array([()] * len(said)), [""] * len(said)
        return cls(said.only(said.read), teacher.only(teacher.read), nothing if references is None else references,
                   objects.array(blank if sources is None else list(sources)))  # fmt: skip

    def __len__(self) -> int:
        return len(self.said)

    def take(self, rows: NDArray[np.int64]) -> Told:
        """The same of these rows."""
        return replace(self, said=self.said.take(rows), teacher=self.teacher.take(rows),
                       references=self.references[rows], sources=self.sources[rows])  # fmt: skip

    def part(self, answers: str) -> tuple[Answered, NDArray[np.int64] | None] | None:
        """For metrics of texts what was written behind those that have references."""
        if answers != TextMetric.answers:
            return self, None
        rows = np.array([row for row, some in enumerate(self.references) if some], dtype=np.int64)
        if not len(rows):
            return None
        said, teacher = (one.texts[rows] for one in (self.said, self.teacher))
        return Written(self.references[rows], said, teacher, self.sources[rows]), rows

    @property
    def right(self) -> None:
        """A text that goes on in one way could have gone on in another."""
        return

    @property
    def teacher_right(self) -> None:
        """The same."""
        return

    @property
    def speaks(self) -> bool:
        """Whether anything is said of any token."""
        return bool(len(self.said.tokens))

    @property
    def teacher_speaks(self) -> bool:
        """The same of the teacher."""
        return bool(len(self.teacher.tokens))

    @property
    def agrees(self) -> NDArray[np.bool_] | None:
        """Where both think the same token likeliest at the end of the text; a text without any agrees with itself."""
        if not (self.speaks and self.teacher_speaks):
            return None
        found = np.ones(len(self), dtype=np.bool_)
        for row, (own, its) in enumerate(zip(*(one.each(one.ids[:, 0]) for one in (self.said, self.teacher)),
                                             strict=True)):  # fmt: skip
            found[row] = len(own) == len(its) and (not len(own) or own[-1] == its[-1])
        return found

    @property
    def confidence(self) -> None:
        """There is one for each token, and none for the text."""
        return

    def shown(self, row: int, *, masked: Masked) -> str:
        """What it wrote behind the text."""
        return masked(self.said.texts[row]) or "nothing"

    @property
    def surprise(self) -> tuple[Floats, Floats]:
        """By its tokens, the last of which ends where it stopped to read."""
        reached = np.zeros(len(self))
        np.maximum.at(reached, self.said.owners, self.said.places[:, 1].astype(np.float64))
        return self.nats, reached

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """Gold has none."""
        return {}

    @cached_property
    def nats(self) -> Floats:
        """How surprising each text was, `[texts]`."""
        return np.asarray(-np.bincount(self.said.owners, weights=self.said.own, minlength=len(self)))

    @cached_property
    def sizes(self) -> Floats:
        """How many bytes of each text were told, `[texts]`."""
        return _bytes(self.said)

    @cached_property
    def teacher_sizes(self) -> Floats:
        """How many of them the teacher told, `[texts]`."""
        return _bytes(self.teacher)

    @cached_property
    def alike(self) -> NDArray[np.int64]:
        """The texts where there is a token that both tell of."""
        return np.flatnonzero(np.bincount(self.owners, minlength=len(self)))

    @cached_property
    def both(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The lines of both where both have read the same bytes and tell what comes next."""
        return spans.beside(self.said, self.teacher)

    @cached_property
    def owners(self) -> NDArray[np.int64]:
        """The text of each of them."""
        return np.asarray(self.said.owners[self.both[0]])

    def summed(self, values: Floats | None = None) -> Floats:
        """The sum over them of each text of `alike`; without values, how many there are."""
        return np.bincount(self.owners, weights=values, minlength=len(self))[self.alike].astype(np.float64)

    @cached_property
    def apart(self) -> Floats:
        """The divergence of the student from the teacher at each of them, in nats."""
        said, teacher = self.said.values[self.both[0]], self.teacher.values[self.both[1]]
        parts = [
            divergence(teacher[start : start + _AT_ONCE], said[start : start + _AT_ONCE])
            for start in range(0, len(said), _AT_ONCE)
        ]
        return np.concatenate([np.zeros(0), *parts])

    def told(self) -> dict[str, pa.Array]:
        """Nats and bytes, if it says them; and what was written where there are references."""
        import pyarrow as pa

        written = [text if some else None for text, some in zip(self.said.texts, self.references, strict=True)]
        found = {"nats": pa.array(self.nats), "bytes": pa.array(self.sizes)} if self.speaks else {}
        return found | ({"text": pa.array(written, type=pa.string())} if any(self.references) else {})

    def told_gold(self) -> pa.Array:
        """The references; the text itself, which is right too, stands nowhere."""
        import pyarrow as pa

        return pa.array([list(some) or None for some in self.references], type=pa.list_(pa.string()))


def _bytes(said: Scored) -> Floats:
    widths = np.diff(said.places.astype(np.float64), axis=1)[:, 0]
    return np.asarray(np.bincount(said.owners, weights=widths, minlength=len(said)), dtype=np.float64)


class TokenMetric(Metric):
    """A metric of what is said of tokens."""

    answers: ClassVar[str] = "tokens"
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False

    def unsaid(self, answers: Told, *, who: str) -> str:
        """How probable tokens are."""
        return "" if answers.speaks else f"the {who} {UNSCORED}"


class DivergenceMetric(TokenMetric):
    """A metric of how far a student's distributions are from its teacher's, where both have read the same bytes."""

    against_teacher: ClassVar[bool] = True

    def unsaid(self, answers: Told, *, who: str) -> str:
        """How probable tokens are: that has to be said by the teacher too."""
        return super().unsaid(answers, who=who) or ("" if answers.teacher_speaks else f"the teacher {UNSCORED}")

    def counted(self, answers: Told) -> NDArray[np.int64]:
        """Those texts."""
        return answers.alike

    def spread(self, answers: Told) -> Floats:
        """Of each text, how many tokens are in each bin of divergences, `[texts, bins]`."""
        bins = np.searchsorted(EDGES, answers.apart, side="right") - 1
        places = answers.owners * len(EDGES) + bins
        table = np.bincount(places, minlength=len(answers) * len(EDGES)).reshape(len(answers), len(EDGES))
        return table[answers.alike].astype(np.float64)


def percentile(counts: Floats, share: float) -> Floats:
    """The value under which so large a share of what was counted in bins lies, `[..., bins]` to `[...]`."""
    total = counts.sum(axis=-1)
    heights = np.cumsum(counts, axis=-1)
    wanted = share * total
    place = np.minimum((heights < wanted[..., None]).sum(axis=-1), len(EDGES) - 1)
    own = np.take_along_axis(counts, place[..., None], axis=-1)[..., 0]
    below = np.take_along_axis(heights, place[..., None], axis=-1)[..., 0] - own
    inside = np.divide(wanted - below, own, out=np.zeros_like(total), where=own > 0)
    ends = np.append(EDGES[1:], EDGES[-1])
    # The first bin is of what is no divergence worth the name.
    found = np.where(place == 0, 0.0, EDGES[place] + inside * (ends[place] - EDGES[place]))
    return np.where(total > 0, found, np.nan)


def divergence(teacher: NDArray[Any], student: NDArray[Any]) -> Floats:
    """KL(teacher ‖ student) at each token, in nats, over the teacher's likeliest tokens and one more, all others.

    Where the student does not tell of one of these, it and the others that are missing share the student's tail alike,
    and none has more than the least of those that are told of: of sides that keep the same tokens nothing is guessed.
    """
    kept = (teacher.shape[1] - 3) // 2
    p, q = (np.exp(one[:, 1 : kept + 2].astype(np.float64)) for one in (teacher, student))
    p /= p.sum(axis=1, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
    same = teacher[:, kept + 3 :, None] == student[:, None, kept + 3 :]
    there = same.any(axis=2)
    at = np.take_along_axis(q[:, :kept], same.argmax(axis=2), axis=1)
    missing = (~there).sum(axis=1, keepdims=True)
    guess = np.minimum(q[:, kept - 1 : kept], q[:, kept:] / (missing + 1))
    mine = np.where(there, at, guess)
    others = np.maximum(1.0 - mine.sum(axis=1, keepdims=True), 0.0)
    # Of a full match that is the tail itself, without the noise of a difference.
    mine = np.concatenate([mine, np.where(missing > 0, others, q[:, kept:])], axis=1)
    least = np.finfo(np.float64).tiny
    found = (p * (np.log(np.maximum(p, least)) - np.log(np.maximum(mine, 1e-30)))).sum(axis=1)
    return np.asarray(np.clip(found, 0.0, EDGES[-1]))
