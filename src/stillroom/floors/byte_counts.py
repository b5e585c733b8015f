"""Each byte by those before it, counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from stillroom.core import objects
from stillroom.core.scored import LEAST, Scored
from stillroom.floors import Floor

if TYPE_CHECKING:
    import pyarrow as pa

    from stillroom.tasks import Task

_ORDER = 5  # bytes before it that a byte is told by
_BYTES = 1_000_000  # of training texts, at most


@final
class ByteCounts(Floor):
    """Bytes told by up to five bytes before them, counted in training texts (Witten and Bell 1991)."""

    name: ClassVar[str] = "bytes told by the five before them"
    needs_gold: ClassVar[bool] = False

    kind: Literal["byte_counts"] = "byte_counts"

    def say(self, train: pa.Table, texts: Sequence[str], *, task: Task, seed: int) -> Scored:
        """How probable each byte of the texts is; of the likeliest ones it says nothing."""
        known = _counted(train["text"].to_pylist())
        sizes = [len(text.encode()) for text in texts]
        totals = {run: (sum(counts.values()), len(counts)) for run, counts in known.items()}
        odds = list(chain.from_iterable(_told(known, totals, text.encode()) for text in texts))
        values = np.full((len(odds), len(task.outputs)), LEAST, dtype=np.float32)
        kept = (len(task.outputs) - 3) // 2
        values[:, 0] = np.maximum(np.log(np.array(odds, dtype=np.float64)), LEAST)
        values[:, kept + 1] = 0.0
        values[:, kept + 2] = np.frombuffer("".join(texts).encode(), dtype=np.uint8)
        values[:, kept + 3 :] = 0.0
        ends = np.concatenate([np.zeros(0, np.int64), *(np.arange(1, size + 1) for size in sizes)])
        places = np.stack([ends - 1, ends], axis=1).astype(np.int32)
        counts = np.array(sizes, dtype=np.int64)
        return Scored(values, places, counts, np.zeros_like(counts), objects.array([""] * len(texts)))


def _counted(texts: Sequence[str]) -> dict[bytes, Counter[int]]:
    found: dict[bytes, Counter[int]] = defaultdict(Counter)
    left = _BYTES
    for text in texts:
        one = text.encode()[: max(0, left)]
        left -= len(one)
        for place, byte in enumerate(one):
            for order in range(min(_ORDER, place) + 1):
                found[one[place - order : place]][byte] += 1
        if left <= 0:
            break
    return dict(found)


def _told(known: dict[bytes, Counter[int]], totals: dict[bytes, tuple[int, int]], text: bytes) -> list[float]:
    """The probability of each byte: of longer runs, mixed with shorter ones by how many kinds of bytes follow."""
    found = []
    for place, byte in enumerate(text):
        odds = 1 / 256
        for order in range(min(_ORDER, place) + 1):
            run = text[place - order : place]
            if run not in totals:
                break
            total, kinds = totals[run]
            odds = (known[run][byte] + kinds * odds) / (total + kinds)
        found.append(odds)
    return found
