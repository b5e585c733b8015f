"""Family: what a student is fitted to.

An objective is a pure function of student outputs, teacher signals and a mask. It is handed what it asked for by name
(`stillroom.core.signals` lists the names) and never a teacher.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, final

from pydantic import Field, model_validator

from stillroom.core import signals
from stillroom.core.plugins import Member

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor, nn

    #: What a student says of a batch, a signal a name, shaped as `stillroom.core.signals` says.
    Said = Mapping[str, Tensor]

GOLD = "gold"
PEER = "peer"


@final
@dataclass(frozen=True)
class Target:
    """What a batch is fitted to: what the teacher said, and the gold labels, −1 where a row has none.

    Rows outside `mask` are padding, and so are positions outside `tokens` (None where nothing speaks of tokens).
    """

    signals: Mapping[str, Tensor]
    gold: Int[Tensor, "*rows"]
    mask: Bool[Tensor, "*rows"]
    tokens: Bool[Tensor, "rows length"] | None = None
    weights: Float[Tensor, " rows"] | None = None
    """How much each row counts, for objectives that weigh; None: all alike."""

    @property
    def logits(self) -> Float[Tensor, "*rows classes"]:
        """The teacher's logits."""
        return self.signals["logits"]

    @property
    def counted(self) -> Bool[Tensor, "rows length"]:
        """The tokens that count: those of texts that count."""
        if self.tokens is None:
            raise TypeError("a target without tokens, for an objective that looks at them")
        # Where words are answered for, the mask says which of them; a text counts for those that it has.
        rows = self.mask if self.mask.dim() == 1 else self.mask.any(dim=-1)
        return self.tokens & rows.unsqueeze(-1)

    def mean(self, losses: Float[Tensor, "*rows"]) -> Float[Tensor, ""]:
        """The mean over the rows (or their tokens) that count, by weight; zero, with a gradient, where none counts."""
        counted = losses.masked_fill(~self.mask, 0.0)
        if self.weights is None:
            return counted.sum() / self.mask.sum().clamp(min=1)
        weights = self.weights.reshape(-1, *[1] * (losses.dim() - 1)) * self.mask
        return (weights * counted).sum() / weights.sum().clamp(min=1e-12)


@final
@dataclass(frozen=True)
class Wanted:
    """The signals that an objective asks of a student and of a teacher, layers named."""

    student: frozenset[str]
    teacher: frozenset[str]


@final
@dataclass(frozen=True)
class Writing:
    """How a student writes texts that its teacher then scores, so that it learns from those too."""

    rounds: int
    """How often."""
    share: float
    """Of the texts that it learns from in a round, how large a part it writes the end of."""
    tokens: int
    """How many it writes behind a beginning, at most."""
    temperature: float
    """How far what it writes is left to chance."""


class Objective(Member, ABC):
    """A term of the loss."""

    needs: ClassVar[frozenset[str]]
    """The kinds of signals it can't do without; `gold` stands for the gold labels, `peer` for a second student."""
    formula: ClassVar[str]
    source: ClassVar[str]
    lowest: ClassVar[str]
    """Where it is lowest, and what it is there."""

    across_tokens: ClassVar[bool] = False
    """Whether it also compares logits where student and teacher have cut a text otherwise."""
    weighs: ClassVar[bool] = False
    """Whether rows can count for more, or less, than others (`Target.weights`)."""

    weight: float = Field(1.0, ge=0)
    """Its weight in the mixture."""
    weight_end: float | None = Field(None, ge=0)
    """Its weight at the end of training, reached in a straight line; None: it stays."""
    starts: float = Field(0.0, ge=0, lt=1)
    """The share of training after which it counts: with `ends`, one stage of several (XtremeDistil 2004.05686)."""
    ends: float = Field(1.0, gt=0, le=1)
    """The share of training after which it no longer counts."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Say in its docstring too what it works out, after whom, and where it is lowest."""
        cls.__doc__ = f"{cls.__doc__}\n\nFormula: {cls.formula}.\nSource: {cls.source}.\nLowest: {cls.lowest}."

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.ends <= self.starts:
            raise ValueError("`ends` beyond `starts`")
        return self

    def at(self, share: float) -> Self | None:
        """The objective when so much of training is over (0 to 1), or None where it does not count then."""
        last = share >= 1.0 and self.ends >= 1.0
        if not (self.starts <= share < self.ends or last):
            return None
        moved = {
            name: getattr(self, name) + (getattr(self, f"{name}_end") - getattr(self, name)) * share
            for name in type(self).model_fields
            if getattr(self, f"{name}_end", None) is not None
        }
        found = self.model_copy(update=moved) if moved else self
        return found if found.weight else None

    def wants(self, *, student_layers: int, teacher_layers: int) -> Wanted:
        """The signals it asks for, where both sides have so many layers; the student's follow from its own."""
        own = frozenset(self.needs - {GOLD, PEER})  # who answers with logits names a label too
        return Wanted(student=own & (signals.LOGITS | {"embedding", "sequence"}) | signals.LOGITS, teacher=own)

    def learned(self, *, student: Mapping[str, int], teacher: Mapping[str, int]) -> nn.Module | None:
        """What it learns beside the student, such as a projection; from the size of each signal's last axis."""
        return None

    @property
    def writing(self) -> Writing | None:
        """How the student writes what it learns from after a first fit; None: all that it learns from is there."""
        return None

    @property
    def heats(self) -> frozenset[float]:
        """The temperatures that logits of both sides are divided by."""
        told = (getattr(self, name, None) for name in ("temperature", "temperature_end"))
        return frozenset(float(one) for one in told if one is not None)

    def decides(self) -> dict[str, Any]:
        """What of its settings a fit hangs on: all of them."""
        return self.model_dump(mode="json", serialize_as_any=True)

    @property
    def of_answers(self) -> bool:
        """Whether it is about what a student answers: then each head that can answer is fitted to it."""
        return bool(self.needs & (signals.ANSWERS | {GOLD, PEER}))

    @abstractmethod
    def loss(self, student: Said, target: Target, learned: nn.Module | None = None) -> Float[Tensor, ""]:
        """The mean over the rows that count, unweighted. Zero (with a gradient) where no row counts."""


def terms(mixture: Sequence[Objective]) -> tuple[str, ...]:
    """What each objective of a mixture is called in a log, whenever it counts: its kind.

    Of one kind that stands there more than once, those after the first have their place behind it, counted from 1.
    """
    kinds = [one.kind for one in mixture]
    return tuple(f"{one} {place + 1}" if one in kinds[:place] else one for place, one in enumerate(kinds))
