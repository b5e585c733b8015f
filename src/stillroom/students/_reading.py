"""What students that read token vectors in their order share: all but the body that makes one vector of a text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Network, Student
from stillroom.tasks import Shape, Task

if TYPE_CHECKING:
    from stillroom.students._readers import Build
    from stillroom.teachers import LoadedTeacher


class Reading(Student, ABC):
    """A student of the teacher's token vectors: they start as those of `static` do, and are trained under a body."""

    shapes: ClassVar[frozenset[Shape]] = frozenset({"pooled"})
    follows_tokenizer: ClassVar[bool] = True

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
    def body(self) -> Build:
        """What makes its body, given the dimensions of the vectors."""

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the teacher's tokenizer and its vector for each token of its vocabulary."""
        from stillroom.students import _vocabulary

        _vocabulary.collect(teacher, folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, under a fresh body and a fresh head."""
        from stillroom.students import _readers, _vocabulary

        vectors, weights, _ = _vocabulary.start(studied, texts, dimensions=self.dimensions)
        return _readers.fresh(
            self.body(),
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

        return _readers.reopen(self.body(), folder, file=self.file)
