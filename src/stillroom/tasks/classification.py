"""One label out of several for a text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from stillroom.core import signals
from stillroom.tasks import Prediction, Shape, Task, ToyRow


@final
class Classification(Task):
    """One label out of several for a text."""

    shape: ClassVar[Shape] = "pooled"
    signals: ClassVar[frozenset[str]] = signals.KINDS
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "ece", "nll")

    kind: Literal["classification"] = "classification"
    labels: tuple[str, ...] = Field(min_length=2)
    """Every label, in the order in which the teacher gives its outputs."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise ValueError("distinct labels")
        return labels

    @property
    def outputs(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def code(self, label: str) -> int | None:
        """The position of a label, or None."""
        return self.labels.index(label) if label in self.labels else None

    def decode(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """Softmax over the labels, the most probable one first named."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        odds = np.exp(shifted)
        table = odds / odds.sum(axis=1, keepdims=True)
        return [
            Prediction(self.labels[best], float(row[best]), dict(zip(self.labels, row.tolist(), strict=True)))
            for row, best in zip(table, table.argmax(axis=1).tolist(), strict=True)
        ]

    def objectives(self, said: frozenset[str] = frozenset({"logits"})) -> tuple[dict[str, Any], ...]:
        """Mostly what the teacher says, with some gold; soft labels where it has any (Hinton et al. 1503.02531)."""
        soft = {"kind": "forward_kl", "weight": 0.9, "temperature": 2.0}
        named = {"kind": "pseudo_label", "weight": 0.9}
        return (soft if "logits" in said else named, {"kind": "hard_label", "weight": 0.1})

    def toy(self) -> Sequence[ToyRow]:
        """Sentences in which one word gives the label away."""
        openings = ("the film was", "we found it", "I call this", "all in all it is", "my friends thought it")
        endings = ("today", "in every scene", "from start to end", "as ever", "for what it cost", "without a doubt")
        return [
            ToyRow(f"{opening} word{number}x{variant} {ending}", label)
            for (opening, ending), variant in itertools.product(itertools.product(openings, endings), range(2))
            for number, label in enumerate(self.labels)
        ]
