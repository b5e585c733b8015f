"""A recurrent layer from both ends of a text over the teacher's token vectors: it reads the whole order of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Network, Span, Student
from stillroom.tasks import Shape, Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher

FILE = "bigru.safetensors"


@final
class BiGru(Student):
    """One recurrent layer from each end of a text over a vector a token; of its states the highest and the mean.

    The vectors start as those of `static` do, and are then trained. It is slower than `cnn`: each token waits for the
    one before it.
    """

    shapes: ClassVar[frozenset[Shape]] = frozenset({"pooled"})
    follows_tokenizer: ClassVar[bool] = True
    serves_itself: ClassVar[bool] = False

    signals: ClassVar[frozenset[str]] = frozenset({"logits", "embedding"})

    studies: ClassVar[str] = "token vectors"

    kind: Literal["bigru"] = "bigru"
    dimensions: int = Field(128, ge=1)
    """Of a token's vector."""
    units: int = Field(128, ge=1)
    """Of the recurrent layer, in each direction."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of a text's vector left out in training."""
    token_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of tokens whose vector is left out in training; they keep their places."""
    epochs: int = Field(4, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(2e-3, gt=0)

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Few units and many; where there are many classes, more epochs."""
        return cls(units=64), cls(), cls(epochs=12)

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, the units and what is left out in training."""
        units = {"units": Span(max(1, self.units // 2), self.units * 2, log=True, whole=True)}
        return {**super().spans(), **units, "dropout": Span(0.1, 0.6), "token_dropout": Span(0.0, 0.3)}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the teacher's tokenizer and its vector for each token of its vocabulary."""
        from stillroom.students import _vocabulary

        _vocabulary.collect(teacher, folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, under a fresh recurrent layer and head."""
        from stillroom.students import _readers, _vocabulary
        from stillroom.students.bigru import network

        vectors, weights, _ = _vocabulary.start(studied, texts, dimensions=self.dimensions)
        return _readers.fresh(
            partial(network.BiGru, self.units),
            vectors,
            weights,
            dropout=self.dropout,
            token_dropout=self.token_dropout,
            tokenizer=studied / TOKENIZER,
            file=FILE,
            task=task,
            seed=seed,
        )

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder, with one row a token."""
        from stillroom.students import _readers
        from stillroom.students.bigru import network

        return _readers.reopen(partial(network.BiGru, self.units), folder, file=FILE)
