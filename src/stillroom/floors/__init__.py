"""Family: the floor of a task, what counting gets for next to nothing. A student under it was not worth distilling."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from stillroom.core import plugins
from stillroom.core.plugins import Member

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.shapes import Outputs
    from stillroom.tasks import Task


def of(task: Task) -> Floor:
    """The floor of a task."""
    found: Floor = plugins.build("floors", task.floor)
    return found


class Floor(Member, ABC):
    """A cheap method that asks no teacher."""

    name: ClassVar[str]
    """What people call it."""

    needs_gold: ClassVar[bool] = True
    """Whether it is fitted to gold; else to texts, those without labels among them."""

    @abstractmethod
    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> Outputs:
        """What it puts out for texts, once it is fitted to the columns `text` and `label` of training rows.

        Raises:
            InputError: no row has gold.
            MissingExtra: what it is fitted with is not installed.
        """
