"""When a student is sure enough to answer, and else leaves a text to its teacher: what a bundle says of it.

`stillroom cascade` writes it; here it is read again and gone by, with numpy alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.errors import ArtifactError, Problem

FILE = "cascade.json"

Floats = NDArray[np.float64]


class Decision(NamedTuple):
    """A prediction, whether the student is sure enough for it to stand, and how sure: the calibrated confidence."""

    prediction: Any
    sure: bool
    confidence: float


@final
@dataclass(frozen=True)
class Certificate:
    """What was shown of a cascade on rows that nothing was fitted to: valid for traffic like those rows alone.

    With confidence 1 − `delta`, no more than `bound` of all texts are answered by the student and otherwise than its
    teacher would; `bound` is at most `epsilon`.
    """

    epsilon: float
    delta: float
    n: int
    """The rows that it rests on."""
    answered: int
    """How many of them the student answers."""
    wrong: int
    """How many of these it answers otherwise than its teacher."""
    bound: float
    selective_bound: float
    """The same of the texts alone that the student answers, also with confidence 1 − `delta`."""
    rows: str
    """The digest of the ids of the rows."""
    student: str
    """The digest of the bundle that was put to the test."""
    teacher: str
    """The digest of the teacher's artifact."""
    runner: str
    """What served the student: of another runner nothing is certified."""


@final
@dataclass(frozen=True)
class Prices:
    """What a million texts cost on each side, as the run's cost has it; None: not known."""

    teacher: float | None = None
    student: float | None = None
    currency: str = ""

    @classmethod
    def measured(cls, cost: Mapping[str, Any]) -> Self:
        """Those of a cost that was measured."""
        sides = {side: cost[side]["price_per_million_texts"] for side in ("teacher", "student")}
        return cls(**sides, currency=cost["price"]["currency"])


@final
@dataclass(frozen=True)
class Cascade:
    """How sure a student has to be, and what was certified of that.

    `sureness` and `confidence` are the knots of the calibration: how sure it says it is, how often it is right then.
    """

    threshold: float
    certificate: Certificate
    sureness: tuple[float, ...]
    confidence: tuple[float, ...]
    prices: Prices

    def calibrated(self, sureness: Floats) -> Floats:
        """How often the student says what its teacher says where it is so sure (`Task.sureness`)."""
        return np.interp(sureness, self.sureness, self.confidence)

    def sure(self, confidence: Floats) -> NDArray[np.bool_]:
        """Which texts the student answers, by its calibrated confidence."""
        return np.asarray(confidence >= self.threshold)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


def read(path: Path) -> Cascade:
    """The cascade in a file.

    Raises:
        ArtifactError: none that can be read.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        sureness, confidence = (tuple(float(one) for one in told[name]) for name in ("sureness", "confidence"))
        shown, prices = Certificate(**told["certificate"]), Prices(**told["prices"])
        found = Cascade(float(told["threshold"]), shown, sureness, confidence, prices)
        fine = 0 < len(sureness) == len(confidence) and bool(np.all(np.diff(sureness) >= 0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path) from error
    if not fine:
        raise _unreadable(path)
    return found


def _unreadable(path: Path) -> ArtifactError:
    todo = "Certify the run again: stillroom cascade."
    return ArtifactError(Problem(str(path), "no cascade that can be read", "a threshold and its certificate", todo))
