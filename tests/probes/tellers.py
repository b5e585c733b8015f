"""Generators that find texts as probable as a test says, and a sitting for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stillroom.core import objects, plugins
from stillroom.core.scored import Scored
from stillroom.probes import SIDES, Heard, Probe, Sitting
from stillroom.tasks import Rows
from stillroom.tasks.generation import Generation

TASK = Generation(kept=1, writes=0)
#: How many bits a text takes.
Bits = Callable[[str], float]


def said(texts: Sequence[str], bits: Bits, *, read: int = 10_000) -> Scored:
    """One token a text, that so many of its bytes belong to."""
    own = [-bits(text) * np.log(2) for text in texts]
    values = np.array([[one, -0.1, -2.0, 0.0, 0.0] for one in own], dtype=np.float64).reshape(-1, 5)
    places = np.array([[0, min(read, len(text.encode()))] for text in texts], dtype=np.int32).reshape(-1, 2)
    ones = np.ones(len(texts), dtype=np.int64)
    return Scored(values, places, ones, np.zeros_like(ones), objects.array([""] * len(texts)))


def seated(*, min_rows: int = 2, resamples: int = 300, seed: int = 0) -> Sitting:
    """A test of one row, which nothing hangs on."""
    row = said(["a row"], lambda text: 1.0)
    about = Rows(["a row"], ["id"], [""], np.zeros(1, dtype=np.bool_))
    return Sitting(TASK, about, TASK.golds([None]), np.arange(1), dict.fromkeys(SIDES, row),
                   plugins.build("metrics", "byte_probability"), frozenset(), {}, confidence=0.95,
                   resamples=resamples, min_rows=min_rows, seed=seed)  # fmt: skip


def heard(probe: Probe, sitting: Sitting, bits: Mapping[str, Bits], *, read: int = 10_000, unasked: str = "") -> Heard:
    """What each side says of a probe's texts."""
    texts = list(dict.fromkeys(probe.texts(sitting)))
    places = {side: {text: place for place, text in enumerate(texts)} for side in bits}
    return Heard(TASK, places, {side: said(texts, one, read=read) for side, one in bits.items()}, unasked)
