"""Family: what a student can be exported to.

A format writes its files and judges, on what was checked, whether to keep them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, final

from stillroom.core.plugins import Member

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.shapes import Outputs
    from stillroom.students import Network


@final
@dataclass(frozen=True)
class Checks:
    """What was seen of an exported student on dev, beside the student it came from."""

    largest_difference: float
    """Of any logit, over several batch sizes and lengths, before dev has chosen anything (`tuned`)."""
    metric_loss: float
    """How much worse the dev metric is; negative where it is better."""
    speed: float
    """Texts per second over those of the quickest export before it, or of the student itself in torch."""


class Judge(Protocol):
    """The dev texts that an export is checked on, and what answers to them are worth."""

    @property
    def texts(self) -> Sequence[str]:
        """The texts."""

    @property
    def metric(self) -> str:
        """The task's first metric."""

    def score(self, said: Outputs) -> float:
        """The metric of these answers."""

    def loss(self, said: Outputs) -> float:
        """How much worse it is than that of the student in torch; negative where it is better."""


class Format(Member, ABC):
    """An export format."""

    shapes: ClassVar[frozenset[str]] = frozenset({"pooled", "tokens", "vectors"})
    """The shapes of what the students answer that it can hold."""
    needs_exits: ClassVar[bool] = False
    """Whether it is for students that texts may leave early."""

    @property
    def rounds_to(self) -> int | None:
        """How many bits it keeps of a weight of a linear layer; None: all."""
        return None

    @abstractmethod
    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Write the student into `folder`: the runner that serves it, and the files that it needs."""

    def tuned(self, runner: Runner, folder: Path, *, dev: Judge) -> tuple[Runner, Mapping[str, Any]]:
        """The runner with whatever dev has to choose about it, and what is to be said of the choice, as JSON has it."""
        return runner, {}

    @abstractmethod
    def objection(self, checks: Checks) -> str:
        """Why not to keep it, or nothing."""
