"""How sure to be: one number that a student's logits are divided by, so that it is as sure as it is right.

Temperature scaling (Guo et al. 1706.04599): it changes no answer, only how sure of it a student says it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import probabilities
from stillroom.core.errors import missing_extra

FEWEST = 100
_LOWEST, _HIGHEST = 0.05, 20.0


@final
@dataclass(frozen=True)
class Temperature:
    """What logits are divided by, and the mean −log p of what is right, before and after, on the rows at hand."""

    value: float
    rows: int
    nll_before: float
    nll_after: float

    def as_dict(self) -> dict[str, Any]:
        """The temperature as a program reads it."""
        return {
            "temperature": self.value,
            "rows": self.rows,
            "nll_before": float(f"{self.nll_before:.7g}"),
            "nll_after": float(f"{self.nll_after:.7g}"),
        }


def fit(logits: NDArray[Any], gold: NDArray[np.int64]) -> Temperature | None:
    """The temperature at which what is right is most probable, between 1/20 and 20; None of fewer than 100 rows.

    `logits` is `[rows, classes]`, `gold` the position of what is right, −1 where that is not known. The logarithm of
    the likelihood is concave in 1/τ, so there is one such temperature. It is told to four digits, and where it would
    make dev worse than none, it is 1.
    """
    known = gold >= 0
    logits, gold = logits[known].astype(np.float64), gold[known]
    if len(gold) < FEWEST:
        return None

    def nll(logarithm: float) -> float:
        scaled = probabilities.log_softmax(logits / np.exp(logarithm))
        return float(-scaled[np.arange(len(gold)), gold].mean())

    found = _optimize().minimize_scalar(nll, bounds=(np.log(_LOWEST), np.log(_HIGHEST)), method="bounded")
    value = float(f"{np.exp(found.x):.4g}")
    before, after = nll(0.0), nll(np.log(value))
    return (
        Temperature(value, len(gold), before, after) if after < before else Temperature(1.0, len(gold), before, before)
    )


def _optimize() -> Any:
    """Scipy's, loaded when used."""
    try:
        from scipy import optimize
    except ImportError as error:
        raise missing_extra("train", package="scipy", needed_by="export") from error
    return optimize
