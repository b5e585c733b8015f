"""Family: who is asked.

A recipe holds a teacher's settings; `prepare` makes it ready once, `open` loads what can be asked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import MismatchError, Problem
from stillroom.core.plugins import Member
from stillroom.core.progress import Report, silent
from stillroom.core.words import Words
from stillroom.shapes import Shape
from stillroom.shapes.pooled import Pooled
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.corpus import Learnable, Rows
    from stillroom.metrics import Metric
    from stillroom.objectives import Objective
    from stillroom.shapes import Outputs
    from stillroom.students import Ids, Network

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
    """What it says of every text: logits, no more than a label, or an embedding."""

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


@final
@dataclass(frozen=True)
class Examples:
    """Texts in memory, ready for a network: ids, gold (−1 where none) and, where a teacher was asked, its answers.

    Those are numbers, or labels where it said no more. What else it said stays on disk until a batch asks for it.
    Gold and answers are one a text; where words are labelled, one a word, all texts end to end, with NaN (or −1) for
    words that the teacher said nothing of.
    """

    ids: list[Ids]
    gold: NDArray[np.int64]
    logits: NDArray[np.float32] | None
    further: Mapping[str, signals.Batched] = field(default_factory=dict)
    layers: int = 0
    """How many layers the teacher has, where it spoke of them."""
    labels: NDArray[np.int64] | None = None
    words: Words | None = None
    """Where the network answers in each text; None: once for the text as a whole."""
    form: Shape = field(default_factory=Pooled)
    """The shape of these answers."""
    texts: Sequence[str] = ()
    """What was read, of rows that are judged, where an answer may be a part of it; else nothing."""
    weights: NDArray[np.float32] | None = None
    """How much each text counts, where several answers to one are learned from; None: all alike."""

    @property
    def sureness(self) -> NDArray[np.float64] | None:
        """How sure the teacher is of each text: its largest probability, the mean of it over words; None: not told."""
        if self.logits is None or self.logits.dtype == np.object_:
            return None
        surest = self.form.sureness(self.logits)
        if self.words is None:
            return surest
        owners = self.words.owners
        heard = np.isfinite(surest)
        texts, total = (
            np.bincount(owners[heard], weights=one, minlength=len(self.words)) for one in (None, surest[heard])
        )
        return np.divide(total, texts, out=np.ones(len(self.words)), where=texts > 0)

    @classmethod
    def of_gold(cls, network: Network, rows: Rows[Any], *, task: Task) -> Self:
        """The rows that have gold, for a network that no teacher tells anything."""
        table = rows.table(["text", "label"]).drop_null()
        texts, gold = table["text"].to_pylist(), task.gold(table["label"])
        said = task.said(gold)
        if said is None:
            ids, words = task.form.read(network, texts)
            return cls(ids, task.place(gold, words), None, words=words, form=task.form)
        ids, words, said = task.form.taught(network, texts, said)
        return cls(ids, task.place(gold, words), said, words=words, form=task.form, texts=texts)

    def some(self, rows: NDArray[np.int64]) -> Examples:
        """Some of the texts, in this order, with gold and answers; what else the teacher said stays behind."""
        answers = rows if self.words is None else self.words.numbers(rows)[0]
        return Examples(
            [self.ids[row] for row in rows.tolist()],
            self.gold[answers],
            None if self.logits is None else self.logits[answers],
            layers=self.layers,
            labels=None if self.labels is None else self.labels[answers],
            words=None if self.words is None else self.words.take(rows),
            form=self.form,
            texts=[self.texts[row] for row in rows.tolist()] if self.texts else (),
            weights=None if self.weights is None else self.weights[rows],
        )

    def score(self, metric: Metric, said: Outputs, *, task: Task) -> tuple[float, int]:
        """A metric against gold, or against the teacher where there is no gold at all; and the texts that it counts."""
        form = task.form
        gold = task.named(form.spread(self.gold, self.words))
        known = task.known(gold)
        named = self.labels if self.logits is None else form.named(self.logits)
        if not known.any() and named is not None:
            gold = task.named(form.spread(named, self.words))
            known = np.ones(len(gold), dtype=np.bool_)
        rows = np.flatnonzero(known)
        these = form.take(said, rows)
        return metric.score(task.answered(gold[rows], these, these)), len(rows)

    def batch(self, rows: NDArray[np.int64], *, length: int) -> dict[str, NDArray[Any]]:
        """`gold`, `mask` (which answers count) and what the teacher answered of these texts.

        `[rows, …]`, or, where words are labelled, `[rows, length, …]` with each word at its first token.
        """
        kept = {"gold": self.gold, self.form.answer: self.logits, "label": self.labels}
        given = {name: one for name, one in kept.items() if one is not None and one.dtype != np.object_}
        if self.words is None:
            return {name: one[rows] for name, one in given.items()} | {"mask": np.ones(len(rows), dtype=np.bool_)}
        numbers, owners, tokens = self.words.of(rows)
        heard = np.ones(len(numbers), dtype=np.bool_)
        if self.logits is not None:
            heard &= np.isfinite(self.logits[numbers, 0])
        if self.labels is not None:
            heard &= self.labels[numbers] >= 0
        numbers, owners, tokens = numbers[heard], owners[heard], tokens[heard]
        mask = np.zeros((len(rows), length), dtype=np.bool_)
        mask[owners, tokens] = True
        tables = {"mask": mask}
        for name, one in given.items():
            tables[name] = np.full((len(rows), length, *one.shape[1:]), -1 if name == "gold" else 0, dtype=one.dtype)
            tables[name][owners, tokens] = one[numbers]
        return tables


@final
@dataclass(frozen=True)
class Plan:
    """How long and how hard a network is fitted."""

    epochs: int
    batch_size: int
    learning_rate: float
    patience: int
    seed: int
    bf16: bool
    checkpoint_seconds: float = 20.0
    steps: int | None = None
    """Stop after so many steps of the schedule: for trying a learning rate, or to go on later from the checkpoint."""
    curriculum: float = 0.0
    """The share of training in which rows that the teacher is unsure of come in little by little."""
    unfreeze: float = 0.0
    """The share of training in which strata are thawed, from the head down; 0: all are trained from the start."""
    mixed: bool = False
    """Whether texts of any length share a batch: for networks that padding costs nothing."""
    quantization_aware: float = 0.0
    """The share of epochs, at the end, in which linear layers compute as their export in eight bits will."""
    weight_bits: int = 7
    """How many bits that export keeps of a weight."""


class Fit(Protocol):
    """The one training loop, handed to those who have something to fit."""

    def __call__(
        self,
        network: Network,
        *,
        task: Task,
        train: Examples,
        dev: Examples,
        objectives: Sequence[Objective],
        plan: Plan,
        folder: Path,
        report: Report,
        stage: str,
    ) -> list[dict[str, Any]]:
        """Fit the network, keep the weights of its best epoch on dev, and give the log."""


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
