"""What a teacher that is fitted here begins as, which hangs on the shape that it answers in."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, final

from stillroom.core.errors import MismatchError, Problem
from stillroom.core.progress import Report
from stillroom.students import Network
from stillroom.tasks import Task
from stillroom.teachers import LoadedTeacher
from stillroom.teachers._fitting import Examples

if TYPE_CHECKING:
    from torch import nn

    from stillroom.corpus import Learnable
    from stillroom.metrics import Metric
    from stillroom.teachers.finetuned import FineTuned

_NUMBER = re.compile(r"dropout|pdrop")  # in the name of one, in parts of `transformers` that have no module for it


@final
@dataclass(frozen=True)
class Floor:
    """What a fitted teacher has to stand above on dev."""

    score: float
    """By the task's first metric."""
    name: str
    """What has it."""
    rows: int
    """How many rows it was made from."""


@final
@dataclass(frozen=True)
class Course:
    """How a fit went: what was learned from, what it was judged by, and its log."""

    corpus: Learnable
    train: Examples
    dev: Examples
    metric: Metric
    log: list[dict[str, Any]]
    seed: int
    bf16: bool
    report: Report


class Built(Protocol):
    """A way to begin, to be beaten and to be opened."""

    def __call__(self, settings: FineTuned, *, task: Task) -> Base:
        """For these settings and this task."""


class Base(ABC):
    """What is fitted, before it is: a network in a folder under what the task asks for."""

    def __init__(self, settings: FineTuned, *, task: Task) -> None:
        self.settings, self.task = settings, task

    @abstractmethod
    def begun(self, folder: Path, *, seed: int, longest: int = 0) -> Network:
        """The network as it is before any step, the same for the same seed; a folder for what has to lie beside it.

        It writes at most so many tokens as the `longest` text has that it learns from; 0: that is not known yet.
        """

    def longest(self, network: Network, examples: Examples) -> int:
        """How many tokens the longest text has that it is to write; 0: it writes none."""
        return 0

    def legible(self, network: Network, examples: Examples, *, where: str) -> Examples:
        """Those that it reads to their end, where their end is what is learned: all. They stand there in a recipe."""
        return examples

    @abstractmethod
    def floor(self, course: Course) -> Floor:
        """What it has to stand above."""

    @abstractmethod
    def open(self, folder: Path, *, name: str) -> LoadedTeacher:
        """The fitted one in a folder."""

    def settled(self, network: Network) -> Network:
        """The network, with dropout as it is set, and its lowest layers and all below them left as they are.

        Raises:
            MismatchError: there are no more layers than that.
        """
        strata, lowest = network.strata(), self.settings.freeze_layers
        if lowest >= (layers := len(strata) - 2):
            found = f"{lowest} layers to freeze of {layers}"
            todo = "Freeze fewer: a teacher is fitted in what is left."
            raise MismatchError(Problem("teacher.freeze_layers", found, "at least one to fit", todo))
        for weight in (one for stratum in strata[-1 - lowest :] for one in stratum if lowest):
            weight.requires_grad_(False)
        _drop_out(network.module, self.settings.dropout)
        return network


def _drop_out(module: nn.Module, share: float) -> None:
    """Set it in all parts that hold it; some layouts have a module for it (BERT), others a number (BART, Llama).

    One that looks it up in its configuration at each step (Falcon) keeps that: students are begun from what is saved.
    """
    from torch.nn import Dropout

    for part in module.modules():
        if isinstance(part, Dropout):
            part.p = share
        for name, number in list(vars(part).items()):
            if isinstance(number, int | float) and _NUMBER.search(name):  # 0 may be written without a point
                setattr(part, name, share)
