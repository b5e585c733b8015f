"""Family: who learns.

A student knows how to start well, what its network is, and which runner serves it without torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import signals
from stillroom.core.plugins import Member
from stillroom.core.progress import Report, silent
from stillroom.tasks import Task

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from stillroom.core.names import Names
    from stillroom.core.words import Words
    from stillroom.runtime.encoders import Encoder, Trace
    from stillroom.runtime.runners import Runner
    from stillroom.teachers import LoadedTeacher

Ids = NDArray[np.int32]


@final
@dataclass(frozen=True)
class Span:
    """Between which ends a setting may be tried."""

    low: float
    high: float
    log: bool = False
    """Whether its size counts in ratios."""
    whole: bool = False
    """Whether it counts something."""


class Network(Protocol):
    """A student with weights: texts to ids (numpy), ids to outputs (torch)."""

    @property
    def module(self) -> nn.Module:
        """The weights. Called with `(ids, mask)`, both `[batch, length]`, it gives logits, `[batch, …, outputs]`."""

    @property
    def encoder(self) -> Encoder:
        """How it reads texts: the runtime uses the same."""

    @property
    def shape(self) -> str:
        """The shape of what it answers."""

    @property
    def layers(self) -> int:
        """How many layers it has whose insides it tells of; 0: none."""

    @property
    def heads(self) -> tuple[str, ...]:
        """What it always tells and may answer with, `logits` last: each is fitted to what `logits` are fitted to."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, without padding; at least one each."""

    def tell(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], wanted: frozenset[str]
    ) -> Mapping[str, Tensor]:
        """Logits, and the other signals that are wanted of it, for objectives that look inside."""

    def strata(self) -> list[list[nn.Parameter]]:
        """Its trained weights from the head down, for thawing them one after the other."""

    def optimizers(self, learning_rate: float) -> list[Optimizer]:
        """The optimizers of its weights, sparse ones apart."""

    def flops(self, ids: Ids) -> float:
        """Floating-point operations for one text of these ids."""

    def save(self, folder: Path) -> None:
        """Write everything that `Student.reopen` and its runner need."""


@final
@dataclass(frozen=True)
class Inside:
    """A network as somebody sees it who looks for what each token of a text does to its answer."""

    answer: Callable[[Tensor, Tensor], Tensor]
    """What it puts out for `(ids, mask)`, `[batch, …, outputs]`, as `Shape.aim` wants it."""
    inlet: nn.Module
    """Where the vectors of a text's tokens come out, `[batch, length, width]`; what comes out may be replaced."""
    read: Trace
    """How it reads a text."""
    blank: Tensor
    """The vector of a token that says nothing, `[width]`, or one number for all of it."""


@runtime_checkable
class Transparent(Protocol):
    """Who has a network that can be looked into."""

    def inside(self) -> Inside | None:
        """What is to be seen there; None: its answers come of more than the vectors of tokens."""


@runtime_checkable
class Staged(Network, Protocol):
    """A network that can answer before it has been run to its end."""

    def pieces(self) -> Sequence[nn.Module]:
        """A module from each head to the next, in the order of `heads`.

        Called with `(ids, mask)`, the later ones with `(hidden, mask)`, each gives `(logits, hidden)`, the last logits.
        """


class ReadsWords(Network, Protocol):
    """A network that answers for each word of a text: logits `[batch, length, tags]`, to be read at its first token."""

    def read(self, texts: Sequence[str]) -> tuple[list[Ids], Words]:
        """The ids of each text, as `encode` gives them, and its words."""


class ReadsTokens(ReadsWords, Protocol):
    """A network that answers for each token of a text what comes next."""

    @property
    def names(self) -> Names:
        """What its tokens are called by its teacher."""

    @property
    def ends(self) -> list[int]:
        """The tokens that end what it writes."""


@runtime_checkable
class TellsFrom(Network, Protocol):
    """A network that answers for each token, and can leave out the first ones: logits `[batch, length - first, …]`."""

    def tell_from(
        self,
        ids: Int[Tensor, "batch length"],
        mask: Bool[Tensor, "batch length"],
        wanted: frozenset[str],
        *,
        first: int,
    ) -> Mapping[str, Tensor]:
        """As `tell`, from the token at that place on; what stands before is read, and nothing is said of it."""


class Writes(Network, Protocol):
    """A network that writes a text for each text."""

    def encode_target(self, texts: Sequence[str], *, read: Sequence[Ids]) -> list[Ids]:
        """The ids of what is to be written for what is `read`, told from those: they go behind them."""

    def generate(
        self, ids: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"], *, texts: Sequence[str]
    ) -> list[str]:
        """What it writes for each of the texts that were read, whatever stands behind what it reads."""


