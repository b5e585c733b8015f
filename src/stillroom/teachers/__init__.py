"""Family: who is asked.

A recipe holds a teacher's settings; `prepare` makes it ready once, `open` loads what can be asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, final

from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.plugins import Member
from stillroom.core.progress import Report, silent
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.corpus import Learnable
    from stillroom.teachers._fitting import Fit

Precision = Literal["fp32", "bf16"]


@final
@dataclass(frozen=True)
class Identity:
    """Who a teacher is, as far as digests can say."""

    name: str
    weights: str
    """Digest of its weights, or of the file that its words were recorded in."""
    tokenizer: str | None
    """Digest of its tokenizer; None where it has none that we can see."""
    labels: tuple[str, ...]
    """Its outputs, in its order."""
    licence: str
    price_per_million_texts: float | None = 0.0
    """None: it bills for each request, and says with each answer what that cost (`signals.PRICE`)."""
    answers: str = "logits"
    """What it says of every text: logits, no more than a label, an embedding, how probable tokens are, or a text."""

    def as_dict(self) -> dict[str, Any]:
        """The identity as plain data."""
        return asdict(self)


class LoadedTeacher(Protocol):
    """A teacher that can be asked."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions worth asking it in, the one to be trusted first."""

    @property
    def layers(self) -> int:
        """How many layers it has whose insides it can tell of; 0: none."""

    def identify(self) -> Identity:
        """Who it is."""

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What it says of each text, a signal a name, rows in the order of `texts`; and how many tokens it read.

        Its answer is always among them: `logits`, or `label` where `identify` says that it gives no more. Signals over
        tokens stand end to end, as `stillroom.core.signals` says, with `tokens` beside them. A teacher that may have no
        answer for a text says so in `unanswered`, and one that bills for each says how much in `price`.

        Raises:
            CorpusError: texts that it has no answer for (a recorded teacher).
            MismatchError: a signal that it can't give.
        """

    def network(self) -> Any:
        """Its network, as `transformers` has it, for students that start from it.

        Raises:
            MismatchError: it has none that can be seen.
        """

    def tokenizer_json(self) -> str:
        """Its tokenizer, as the `tokenizers` library writes it.

        Raises:
            MismatchError: it has none that can be seen.
        """


@final
@dataclass(frozen=True)
class Desk:
    """What a teacher that is asked somewhere else works with: its account of what it paid for, and whom it tells."""

    books: Path
    report: Report = silent


class Teacher(Member, ABC):
    """A teacher's settings, and what follows from them."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled"})
    """The shapes in which it can answer."""

    asked_with: ClassVar[frozenset[str]] = frozenset()
    """Those of its settings that say how it is asked, and not what it is: who changes one has nothing fitted anew."""

    @property
    def answers_in(self) -> frozenset[str]:
        """The shapes in which it can answer with these settings."""
        return self.shapes

    @property
    def computes(self) -> bool:
        """Whether asking it is work done here, which can be timed."""
        return True

    @property
    def packages(self) -> tuple[str, ...]:
        """What has to be installed to ask it, beyond what its network takes."""
        return ()

    @property
    def signals(self) -> frozenset[str]:
        """The kinds of signals that it can give."""
        return signals.LOGITS

    @property
    def shows_network(self) -> bool:
        """Whether a student can start from its network and tokenizer."""
        return True

    @property
    def is_its_network(self) -> bool:
        """Whether the network that it shows is all that answers, so that its size and work are the teacher's."""
        return self.shows_network

    @property
    def answers_any_text(self) -> bool:
        """Whether it can be asked about texts that are in no corpus, such as phrases cut out of one."""
        return True

    @property
    def scores_answers(self) -> bool:
        """Whether it says how good each of its answers is, as one does that would write several."""
        return False

    @property
    def weighs_answers(self) -> bool:
        """Whether that is the mean log-probability of a token, so that shares can be made of it."""
        return False

    @property
    def needs_gold(self) -> bool:
        """Whether it is fitted here, to rows of the corpus that have labels."""
        return False

    @property
    def fitted_here(self) -> bool:
        """Whether all of it is fitted here, to train and chosen by dev, so that it is known which rows it saw."""
        return self.needs_gold

    def unfit(self, task: Task) -> list[Problem]:
        """What of these settings does not go with a task, before anything is opened: nothing."""
        return []

    @abstractmethod
    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digests of what it is made from: known before it is made.

        Raises:
            InputError: something it is made from is not there.
        """

    @abstractmethod
    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Write into the draft's folder what is needed to ask it. May go on where a killed run stopped.

        Raises:
            MismatchError: its labels are not the task's, in the task's order.
        """

    @abstractmethod
    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The teacher that `prepare` left in a folder; without a desk, one that needs it can't be asked."""

    def resolved(self) -> dict[str, Any]:
        """Its settings as plain data."""
        return dict(self.model_dump(mode="json", serialize_as_any=True))

    @property
    def making(self) -> dict[str, Any]:
        """Those that say what it is."""
        return {name: one for name, one in self.resolved().items() if name not in self.asked_with}

    @property
    def asking(self) -> dict[str, Any]:
        """Those that say how it is asked."""
        return {name: one for name, one in self.resolved().items() if name in self.asked_with}


def unseen(whose: str, what: str) -> MismatchError:
    """The error for a student that wants to start from what a teacher does not show."""
    expected = f"a teacher whose {what} can be seen"
    todo = "Choose a student that needs none (`bag`), or a teacher that is here (`huggingface`, `finetuned`)."
    return MismatchError(Problem("student", f"{whose}, which shows no {what}", expected, todo))


class Closed:
    """A teacher of whose inside nothing can be seen."""

    whose: ClassVar[str]
    """What it is, for whoever asks to see it."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What it computes in is not ours to choose."""
        return ("fp32",)

    @property
    def layers(self) -> int:
        """None that it tells of."""
        return 0

    def network(self) -> Any:
        """There is none to see.

        Raises:
            MismatchError: always.
        """
        raise unseen(self.whose, "network")

    def tokenizer_json(self) -> str:
        """There is none to see.

        Raises:
            MismatchError: always.
        """
        raise unseen(self.whose, "tokenizer")


def refuse_other_labels(found: Sequence[str], *, task: Task, where: str) -> None:
    """Compare labels by name and order: a teacher whose outputs mean something else is never asked.

    Raises:
        MismatchError: other labels, or another order.
    """
    if tuple(found) == task.outputs:
        return
    order = "the same labels in another order: " if set(found) == set(task.outputs) else ""
    raise MismatchError(
        Problem(
            where,
            f"{order}{', '.join(found)}"[:300],
            f"the task's labels in the task's order: {', '.join(task.outputs)}"[:300],
            "Write the recipe's `task.labels` in the teacher's order, or choose another teacher.",
        )
    )
