"""What a student's texts show before it learns: how often each token stands in them, and a few of them to try it on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import seeds
from stillroom.runtime.encoders import Encode
from stillroom.students import Ids

_AT_ONCE = 1024
_TRIED = 256


@final
@dataclass(frozen=True)
class Survey:
    """Counts by token id, and the ids of some texts."""

    counts: NDArray[np.int64]
    some: list[Ids]


def take(texts: Iterator[str], encode: Encode, *, size: int, seed: int) -> Survey:
    """One pass over the texts; every one of them has the same chance to be among the few."""
    rng = seeds.generator(seed, "students/transformer/survey")
    counts = np.zeros(size, dtype=np.int64)
    some: list[Ids] = []
    passed = 0
    while part := list(islice(texts, _AT_ONCE)):
        for ids in encode(part):
            counts += np.bincount(ids, minlength=size)
            passed += 1
            if len(some) < _TRIED:
                some.append(ids)
            elif (place := int(rng.integers(passed))) < _TRIED:
                some[place] = ids
    return Survey(counts, some)
