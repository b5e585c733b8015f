"""Family: what computes a student's outputs where there is no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillroom.core.plugins import Member

Serve = Callable[[Sequence[str]], NDArray[np.float32]]


class Runner(Member, ABC):
    """A way to run a bundle's student, with the settings that its export found."""

    @abstractmethod
    def open(self, folder: Path, *, threads: int) -> Serve:
        """The student in a bundle's folder: texts to logits, `[texts, classes]`, in order."""
