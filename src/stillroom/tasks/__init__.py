"""Family: what a student is for. A task knows its rows, its outputs and how to judge them; it knows no stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.plugins import Member

Shape = Literal["pooled", "tokens", "decoder", "causal"]


@final
@dataclass(frozen=True)
class Prediction:
    """What a student says of one text: the label, its probability, and the probability of every label."""

    label: str
    score: float
    scores: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"label": self.label, "score": self.score, "scores": dict(self.scores)}


@final
@dataclass(frozen=True)
class ToyRow:
    """A row of a task's toy corpus."""

    text: str
    label: str


class Task(Member, ABC):
    """What is asked of a student, with the task's settings as fields."""

    shape: ClassVar[Shape]
    """The student output that it needs."""
    signals: ClassVar[frozenset[str]]
    """The teacher outputs that serve it."""
    metrics: ClassVar[tuple[str, ...]]
    """Names from the family `metrics`, the one that dev chooses by first."""

    @property
    @abstractmethod
    def outputs(self) -> tuple[str, ...]:
        """The name of each output, in the order in which a student and a teacher give them."""

    @abstractmethod
    def code(self, label: str) -> int | None:
        """The position of a gold label among the outputs, or None where it is unknown."""

    @abstractmethod
    def decode(self, logits: NDArray[np.float32]) -> list[Prediction]:
        """Predictions from student outputs, `[rows, outputs]`. Numpy only: the runtime uses it too."""

    @abstractmethod
    def objectives(self, said: frozenset[str] = frozenset({"logits"})) -> tuple[dict[str, Any], ...]:
        """The mixture for a recipe that names none, with a teacher that gives these kinds of signals."""

    @abstractmethod
    def toy(self) -> Sequence[ToyRow]:
        """A tiny corpus that can be learned, for tests."""
