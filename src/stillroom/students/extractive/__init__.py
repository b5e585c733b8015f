"""The sentences of a text that its teacher would pick: nothing is written that does not stand there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.core.sentences import Unit
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.runners import Runner
from stillroom.students import Network, Span
from stillroom.students._started import Started
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher


@final
class Extractive(Started):
    """The sentences of a text that say most of it, in its order: a summary that can't say what is not there.

    A sentence is the sum of its tokens' vectors, which start as those of `static` do; what it says, where it stands,
    its length and how near it is to the middle of its text are its score. It starts as centroid salience.

    Whatever its teacher wrote, it is fitted to the sentences that together are nearest to that, by the F1 of their
    tokens: those that an extractive teacher picked, or those that come nearest to a free summary.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"decoder"})
    serves_itself: ClassVar[frozenset[str]] = frozenset({"decoder"})
    signals: ClassVar[frozenset[str]] = frozenset({"sequence"})
    studies: ClassVar[str] = "token vectors"
    exports: ClassVar[bool] = False

    kind: Literal["extractive"] = "extractive"
    sentences: int = Field(1, ge=1)
    """How many it picks, at most."""
    unit: Unit = "sentences"
    """What it picks: sentences, or lines, such as the turns of a conversation."""
    dimensions: int = Field(128, ge=1)
    """Of a token's vector."""
    token_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of tokens left out of a sentence in training."""
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(3e-3, gt=0)

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Narrow vectors, and wider ones."""
        return cls(dimensions=64), cls()

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, the width and what is left out in training."""
        widths = {"dimensions": Span(max(1, self.dimensions // 2), self.dimensions * 2, log=True, whole=True)}
        return {**super().spans(), **widths, "token_dropout": Span(0.0, 0.3)}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the tokenizer that it starts with, and a vector for each token of its vocabulary."""
        from stillroom.students import _vocabulary

        _vocabulary.collect(self.origin(teacher), folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, and the sentence nearest to the middle."""
        from stillroom.students import _vocabulary
        from stillroom.students.extractive import network

        vectors, weights, _ = _vocabulary.start(studied, texts, dimensions=self.dimensions)
        return network.begun(self, vectors, weights, tokenizer=(studied / TOKENIZER).read_text(encoding="utf-8"))

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder, with one row a token."""
        from stillroom.students.extractive import network

        return network.reopen(self, folder)

    def runner(self, folder: Path, *, texts: Sequence[str]) -> Runner:
        """Numpy."""
        from stillroom.runtime.runners.extractive import Extractive as Serving
        from stillroom.students.extractive import network

        return Serving(encoder=network.encoder_of(self, folder), sentences=self.sentences)
