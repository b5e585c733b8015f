"""A vector a token, averaged, and a small head: no attention, no order, a hundred times quicker than its teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.encoders.tokens import Tokens
from stillroom.runtime.runners.static import Static as StaticRunner
from stillroom.students import Network, Student
from stillroom.tasks import Shape, Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher


@final
class Static(Student):
    """A vector a token, averaged, and a small head.

    The vectors start from the teacher's own vocabulary pass (each token alone through the teacher), reduced by PCA and
    weighted by smooth inverse frequency (Arora et al. 2017); vectors and weights are then trained.
    """

    shapes: ClassVar[frozenset[Shape]] = frozenset({"pooled"})
    follows_tokenizer: ClassVar[bool] = True

    kind: Literal["static"] = "static"
    dimensions: int = Field(256, ge=1)
    hidden: int = Field(128, ge=1)
    """Units between the mean vector and the outputs."""
    dropout: float = Field(0.3, ge=0, lt=1)
    token_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of tokens left out of a text in training."""
    pair_bits: int | None = Field(None, ge=8, le=26)
    """Also score pairs of neighbouring tokens, hashed into 2^bits buckets: worth it where there is much text."""
    pair_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of pairs left out of a text in training."""
    epochs: int = Field(6, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(3e-3, gt=0)

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the teacher's tokenizer and its vector for each token of its vocabulary."""
        from stillroom.students.static import vocabulary

        vocabulary.collect(teacher, folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, under a fresh head."""
        from stillroom.students.static import network, vocabulary

        vectors, weights = vocabulary.start(studied, texts, dimensions=self.dimensions)
        return network.fresh(self, vectors, weights, tokenizer=studied / TOKENIZER, task=task, seed=seed)

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The folded student: each row already holds its token's weight and the first layer."""
        from stillroom.students.static import network

        return network.reopen(folder)

    def runner(self, folder: Path, *, texts: Sequence[str]) -> StaticRunner:
        """Numpy; by chunks where the tokenizer splits at spaces on these texts, whatever stands around them."""
        from stillroom.students.static import network

        encoder = network.reopen(folder).encoder
        return StaticRunner(encoder=encoder, by_chunks=_splits_at_spaces(encoder, folder, texts))


def _splits_at_spaces(encoder: Tokens, folder: Path, texts: Sequence[str]) -> bool:
    from stillroom.runtime import lexicon

    encode = encoder.open(folder)
    parts = [(text, chunks) for text in texts if (chunks := lexicon.split(text))]
    if not parts:
        return False
    whole = encode([text for text, _ in parts])
    pieces = iter(encode([chunk for _, chunks in parts for chunk in chunks]))
    return all(
        ids.tolist() == [token for _ in chunks for token in next(pieces).tolist()]
        for ids, (_, chunks) in zip(whole, parts, strict=True)
    )
