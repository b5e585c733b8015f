"""What tasks share whose answers are labels out of a list: the list, and what is usually learned from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from stillroom.tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa


class Labels(Task, ABC):
    """A task whose answers are labels, of a text or of parts of it."""

    labels: tuple[str, ...]
    """Every label, in the order in which the teacher gives its outputs."""

    @field_validator("labels")
    @classmethod
    def _distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels):
            raise ValueError("distinct labels")
        return labels

    @property
    def names(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    @abstractmethod
    def tally(self, gold: pa.Array) -> NDArray[np.int64]:
        """How often each label is given in some rows that have gold."""

    def objectives(self, said: frozenset[str] = frozenset({"logits"})) -> tuple[Mapping[str, Any], ...]:
        """Mostly what the teacher says, with some gold; soft labels where it has any (Hinton et al. 1503.02531)."""
        soft = {"kind": "forward_kl", "weight": 0.9, "temperature": 2.0}
        named = {"kind": "pseudo_label", "weight": 0.9}
        return (soft if "logits" in said else named, {"kind": "hard_label", "weight": 0.1})
