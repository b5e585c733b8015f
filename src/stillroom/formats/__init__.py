"""Family: what a student can be exported to.

A format writes its files and judges, on what was checked, whether to keep them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from stillroom.core.plugins import Member

if TYPE_CHECKING:
    from stillroom.runtime.runners import Runner
    from stillroom.students import Network


@final
@dataclass(frozen=True)
class Checks:
    """What was seen of an exported student on dev, beside the student it came from."""

    largest_difference: float
    """Of any logit, over several batch sizes and lengths."""
    metric_loss: float
    """How much worse the dev metric is; negative where it is better."""
    speed: float
    """Texts per second over those of the quickest export before it, or of the student itself in torch."""


class Format(Member, ABC):
    """An export format."""

    @property
    def rounds_to(self) -> int | None:
        """How many bits it keeps of a weight of a linear layer; None: all."""
        return None

    @abstractmethod
    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        """Write the student into `folder`: the runner that serves it, and the files that it needs."""

    @abstractmethod
    def objection(self, checks: Checks) -> str:
        """Why not to keep it, or nothing."""
