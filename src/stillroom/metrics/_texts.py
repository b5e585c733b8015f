"""Answers that are texts, written for each text, beside texts of people and the teacher's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Answered, Masked, Metric

if TYPE_CHECKING:
    import pyarrow as pa

#: The texts of each row that are right: an array of tuples of texts.
References = NDArray[np.object_]
Texts = NDArray[np.object_]
_WORD = re.compile(r"\w+", re.UNICODE)
#: A word with a capital that does not stand where a sentence begins.
NAME = re.compile(r"(?<![.!?:\"“(\s])\s+(?:[\"“(])?([A-ZÀ-ÖØ-Þ][\w'’-]+)")
#: How much of a text its references leave: below such a share of its characters.
_LEFT = ((0.1, "under a tenth"), (0.25, "a tenth to a quarter"), (0.5, "a quarter to a half"), (1.0, "half to all"))


@final
@dataclass(frozen=True)
class Written(Answered):
    """What was written for each text, beside references, the teacher's texts, and the sources."""

    gold: References
    said: Texts
    teacher: Texts
    sources: Texts
    labels: tuple[str, ...] = field(default=(), init=False)
    named: bool = field(default=False, init=False)
    graded: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.gold)

    def take(self, rows: NDArray[np.int64]) -> Written:
        """The same of these rows."""
        return replace(self, gold=self.gold[rows], said=self.said[rows], teacher=self.teacher[rows],
                       sources=self.sources[rows])  # fmt: skip

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where it is one of the references to the letter."""
        return np.array([one in some for one, some in zip(self.said, self.gold, strict=True)], dtype=np.bool_)

    @property
    def teacher_right(self) -> NDArray[np.bool_]:
        """The same of the teacher."""
        return np.array([one in some for one, some in zip(self.teacher, self.gold, strict=True)], dtype=np.bool_)

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Where it is the teacher's text to the letter."""
        return np.array([one == its for one, its in zip(self.said, self.teacher, strict=True)], dtype=np.bool_)

    @property
    def confidence(self) -> None:
        """It does not say how sure it is."""
        return None

    def shown(self, row: int, *, masked: Masked) -> str:
        """The text."""
        return masked(self.said[row]) or "nothing"

    def kinds(self) -> Mapping[str, Sequence[str]]:
        """By the names in the source, which are to be carried over, and by how much is to be left of it."""
        return {
            "names": [("none", "1", "2 or more")[min(2, len(set(NAME.findall(one))))] for one in self.sources],
            "compression": [_left(source, some) for source, some in zip(self.sources, self.gold, strict=True)],
        }

    def told(self) -> dict[str, pa.Array]:
        """The text."""
        import pyarrow as pa

        return {"text": pa.array(self.said.tolist(), type=pa.string())}

    def told_gold(self) -> pa.Array:
        """The references."""
        import pyarrow as pa

        return pa.array([list(some) for some in self.gold], type=pa.list_(pa.string()))

    @cached_property
    def references(self) -> list[list[str]]:
        """The first references of all rows, the second ones and so on, as sacrebleu wants them; missing ones empty."""
        most = max((len(some) for some in self.gold), default=1)
        return [[some[place] if place < len(some) else "" for some in self.gold] for place in range(most)]


def signed(counted: Any, answers: Written) -> str:
    """What a figure of one of sacrebleu's metrics depends on, its version and the number of references among it."""
    counts = {len(some) for some in answers.gold}
    counted.num_refs = counts.pop() if len(counts) == 1 else -1
    return str(counted.get_signature())


class TextMetric(Metric):
    """A metric of texts."""

    answers: ClassVar[str] = "texts"
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False


def _left(source: str, references: Sequence[str]) -> str:
    """How long the references are beside their source, on the mean; "" where there are none."""
    if not references or not source:
        return ""
    share = sum(map(len, references)) / len(references) / len(source)
    return next((name for limit, name in _LEFT if share < limit), "longer than the text")


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(text.lower())
