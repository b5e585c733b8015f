"""A vector a token, averaged, and a small head: no attention, no order, a hundred times quicker than its teacher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

import numpy as np
from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.runtime.runners import Runner
from stillroom.runtime.runners.static import Static as StaticRunner
from stillroom.runtime.runners.static_vectors import FILE as VECTORS
from stillroom.runtime.runners.static_vectors import StaticVectors
from stillroom.students import Network, Span, _trimming
from stillroom.students._started import Started
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher

_SAME = 1e-3  # of a logit: what sums in another order may differ by


@final
class Static(Started):
    """A vector a token, averaged, and a small head; where texts are embedded, a linear map in its place.

    The vectors start from the teacher's own vocabulary pass (each token alone through the teacher), reduced by PCA and
    weighted by smooth inverse frequency (Arora et al. 2017); vectors and weights are then trained.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "vectors"})
    serves_itself: ClassVar[frozenset[str]] = frozenset({"pooled", "vectors"})

    signals: ClassVar[frozenset[str]] = frozenset({"logits", "embedding"})

    studies: ClassVar[str] = "token vectors"

    kind: Literal["static"] = "static"
    dimensions: int = Field(256, ge=1)
    """Of a token's vector, while it is trained."""
    vocabulary: Literal["teacher", "corpus"] = "teacher"
    """Whose tokens to keep: all of the teacher's, or those in its texts and whatever keeps every known word known."""
    min_count: int = Field(1, ge=1)
    """How often a token has to stand in its texts to be kept; above 1, it reads some of them in smaller pieces."""
    hidden: int = Field(128, ge=1)
    """Units between the mean vector and the outputs; where texts are embedded, there are none."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Share of hidden units left out in training."""
    token_dropout: float = Field(0.1, ge=0, lt=1)
    """Share of tokens left out of a text in training."""
    features: NGrams | None = None
    """Also score words, pairs of words and character n-grams, as `bag` does, with the same settings; none: tokens
    alone."""
    feature_dropout: float = Field(0.2, ge=0, lt=1)
    """Share of those left out of a text in training."""
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(3e-3, gt=0)

    @property
    def gives(self) -> frozenset[str]:
        """Scores of words and characters make no vector."""
        return self.shapes if self.features is None else frozenset({"pooled"})

    def mixes_lengths(self, task: Task) -> bool:
        """Where texts are embedded: only tokens that are there are looked up."""
        return task.shape == "vectors"

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Narrow vectors, wider ones, and with scores of words and characters beside them."""
        with_features = (cls(features=NGrams(bits=bits), hidden=hidden) for bits, hidden in ((16, 128), (17, 512)))
        return cls(dimensions=64, hidden=64), cls(), *with_features

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, the width and what is left out in training."""
        widths = {"dimensions": Span(max(1, self.dimensions // 2), self.dimensions * 2, log=True, whole=True)}
        return {**super().spans(), **widths, "dropout": Span(0.0, 0.5), "token_dropout": Span(0.0, 0.3)}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the tokenizer that it starts with, and a vector for each token of its vocabulary."""
        from stillroom.students import _vocabulary

        _vocabulary.collect(self.origin(teacher), folder, report=report, teacher=teacher)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher's token vectors, reduced and weighted, under a fresh head, or under a map into its space."""
        from stillroom.students import _bridge, _vocabulary
        from stillroom.students.static import network
        from stillroom.students.static import vectors as embedding

        embeds = task.shape == "vectors"
        vectors, weights, counts = _vocabulary.start(studied, texts, dimensions=self.dimensions, centred=not embeds)
        tokenizer = (studied / TOKENIZER).read_text(encoding="utf-8")
        bridge = _bridge.of_tokens(studied, vectors) if embeds else None
        if self.vocabulary == "corpus":
            trimmed = _trimming.trim(tokenizer, counts, min_count=self.min_count)
            tokenizer, vectors, weights = trimmed.tokenizer, vectors[trimmed.kept], weights[trimmed.kept]
        if bridge is not None:
            dropout = self.token_dropout
            return embedding.begun(vectors, weights, bridge, tokenizer=tokenizer, token_dropout=dropout)
        return network.fresh(self, vectors, weights, tokenizer=tokenizer, task=task, seed=seed)

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The folded student: each row already holds its token's weight and the first layer."""
        from stillroom.students.static import network
        from stillroom.students.static import vectors as embedding

        return embedding.reopen(folder) if task.shape == "vectors" else network.reopen(self, folder)

    def runner(self, folder: Path, *, texts: Sequence[str]) -> Runner:
        """Numpy; by chunks where on these texts that gives what reading them whole gives."""
        from stillroom.students import _vocabulary

        def made(by_chunks: bool) -> Runner:
            if (folder / VECTORS).is_file():
                return StaticVectors(encoder=_vocabulary.ENCODER, by_chunks=by_chunks)
            return StaticRunner(encoder=_vocabulary.ENCODER, features=self.features, by_chunks=by_chunks)

        quick, plain = made(True), made(False)
        found, expected = (one.open(folder, threads=1)(texts) for one in (quick, plain))
        return quick if np.allclose(found, expected, atol=_SAME) else plain
