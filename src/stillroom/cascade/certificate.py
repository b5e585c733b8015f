"""The certificate of a cascade: how sure a student has to be, so that it seldom says what its teacher would not.

The promise is P(what is answered ≠ what the teacher would answer) ≤ ε, with confidence 1 − δ over the rows that are
certified on. How sure the student is, is calibrated on other rows, and these also give the thresholds to try, strict
to loose. Of n rows let k be those that the student answers and answers otherwise: U = Beta⁻¹(1 − δ; k + 1, n − k)
bounds how often that happens. The thresholds are tried in their order while U ≤ ε, up to the first that fails; the
last that passed is taken. As the order was fixed before, nothing has to be corrected for there being several (learn
then test, Angelopoulos et al. 2110.01052).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom import intervals
from stillroom.core.errors import missing_extra
from stillroom.power import HOPELESS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


#: A student that would answer less of the texts than this is not worth a cascade, and by chance alone some few rows
#: look right wherever one looks: so strict a threshold is not tried.
LEAST_ANSWERED = 0.1


@final
@dataclass(frozen=True)
class Calibration:
    """How often a student is right where it is so sure: straight lines between knots, which never fall."""

    sureness: tuple[float, ...]
    confidence: tuple[float, ...]
    thresholds: tuple[float, ...]
    """The confidences to try, strict to loose; at the last one the student answers everything.

    Where the surest answers are the worst ones, there is one step for all of them: confidence can't rise with sureness
    there, and so nothing is certified that rests on it.
    """

    def of(self, sureness: Floats) -> Floats:
        """The calibrated confidence of each text."""
        return np.interp(sureness, self.sureness, self.confidence)


@final
@dataclass(frozen=True)
class Step:
    """What one threshold comes to on the rows that are certified on."""

    threshold: float
    n: int
    answered: int
    wrong: int
    bound: float
    """Of all texts, those that the student answers otherwise than its teacher would: no more than this."""
    selective_bound: float
    """The same of the texts that it answers, at whichever of the thresholds; 1 where it answers none."""
    passed: bool
    """Whether the walk came so far and went on."""


def calibrate(sureness: Floats, right: Bools) -> Calibration:
    """Isotonic regression of being right on being sure.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        raise missing_extra("train", package="scikit-learn", needed_by="cascade") from error
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(sureness, right.astype(np.float64))
    knots = fitted.X_thresholds_, fitted.y_thresholds_
    answered = np.interp(sureness, *knots)
    tried = [one for one in sorted(set(knots[1].tolist()), reverse=True) if (answered >= one).mean() >= LEAST_ANSWERED]
    return Calibration(tuple(knots[0].tolist()), tuple(knots[1].tolist()), tuple(tried))


def upper(hits: int, n: int, delta: float) -> float:
    """The exact upper bound of a share at level 1 − δ (Clopper and Pearson 1934, one-sided); 1 of no rows."""
    high = intervals.clopper_pearson(hits, n, 1 - 2 * delta).high
    return 1.0 if high is None else high


def walk(
    confidence: Floats, wrong: Bools, thresholds: Sequence[float], *, epsilon: float, delta: float
) -> tuple[Step, ...]:
    """Every threshold on rows that had no part in the calibration, and how far the walk comes.

    The bound of what the student answers is held at every threshold at once (δ over their number), because the one
    that is taken hangs on these rows.
    """
    going, steps = True, []
    for threshold in thresholds:
        answered = confidence >= threshold
        count, missed = int(answered.sum()), int((answered & wrong).sum())
        bound = upper(missed, len(confidence), delta)
        going = going and bound <= epsilon
        selective = upper(missed, count, delta / len(thresholds))
        steps.append(Step(float(threshold), len(confidence), count, missed, bound, selective, going))
    return tuple(steps)


def taken(steps: Sequence[Step]) -> Step | None:
    """The last step that passed; None: none did, or the student answers nothing there."""
    passed = [one for one in steps if one.passed]
    return passed[-1] if passed and passed[-1].answered else None


def needed(epsilon: float, delta: float) -> int:
    """The fewest rows on which anything can be certified, even with no row answered wrong."""
    return math.ceil(math.log(delta) / math.log1p(-epsilon))


def further(step: Step, *, epsilon: float, delta: float) -> int | None:
    """About how many rows more would let a step pass, should its share of wrong rows stay; None: hardly any number."""
    share = step.wrong / step.n if step.n else 0.0
    low, high = max(step.n, needed(epsilon, delta)), math.ceil(HOPELESS * max(step.n, needed(epsilon, delta)))

    def passes(n: int) -> bool:
        return upper(math.ceil(share * n), n, delta) <= epsilon

    if not passes(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle + 1, high)
    return low - step.n
