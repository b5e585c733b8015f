"""Family: the shape of what is put out for a text: how outputs lie in memory, in files, and in the batches of a fit.

Whoever handles outputs, and does not care what they mean, asks the shape: so a stage is the same for every task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.core.plugins import Member
from stillroom.core.probabilities import softmax

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.edits import Edit
    from stillroom.core.words import Traced, Words
    from stillroom.students import Ids, Network

#: What was put out for several texts; `len` of it is how many. Its shape knows more.
Outputs = Any


class Sift(Protocol):
    """Says of each answer to some texts why it is not to be learned from, "" where it is."""

    def __call__(self, said: Outputs, *, scores: NDArray[np.float64] | None = None) -> NDArray[np.object_]:
        """`scores`: how good the teacher finds each of these, where it says so."""


class Reader(Protocol):
    """Whoever reads texts as ids; for words, also where they are."""

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text."""


class Sheet(Protocol):
    """Takes a network's answers batch by batch, in whatever order the batches come."""

    def put(self, rows: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Take the answers to these texts, padded as the network gives them."""

    @property
    def outputs(self) -> Outputs:
        """All of them, in the order of the texts."""


@final
@dataclass(frozen=True)
class Lessons:
    """What is learned from of a shard of a transfer set: answers, mostly one to each of its texts."""

    answers: Outputs
    owners: NDArray[np.int64]
    """The row of the text that each is an answer to."""
    weights: NDArray[np.float32] | None = None
    """How much each counts; those of a text come to one. None: there is one of each."""
    lines: Sequence[NDArray[np.float32]] | None = None
    """What the teacher said of each token of each (`core.scored`), where it did and that is wanted."""


@final
@dataclass(frozen=True)
class Aim:
    """What of a network's answer to one text is explained: some of its numbers, each times its weight, summed."""

    at: tuple[NDArray[np.int64], ...]
    """Where they stand, an array `[numbers]` for each axis."""
    weights: NDArray[np.float32]
    """`[numbers]`; none: it says nothing of the text that could be explained."""


class Shape(Member, ABC):
    """A shape of outputs."""

    axes: ClassVar[tuple[str, ...]]
    """The names of the axes of a teacher's logits as they are kept, the last one that of the outputs."""

    answer: ClassVar[str] = "logits"
    """The signal that its numbers go by."""
    answering: ClassVar[frozenset[str]] = signals.ANSWERS | {signals.WORDS, signals.COUNTS}
    """The signals that an answer can be made of; what a teacher says beside them is no answer."""

    extends: ClassVar[bool] = False
    """Whether what is written goes on with the text that is read, so that it can begin anywhere in it."""
    on_request: ClassVar[frozenset[str]] = frozenset()
    """The signals that stand beside an answer only where they are `needed`."""
    beside: ClassVar[tuple[str, ...]] = ()
    """The columns of a shard that an answer stands in beside its own."""
    writes: ClassVar[bool] = False
    """Whether answers are texts."""
    may_write: ClassVar[bool] = False
    """Whether there may be texts in what is said."""

    head: ClassVar[str]
    """The class of `transformers` whose head answers so."""
    graph_runner: ClassVar[str]
    unexplained: ClassVar[str] = ""
    """Why there is no `aim`, whatever is said; "": there is."""
    judged_at_once: ClassVar[int] = 4096
    """Padded ids of a dev batch: as many as there is memory for what is told of each."""
    has_tail: ClassVar[bool] = False
    """Whether one of its outputs stands for many together: divided by a temperature, they would be no more than one."""
    """The kind of runner that serves a student of this shape once it is exported as a graph."""

    @property
    def asked_at_once(self) -> int:
        """Texts a shard of a transfer set, where nobody says: few of those who write, for that is slow."""
        return 128 if self.writes else 2048

    @property
    def most_written(self) -> int | None:
        """How many tokens are written behind a text, at most; None: what is written does not go on with it."""
        return None

    @abstractmethod
    def join(self, parts: Sequence[Outputs], *, outputs: int) -> Outputs:
        """What was put out for several lots of texts, as one; of none, what is put out for no text."""

    @abstractmethod
    def take(self, said: Outputs, rows: NDArray[np.int64]) -> Outputs:
        """The same for some of the texts, in this order."""

    @abstractmethod
    def values(self, said: Outputs) -> NDArray[Any]:
        """The numbers alone, `[answers, outputs]`; or `[answers]`, where something is named without numbers."""

    @abstractmethod
    def with_values(self, said: Outputs, values: NDArray[Any]) -> Outputs:
        """The same outputs with other numbers."""

    @abstractmethod
    def unfit(self, said: Outputs, *, texts: int, outputs: int) -> tuple[str, str] | None:
        """Why these can't be what was put out for so many texts: what was found, what was expected. None: they can."""

    @abstractmethod
    def finite(self, said: Outputs) -> NDArray[np.bool_]:
        """For which texts all numbers are finite."""

    @abstractmethod
    def gap(self, one: Outputs, other: Outputs) -> float:
        """The largest difference of a number between two outputs for the same texts; NaN where any is no number."""

    def drift(self, one: Outputs, other: Outputs) -> float:
        """By how much a teacher's answers differ between two ways of asking it: the largest gap of a probability."""
        both = [softmax(self.values(said)) for said in (one, other)]
        return float(np.abs(both[0] - both[1]).max(initial=0.0))

    @abstractmethod
    def alike(self, one: Outputs, other: Outputs) -> NDArray[np.float64]:
        """How much of each text two say the same of, `[texts]`: 1 where it is all of it."""

    def laid(self, said: Outputs, own: Outputs) -> Outputs:
        """What one says of texts, laid on what another reads of them, to be held beside that (`alike`): as it is."""
        return said

    def named(self, values: NDArray[Any]) -> NDArray[Any]:
        """What answers name, from their values, `[answers, outputs]`: the first of the highest."""
        return np.asarray(values.argmax(axis=1), dtype=np.int64)

    def of_texts(self, said: Outputs) -> NDArray[np.int64]:
        """The label of each text, by its position; −1 where it is not one label that a text has."""
        return np.full(len(said), -1, dtype=np.int64)

    def aim(self, said: Outputs, read: Traced) -> Aim:
        """What of a network's answer stands for what was `said` of the one text that it `read` so.

        Raises:
            TypeError: there is no such thing (`unexplained`).
        """
        raise TypeError(self.unexplained)

    def swayed(self, said: Outputs, changed: Outputs, edits: Sequence[Sequence[Edit]]) -> NDArray[np.float64] | None:
        """By how much less somebody says of each text what it `said`, `[texts]`, where the text is changed by edits.

        `changed` is what it says of the texts as they are then. None: its answers do not say how sure it is of them.
        """
        return None

    def words(self, said: Outputs) -> Words | None:
        """The words that answers are about; None: each is about a text as a whole."""
        return None

    def owners(self, said: Outputs) -> NDArray[np.int64]:
        """The number of the text that each answer is about."""
        return np.arange(len(said), dtype=np.int64)

    @abstractmethod
    def lines(self, said: Outputs) -> list[dict[str, Any]]:
        """A text an item, as JSON can hold it, to six decimals."""

    @abstractmethod
    def of_lines(self, lines: Sequence[Mapping[str, Any]]) -> Outputs:
        """The outputs that `lines` wrote.

        Raises:
            ValueError, KeyError, TypeError: it did not write these.
        """

    def needed(self, needs: frozenset[str]) -> frozenset[str]:
        """The signals that have to be recorded for objectives that need these: the same."""
        return needs

    @abstractmethod
    def heard(self, said: Mapping[str, NDArray[Any]]) -> Outputs:
        """A teacher's answers, out of all that it says."""

    def chosen(
        self, said: Mapping[str, NDArray[Any]], sift: Sift
    ) -> tuple[Mapping[str, NDArray[Any]], NDArray[np.object_]]:
        """What is learned from of what a teacher said, and, text by text, why it is not; "": it is."""
        return said, sift(self.heard(said))

    @abstractmethod
    def said(self, outputs: Outputs) -> dict[str, NDArray[Any]]:
        """Outputs as a teacher says them."""

    def kept(self, said: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """A teacher's answers as a shard keeps them: numbers in half precision."""
        if self.answer not in said:
            return dict(said)
        with np.errstate(over="ignore"):
            return {**said, self.answer: said[self.answer].astype(np.float16)}

    @abstractmethod
    def columns(self, said: Mapping[str, NDArray[Any]]) -> dict[str, pa.Array]:
        """A teacher's answers as columns of a shard, numbers in half precision."""

    def columns_of(self, answer: str) -> tuple[str, ...]:
        """The columns of a shard that answers which go by this signal stand in."""
        return answer, *self.beside

    @abstractmethod
    def answers(self, shard: pa.Table) -> Outputs:
        """A teacher's answers, from those columns."""

    def lessons(self, shard: pa.Table, wanted: frozenset[str]) -> Lessons:
        """What is learned from, from those columns; of what is told on request, what is wanted. The answers."""
        return Lessons(self.answers(shard), np.arange(shard.num_rows))

    @abstractmethod
    def keep(self, said: Mapping[str, NDArray[Any]], texts: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        """A teacher's answers to some of the texts alone."""

    @abstractmethod
    def read(self, network: Reader, texts: Sequence[str]) -> tuple[list[Ids], Words | None]:
        """How a network reads texts, and where in them it answers; None: once for a text as a whole."""

    def written(self, said: Outputs) -> Sequence[str]:
        """The texts in what was said, which whoever learns from them begins with too."""
        return ()

    def taught(
        self,
        network: Reader,
        texts: Sequence[str],
        said: Outputs,
        *,
        lines: Sequence[NDArray[np.float32]] | None = None,
    ) -> tuple[list[Ids], Words | None, Outputs]:
        """What a network is fitted on where this is what its teacher said of texts.

        What it reads, and where in that it answers, as `read` gives it; and what was said, as it is to be heard there.
        `lines` are what the teacher said of each token of what it wrote, where it did.
        """
        return (*self.read(network, texts), said)

    def split(self, values: NDArray[Any]) -> int:
        """How many answers are about what student and teacher have cut otherwise, of values that were `aligned`."""
        return 0

    def behind(self, said: Outputs, starts: NDArray[np.int64]) -> Outputs:
        """What was said of texts, as what is learned from only behind so many bytes of each, `[texts]`.

        Raises:
            TypeError: what is said of a text is said of the text as a whole.
        """
        raise TypeError(f"answers of {self.kind} are about whole texts, and not about what stands behind a beginning")

    def learned(self, said: Outputs, heard: NDArray[Any]) -> Outputs:
        """What a network says of what it is fitted to, of all that it says: all of it.

        `heard` is what it is fitted to, as `aligned` gives it.
        """
        return said

    def opposed(
        self, said: Mapping[str, Any], told: Mapping[str, Any], *, wanted: frozenset[str] = signals.LOGITS
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a student and its teacher say of a batch, one over the same outputs as the other: as they are.

        What costs something and is not `wanted` may be left out.
        """
        return dict(said), dict(told)

    def sureness(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """How sure somebody is of each answer, from its values, `[answers, outputs]`: its largest probability."""
        return np.asarray(softmax(values).max(axis=1))

    def told(
        self, network: Network, ids: Any, mask: Any, said: Mapping[str, Any] | None = None, *, texts: Sequence[str] = ()
    ) -> Any:
        """What a network answers to padded ids, as `Sheet.put` takes it; `said` is what it just told of them.

        `texts` are what the ids were read from, for shapes that write: an answer may be a part of them.
        """
        told = network.module(ids, mask) if said is None else said[self.answer]
        return told.float().cpu().numpy()

    @abstractmethod
    def sheet(self, texts: int, *, outputs: int, words: Words | None) -> Sheet:
        """A sheet for the answers of a network that reads so many texts so."""

    @abstractmethod
    def aligned(self, said: Outputs, words: Words | None) -> NDArray[Any]:
        """Answers as whoever reads the texts so gives them, `[answers, …]`: NaN (of names, −1) where there are none."""

    @abstractmethod
    def spread(self, values: NDArray[Any], words: Words | None) -> Outputs:
        """The outputs of whoever reads the texts so, from the values of its answers."""
