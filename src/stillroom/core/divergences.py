"""How far apart two distributions are, in nats: one way for all who need it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stillroom.core.probabilities import Floats

KINDS = ("forward_kl", "reverse_kl", "jensen_shannon")
"""KL(teacher ‖ student), the other way round, and between both: at most ln 2."""
_LEAST = 1e-12  # a probability below which none is told apart


def between(teacher: Floats, student: Floats) -> Mapping[str, Floats]:
    """The divergences of each row, `[rows]`, by kind, of distributions `[rows, classes]`."""
    p, q = (np.clip(one, _LEAST, None) for one in (teacher, student))
    p, q = (one / one.sum(axis=1, keepdims=True) for one in (p, q))
    middle = (p + q) / 2
    forward, reverse = _kl(p, q), _kl(q, p)
    return dict(zip(KINDS, (forward, reverse, (_kl(p, middle) + _kl(q, middle)) / 2), strict=True))


def _kl(p: Floats, q: Floats) -> Floats:
    return np.asarray(np.maximum((p * (np.log(p) - np.log(q))).sum(axis=1), 0.0))
