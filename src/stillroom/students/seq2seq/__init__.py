"""A small transformer that reads a text and writes another one: deep where it reads, shallow where it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, final

from pydantic import Field, model_validator

from stillroom.core.progress import Report, silent
from stillroom.runtime.encoders.tokens import FILE as TOKENIZER
from stillroom.students import Network, Span, Student
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher


@final
class Seq2seq(Student):
    """A transformer that reads a text and writes another one, in the layout of Marian.

    It starts from nothing: its tokens are made of the texts that it learns from and of what its teacher wrote, or are
    its teacher's, and both sides share them. The decoder is shallow, since it runs once a token (Kasai et al.
    2006.10369).
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"decoder"})
    follows_tokenizer: ClassVar[bool] = False
    serves_itself: ClassVar[frozenset[str]] = frozenset()
    signals: ClassVar[frozenset[str]] = frozenset({"sequence", "token_logprobs"})

    kind: Literal["seq2seq"] = "seq2seq"
    width: int = Field(256, ge=8)
    """Numbers a token, from layer to layer."""
    encoder_layers: int = Field(4, ge=1)
    """Layers that read."""
    decoder_layers: int = Field(2, ge=1)
    """Layers that write."""
    heads: int = Field(4, ge=1)
    """Of attention in each layer."""
    feed_forward: int = Field(1024, ge=1)
    """Feed-forward units in each layer."""
    vocabulary: Annotated[int, Field(ge=300)] | Literal["teacher"] = 8000
    """How many tokens there are, at most: pieces of words, and each byte, so that any text can be read and written. Or
    `teacher`, for its teacher's: then it can learn how probable that finds each token, and which others."""
    longest: int = Field(256, ge=8)
    """How many tokens it reads of a text, and writes, at most."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of units left out in training."""
    epochs: int = Field(20, ge=1)
    batch_size: int = Field(64, ge=1)
    learning_rate: float = Field(7e-4, gt=0)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"a `width` that twice the {self.heads} `heads` divide")
        return self

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """A narrow one and a wider one."""
        return cls(width=128, encoder_layers=3, feed_forward=512), cls()

    @property
    def follows(self) -> bool:
        """Where its tokens are its teacher's."""
        return self.vocabulary == "teacher"

    @property
    def tells(self) -> frozenset[str]:
        """Of the tokens that it writes, where they are its teacher's."""
        return self.signals if self.follows else self.signals - {"token_logprobs"}

    def spans(self) -> Mapping[str, Span]:
        """The learning rate, and what is left out in training."""
        return {**super().spans(), "dropout": Span(0.0, 0.3)}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep its teacher's tokenizer, where that is to be its own."""
        if self.follows:
            (folder / TOKENIZER).write_text(teacher.tokenizer_json(), encoding="utf-8")

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """A network by chance, and tokens made of these texts, or its teacher's."""
        from stillroom.students.seq2seq import network

        if self.vocabulary == "teacher":
            tokenizer = network.taken((studied / TOKENIZER).read_text(encoding="utf-8"))
        else:
            tokenizer = network.made(texts, size=self.vocabulary)
        return network.fresh(self, tokenizer, seed=seed)

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder."""
        from stillroom.students.seq2seq import network

        return network.reopen(folder)

    def bf16(self) -> bool:
        """Where the CPU computes in it."""
        from stillroom.teachers import _pretrained

        return _pretrained.cpu_computes_in_bf16()
