"""A few layers of a language model, spaced as far apart as they go, with tokens of its and what stands above them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self, final

from pydantic import Field

from stillroom.core.progress import Report, silent
from stillroom.students import Network, Student
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher

_WHERE = "student.start"


@final
class Decoder(Student):
    """Maximally spaced layers of a language model, first and last included, with its tokens' vectors.

    Vectors of tokens serve at both ends where the teacher's do (tied), and stay as they are: they are a third of a
    small model, and what is seldom seen would be forgotten. Where only those of its texts are kept, it reads these as
    before, and any other text in more, smaller tokens.
    """

    shapes: ClassVar[frozenset[str]] = frozenset({"causal"})
    follows_tokenizer: ClassVar[bool] = True
    names_tokens: ClassVar[bool] = True
    serves_itself: ClassVar[frozenset[str]] = frozenset()
    signals: ClassVar[frozenset[str]] = frozenset({"logits", "sequence", "spans", "token_logprobs"})

    kind: Literal["decoder"] = "decoder"
    start: str = ""
    """Where it starts from, a language model, also of other tokens: a model's folder, a hub name, or
    `package:<import name>/<folder>`; none: its teacher."""
    layers: int = Field(15, ge=1)
    """How many layers to keep of what it starts from; of one that has as many, all."""
    vocabulary: Literal["teacher", "corpus"] = "teacher"
    """Which tokens to keep of what it starts from: all, or those in its texts and what any other text can be read
    with."""
    freeze_embeddings: bool = True
    """Leave the vectors of tokens as the teacher has them."""
    epochs: int = Field(1, ge=1)
    batch_size: int = Field(8, ge=1)
    learning_rate: float = Field(3e-4, gt=0)

    @property
    def follows(self) -> bool:
        """Where it has no start of its own."""
        return not self.start

    def sources(self) -> dict[str, str]:
        """The digest of the start that is its own."""
        from stillroom.teachers import _pretrained

        if not self.start:
            return {}
        return {"start": _pretrained.folder_digest(_pretrained.locate(self.start, where=_WHERE))}

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """A quarter of the layers, half of them, three quarters."""
        return tuple(
            cls(layers=layers) for layers in sorted({max(1, teacher_layers * part // 4) for part in (1, 2, 3)})
        )

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Keep the network that it starts from, its tokenizer, and what its teacher calls its tokens."""
        from stillroom.students.decoder import network
        from stillroom.teachers import _pretrained

        if self.start:
            its = teacher.tokenizer_json() if teacher.identify().tokenizer else None
            network.copy(_pretrained.locate(self.start, where=_WHERE), folder, tokenizer=its)
        else:
            network.keep(teacher.network(), teacher.tokenizer_json(), folder)

    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """What it starts from, with fewer layers and tokens.

        Raises:
            MismatchError: more than the teacher has.
        """
        from stillroom.students.decoder import network

        return network.begun(self, studied, texts, task=task, seed=seed)

    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student in a folder."""
        from stillroom.students.decoder import network

        return network.reopen(folder, task=task)

    def bf16(self) -> bool:
        """Where the CPU computes in it."""
        from stillroom.teachers import _pretrained

        return _pretrained.cpu_computes_in_bf16()
