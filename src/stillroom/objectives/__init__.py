"""Family: what a student is fitted to.

An objective is a pure function of student outputs, teacher signals and a mask.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, final

from pydantic import Field

from stillroom.core.plugins import Member

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor


@final
@dataclass(frozen=True)
class Target:
    """What a batch is fitted to. `gold` is −1 where a row has none. Rows (or positions) outside `mask` are padding."""

    logits: Float[Tensor, "*rows classes"]
    gold: Int[Tensor, "*rows"]
    mask: Bool[Tensor, "*rows"]


class Objective(Member, ABC):
    """A term of the loss."""

    needs: ClassVar[frozenset[str]]
    """The signals it can't do without; `gold` stands for the gold labels."""
    formula: ClassVar[str]
    source: ClassVar[str]
    lowest: ClassVar[str]
    """Where it is lowest, and what it is there."""

    weight: float = Field(1.0, ge=0)
    """Its weight in the mixture."""

    @abstractmethod
    def loss(self, student: Float[Tensor, "*rows classes"], target: Target) -> Float[Tensor, ""]:
        """The mean over the rows that count, unweighted. Zero (with a gradient) where no row counts."""
