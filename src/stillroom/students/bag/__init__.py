"""Hashed word and character n-grams under a linear layer: the floor, and the first tier."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, Self, final

from pydantic import Field

from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.runners.bag import Bag as BagRunner
from stillroom.students import Network, Span, Student
from stillroom.tasks import Task


@final
class Bag(Student):
    """Hashed word and character n-grams under a linear layer. It needs nothing of the teacher but its answers."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled"})
    follows_tokenizer: ClassVar[bool] = False

    kind: Literal["bag"] = "bag"
    features: NGrams = NGrams()
    """Which words and characters count: `bits` (the table has 2^bits rows), `word_pairs`, `shortest`, `longest`."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of features left out of a text in training."""
    epochs: int = Field(6, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-2, gt=0)

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Tables of 2^14 to 2^18 rows."""
        return tuple(cls(features=NGrams(bits=bits)) for bits in (14, 16, 18))

    def spans(self) -> Mapping[str, Span]:
        """The learning rate and the dropout."""
        return {**super().spans(), "dropout": Span(0.0, 0.5)}

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """All weights zero: a linear model needs no better start."""
        from stillroom.students.bag import network

        return network.fresh(self, classes=len(task.outputs))

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder."""
        from stillroom.students.bag import network

        return network.reopen(self, folder)

    def runner(self, folder: Path, *, texts: Sequence[str]) -> BagRunner:
        """Numpy."""
        return BagRunner(encoder=self.features)
