"""What students that read token vectors in their order share: all but the body that is laid over them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Network
from stillroom.students._started import Started
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.students._readers import Build
    from stillroom.teachers import LoadedTeacher


class Reading(Started, ABC):
    """A student of the teacher's token vectors: they start as those of `static` do, and are trained under a body."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens"})

    signals: ClassVar[frozenset[str]] = frozenset({"logits", "embedding"})

    studies: ClassVar[str] = "token vectors"

    file: ClassVar[str]
    """Where its weights are kept."""

    dimensions: int = Field(ge=1)
    """Of a token's vector."""
    dropout: float = Field(ge=0, lt=1)
    """Share of a text's vector left out in training."""
    token_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of tokens whose vector is left out in training; they keep their places."""

    @abstractmethod
    def body(self, shape: str) -> Build:
        """What makes its body for such answers, given the dimensions of the vectors."""

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the tokenizer that it starts with, and a vector for each token of its vocabulary."""
        from stillroom.students import _vocabulary

        _vocabulary.collect(self.origin(teacher), folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, under a fresh body and a fresh head."""
        from stillroom.students import _readers, _vocabulary

        vectors, weights, _ = _vocabulary.start(studied, texts, dimensions=self.dimensions)
        return _readers.fresh(
            self.body(task.shape),
            vectors,
            weights,
            dropout=self.dropout,
            token_dropout=self.token_dropout,
            tokenizer=studied / TOKENIZER,
            file=self.file,
            task=task,
            seed=seed,
        )

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder, with one row a token."""
        from stillroom.students import _readers

        return _readers.reopen(self.body(task.shape), folder, file=self.file, shape=task.shape)
