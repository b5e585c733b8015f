"""What a fit is told: the texts that it learns from, how long and how hard; and the loop that is handed to who fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.core.progress import Report
from stillroom.core.words import Words
from stillroom.shapes import Shape
from stillroom.shapes.pooled import Pooled
from stillroom.tasks import Task

if TYPE_CHECKING:
    from stillroom.corpus import Rows
    from stillroom.metrics import Metric
    from stillroom.objectives import Objective
    from stillroom.shapes import Outputs
    from stillroom.students import Ids, Network


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
    shown: NDArray[np.float32] | None = None
    """How often an epoch shows each text, on average over epochs, where some are emphasised; None: all once."""

    @cached_property
    def begins(self) -> NDArray[np.int64]:
        """The first token of each text at which an answer counts, `[texts]`; 0 where texts are answered as a whole."""
        if self.words is None:
            return np.zeros(len(self.ids), dtype=np.int64)
        numbers, owners, tokens = self.words.of(np.arange(len(self.ids)))
        heard = self._heard(numbers)
        found = np.array([len(one) for one in self.ids], dtype=np.int64) - 1
        np.minimum.at(found, owners[heard], tokens[heard])
        return found

    def _heard(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these answers somebody gave."""
        heard = np.ones(len(numbers), dtype=np.bool_)
        if self.logits is not None:
            heard &= np.isfinite(self.logits[numbers, 0])
        if self.labels is not None:
            heard &= self.labels[numbers] >= 0
        return heard

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
        answers = task.form.aligned(said, words)
        return cls(ids, task.place(gold, words), answers, words=words, form=task.form, texts=texts)

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
            shown=None if self.shown is None else self.shown[rows],
        )

    def score(self, metric: Metric, said: Outputs, *, task: Task) -> tuple[float, int]:
        """A metric against gold, or against the teacher where there is no gold at all; and the texts that it counts.

        Of what is said, only that counts which is learned.
        """
        form = task.form
        said = said if self.logits is None else form.learned(said, self.logits)
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
        heard = self._heard(numbers)
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