class GoesOn(Network, Protocol):
    """A network that goes on with a text."""

    def go_on(self, texts: Sequence[str], *, most: int, temperature: float, seed: int) -> list[str]:
        """What it writes behind each text, so many tokens at most; at a temperature of 0 the likeliest ones."""


class Student(Member, ABC):
    """A student's settings."""

    shapes: ClassVar[frozenset[str]]
    follows_tokenizer: ClassVar[bool]
    """Whether it reads with the tokenizer of what it starts from: its teacher, where it has no start of its own."""

    names_tokens: ClassVar[bool] = False
    """Whether it takes what its teacher calls its tokens, also where it has a start of its own."""

    signals: ClassVar[frozenset[str]] = signals.LOGITS
    """The kinds of signals that it gives in training; those over tokens only where it reads the teacher's tokens."""

    studies: ClassVar[str] = ""
    """What `study` writes, by a name that kinds which study the same thing share; "": each its own."""

    serves_itself: ClassVar[frozenset[str]] = frozenset({"pooled"})
    """The shapes in which its own weights can be served without torch; in others it needs an export format."""

    exports: ClassVar[bool] = True
    """Whether it is a graph that formats can hold; else its own weights are all that serves it."""

    learns_rounding: ClassVar[bool] = False
    """Whether an export in eight bits computes with the layers that it is trained with, so that it can learn to."""

    epochs: int = Field(ge=1)
    """Passes over the transfer set, at most."""
    batch_size: int = Field(ge=1)
    """Texts a step."""
    learning_rate: float = Field(gt=0)
    """The peak, after a linear warm-up and before a linear decay."""

    @property
    def gives(self) -> frozenset[str]:
        """The shapes that it gives with these settings."""
        return self.shapes

    def mixes_lengths(self, task: Task) -> bool:
        """Whether padding costs it nothing, so that objectives that compare texts may see long ones beside short."""
        return False

    @property
    def tells(self) -> frozenset[str]:
        """The kinds of signals that it gives in training with these settings.

        Who starts from another network than the teacher reads other tokens than it.
        """
        return frozenset(one for one in self.signals if self.follows or not signals.token_axes(one))

    @property
    def follows(self) -> bool:
        """Whether it reads with its teacher's tokenizer, so that another teacher's words would not fit it."""
        return self.follows_tokenizer

    def sources(self) -> dict[str, str]:
        """The digests of what it starts from instead of its teacher; none: it starts from the teacher, or from nothing.

        Raises:
            InputError: that is not there.
        """
        return {}

    def study(self, teacher: LoadedTeacher, folder: Path, *, report: Report = silent) -> None:
        """Write into `folder` what it needs of the teacher beside answers: done once a teacher, whatever the settings.

        Raises:
            MismatchError: the teacher can't give it.
        """
        return None

    @abstractmethod
    def begin(self, *, task: Task, studied: Path, texts: Iterator[str], seed: int) -> Network:
        """The student before its first step, from what `study` wrote and the texts that it will learn from."""

    @abstractmethod
    def reopen(self, folder: Path, *, task: Task) -> Network:
        """The student that `Network.save` left in a folder."""

    def inside(self, folder: Path, *, task: Task) -> Inside | None:
        """The student in a folder, to be looked into; None: it can't be."""
        network = self.reopen(folder, task=task)
        network.module.eval()
        return network.inside() if isinstance(network, Transparent) else None

    def runner(self, folder: Path, *, texts: Sequence[str]) -> Runner | None:
        """The runner that serves its own weights without torch, or None where only an export can be served.

        `texts` are for checking on this student's own data what the runner takes for granted.
        """
        return None

    def depth(self, teacher_layers: int) -> int:
        """How many layers it has whose insides it tells of, started from a teacher with so many; 0: none."""
        return 0

    def splits_tokens(self) -> str:
        """Which of its settings make it read tokens of the teacher's in pieces, as a recipe has them; "": none."""
        return ""

    @classmethod
    def ladder(cls, *, teacher_layers: int) -> tuple[Self, ...]:
        """Settings worth trying with such a teacher (0 layers: none to be seen), small and quick ones first."""
        return () if any(one.is_required() for one in cls.model_fields.values()) else (cls.model_validate({}),)

    def spans(self) -> Mapping[str, Span]:
        """Which of its settings a search may move, and how far."""
        return {"learning_rate": Span(self.learning_rate / 3, self.learning_rate * 3, log=True)}

    @property
    def leaves_early(self) -> bool:
        """Whether it has a head below its last, at which a text may leave it."""
        return False

    @property
    def is_stated(self) -> bool:
        """Whether other libraries can build its network from what their configurations state."""
        return True

    def bf16(self) -> bool:
        """Whether it is trained under bf16 autocast on this machine."""
        return False

    def resolved(self) -> dict[str, Any]:
        """Its settings as plain data."""
        return dict(self.model_dump(mode="json", serialize_as_any=True))
