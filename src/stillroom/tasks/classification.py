"""One label out of several for a text."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import probabilities, signals
from stillroom.core.errors import nearest
from stillroom.core.scripted import Scripted
from stillroom.tasks import Rows, ToyRow
from stillroom.tasks._labels import Labels

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.core.calibration import Temperature
    from stillroom.core.words import Words
    from stillroom.metrics import Answers


@final
@dataclass(frozen=True)
class LabelPrediction:
    """The label of a text, its probability, and the probability of every label."""

    label: str
    score: float
    scores: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The prediction as a program reads it."""
        return {"label": self.label, "score": self.score, "scores": dict(self.scores)}

    def as_line(self) -> str:
        """The label and how sure the student is of it."""
        return f"{self.label}\t{self.score:.3f}"

    def annotated(self, text: str) -> str:
        """The same before the text, which it is about as a whole."""
        return f"{self.as_line()}\t{text}"


@final
class Classification(Labels):
    """One label out of several for a text."""

    shape: ClassVar[str] = "pooled"
    signals: ClassVar[frozenset[str]] = signals.KINDS
    floor: ClassVar[str] = "tf_idf"
    judged_by: ClassVar[tuple[str, ...]] = (
        "accuracy", "macro_f1", "ece", "adaptive_ece", "nll", "brier", "aurc",
    )  # fmt: skip
    unsure: ClassVar[str] = ""

    prediction: ClassVar[Mapping[str, Any]] = {
        "required": ["label", "score", "scores"],
        "properties": {
            "label": {"type": "string"},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "scores": {"type": "object", "additionalProperties": {"type": "number"}},
        },
    }

    kind: Literal["classification"] = "classification"
    labels: tuple[str, ...] = Field(min_length=2)
    """Every label, in the order in which the teacher gives its outputs."""

    @property
    def hub_task(self) -> str:
        """A label a text."""
        return "text-classification"

    @property
    def outputs(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def gold_type(self) -> pa.DataType:
        """The position of the label."""
        import pyarrow as pa

        return pa.int32()

    def code(self, label: Any, text: str = "") -> int | None:
        """The position of a label, or None."""
        return self.labels.index(label) if label in self.labels else None

    def fault(self, label: Any, text: str) -> tuple[str, str, str] | None:
        """It is not among the labels."""
        if self.code(label) is not None:
            return None
        listed = ", ".join(f"`{name}`" for name in self.labels[:10])
        listed += f" … ({len(self.labels)})" if len(self.labels) > 10 else ""
        todo = f"{nearest(str(label), self.labels)} Correct the row, or add the label to `task.labels`."
        # Where columns are mixed up, what stands there may be a text.
        shown = str(label) if len(str(label)) <= 40 else f"{str(label)[:39]}…"
        return f"the label `{shown}`", f"one of {listed}", todo

    def tally(self, gold: pa.Array) -> NDArray[np.int64]:
        """How often each label is given."""
        counts: NDArray[np.int64] = np.bincount(gold.to_numpy(zero_copy_only=False), minlength=len(self.labels))
        return counts

    def gold(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Positions of labels, −1 where a row has none."""
        return self.golds(column.to_pylist())

    def golds(self, items: Sequence[Any]) -> NDArray[np.int64]:
        """The same from a list."""
        return np.array([-1 if one is None else one for one in items], dtype=np.int64)

    def place(self, gold: NDArray[Any], words: Words | None) -> NDArray[np.int64]:
        """One a text, as it is."""
        return np.asarray(gold, dtype=np.int64)

    def known(self, gold: NDArray[Any]) -> NDArray[np.bool_]:
        """Where there is a position."""
        return np.asarray((gold >= 0) & (gold < len(self.labels)))

    def named(self, said: Any) -> NDArray[np.int64]:
        """The label of each answer, the first of the highest logits."""
        return signals.named(said)

    def shown(self, said: Any) -> list[str]:
        """Its label."""
        return [self.labels[one] for one in self.named(said).tolist()]

    def sureness(self, said: Any) -> NDArray[np.float64]:
        """The probability of its label."""
        return np.asarray(probabilities.of(said, classes=len(self.labels)).max(axis=1, initial=0.0))

    def calibration(self, said: Any, gold: NDArray[Any]) -> Temperature | None:
        """By the label of each text."""
        from stillroom.core import calibration

        return calibration.fit(said, gold)

    def answered(
        self,
        gold: NDArray[Any],
        said: Any,
        teacher: Any,
        *,
        named: bool = False,
        rows: Rows | None = None,
        familiar: Collection[str] = frozenset(),
    ) -> Answers:
        """Probabilities beside gold and those of the teacher."""
        from stillroom.metrics import Answers

        table, its = (probabilities.of(one, classes=len(self.labels)) for one in (said, teacher))
        return Answers(gold, table, its, labels=self.labels, named=named)

    def decode(self, said: Any, texts: Sequence[str] = ()) -> list[LabelPrediction]:
        """Softmax over the labels, the most probable one first named."""
        shifted = said - said.max(axis=1, keepdims=True, initial=-np.inf)
        odds = np.exp(shifted)
        table = odds / odds.sum(axis=1, keepdims=True)
        return [
            LabelPrediction(self.labels[best], float(row[best]), dict(zip(self.labels, row.tolist(), strict=True)))
            for row, best in zip(table, table.argmax(axis=1).tolist(), strict=True)
        ]

    def in_browser(self) -> Scripted:
        """The same shares."""
        return Scripted({"kind": self.kind, "labels": list(self.labels)})

    def toy(self) -> Sequence[ToyRow]:
        """Sentences in which one word gives the label away."""
        openings = ("the film was", "we found it", "I call this", "all in all it is", "my friends thought it")
        endings = ("today", "in every scene", "from start to end", "as ever", "for what it cost", "without a doubt")
        return [
            ToyRow(f"{opening} word{number}x{variant} {ending}", label)
            for (opening, ending), variant in itertools.product(itertools.product(openings, endings), range(2))
            for number, label in enumerate(self.labels)
        ]
