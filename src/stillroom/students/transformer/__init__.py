"""A few layers of the teacher itself, spaced as far apart as they go, with its embeddings and its head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from pydantic import Field, model_validator

from stillroom.core import signals
from stillroom.core.progress import Report, silent
from stillroom.students import Network, Span
from stillroom.students._started import Started
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher


@final
class Transformer(Started):
    """Maximally spaced layers of the teacher, first and last included, its embeddings and its head."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "vectors"})
    serves_itself: ClassVar[frozenset[str]] = frozenset()

    learns_rounding: ClassVar[bool] = True

    signals: ClassVar[frozenset[str]] = signals.KINDS

    kind: Literal["transformer"] = "transformer"
    layers: int = Field(3, ge=1)
    """How many of the teacher's layers to keep."""
    heads: int | None = Field(None, ge=1)
    """How many heads to keep in each layer, those that its answers depend on most; none: all."""
    feed_forward: int | None = Field(None, ge=1)
    """How many feed-forward units to keep in each layer, likewise; none: all."""
    width: int | None = Field(None, ge=2)
    """How many numbers a token to carry from layer to layer, by projection on what varies most; none: the teacher's."""
    vocabulary: Literal["teacher", "corpus"] = "teacher"
    """Whose tokens to keep: all of the teacher's, or those in its texts and whatever keeps every known word known."""
    min_count: int = Field(1, ge=1)
    """How often a token has to stand in its texts to be kept; above 1, it reads some of them in smaller pieces."""
    exits: tuple[int, ...] = ()
    """After which of the kept layers a small head may answer, so that a text that is sure there goes no further."""
    freeze_embeddings: bool = True
    """Leave the token table as the teacher has it: quicker, and nothing seldom seen is forgotten."""
    epochs: int = Field(3, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-4, gt=0)

    @model_validator(mode="after")
    def _below_the_last(self) -> Self:
        if list(self.exits) != sorted({*self.exits} & {*range(1, self.layers)}):
            raise ValueError(f"`exits` in rising order, each of 1 or more and below the {self.layers} `layers`")
        return self

    @property
    def gives(self) -> frozenset[str]:
        """A text may leave early, a word of it not; and what is narrowed by what its head reads needs a head."""
        if self.exits:
            return frozenset({"pooled"})
        return self.shapes - {"vectors"} if self.width else self.shapes

    @property
    def leaves_early(self) -> bool:
        """Where it has exits."""
        return bool(self.exits)

    @property
    def is_stated(self) -> bool:
        """Where nothing was cut but layers and tokens."""
        return not (self.heads or self.feed_forward or self.width or self.exits)

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """One layer, two and so on, always fewer than the teacher has; two also for longer, where classes are many."""
        fewer = [layers for layers in (1, 2, 3, 4, 6, 8, 12) if layers < teacher_layers]
        longer = [cls(layers=layers, epochs=8, learning_rate=3e-4) for layers in fewer if layers == 2]
        return (*(cls(layers=layers) for layers in fewer), *longer)

    def spans(self) -> Mapping[str, Span]:
        """How far a search may go from these settings: a width that was asked for may shrink."""
        narrower = Span(max(2, self.width // 2), self.width, log=True, whole=True) if self.width else None
        return {**super().spans(), **({"width": narrower} if narrower else {})}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the network that it starts from, and its tokenizer."""
        from stillroom.students.transformer import network

        network.keep(self.origin(teacher), folder)
        if teacher.identify().answers == "embedding":
            from stillroom.students import _bridge

            origin = self.origin(teacher)
            _bridge.note(teacher, origin.network(), origin.tokenizer_json(), folder, report=report)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The teacher with fewer layers, heads, units, directions and tokens.

        Raises:
            MismatchError: more than the teacher has, or of an architecture that is built otherwise.
        """
        from stillroom.students.transformer import network, vectors

        makes = vectors.begun if task.shape == "vectors" else network.begun
        return makes(self, studied, texts, task=task, seed=seed)

    def depth(self, teacher_layers: int) -> int:
        """The layers that it keeps."""
        return self.layers

    def splits_tokens(self) -> str:
        """A vocabulary without what it has seldom seen."""
        seldom = self.vocabulary == "corpus" and self.min_count > 1
        return f'vocabulary = "corpus" and min_count = {self.min_count}' if seldom else ""

    def bf16(self) -> bool:
        """Where the CPU computes in it."""
        from stillroom.teachers import _pretrained

        return _pretrained.cpu_computes_in_bf16()

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder."""
        from stillroom.students.transformer import network, vectors

        return vectors.reopen(folder, task=task) if task.shape == "vectors" else network.reopen(folder, task=task)
