"""How often chance alone would show as much: figures where groups are dealt to rows anew, or pairs turned round."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Floats

#: A figure of two lots of rows, from the sums of their statistics, `[..., k]` each.
Apart = Callable[[Floats, Floats], Floats]

_AT_ONCE = 2**21
_SAME = 1e-12  # sums in another order make equal figures differ in the last digits


def dealt(statistics: Floats, groups: NDArray[np.int64], apart: Apart, *, count: int, rng: np.random.Generator) -> (
    list[float]
):  # fmt: skip
    """For each group the p of its figure beside all other rows, where groups have nothing to do with statistics.

    p = (1 + how many of `count` dealings of the groups to the rows have a figure as far from zero) / (1 + count), which
    holds for any number of rows (Phipson and Smyth 2010).
    """
    inside = np.arange(int(groups.max(initial=-1)) + 1)[:, None] == groups
    total = statistics.sum(axis=0)

    def figures(members: NDArray[np.bool_]) -> Floats:
        own = members.astype(np.float64) @ statistics
        return np.abs(apart(own, total - own))

    least = figures(inside) * (1 - _SAME)
    reached = np.zeros(len(inside), dtype=np.int64)
    # A figure that chance leaves undefined is no evidence against it: it counts as reached.
    for block in _blocks(count, len(groups) * len(inside)):
        anew = rng.permuted(np.broadcast_to(groups, (block, len(groups))), axis=1)
        members = np.arange(len(inside))[None, :, None] == anew[:, None, :]
        reached += (~(figures(members) < least)).sum(axis=0)
    return [float(one) for one in (1 + reached) / (1 + count)]


def turned(one: Floats, other: Floats, apart: Apart, *, count: int, rng: np.random.Generator) -> float:
    """The p of a figure of two lots of paired rows, where each pair might as well stand the other way round.

    p = (1 + how many of `count` draws, each pair turned or not, have a figure as far from zero) / (1 + count).
    """
    totals, moves = (one.sum(axis=0), other.sum(axis=0)), other - one

    def figures(turns: Floats) -> Floats:
        moved = turns @ moves
        return np.abs(apart(totals[0] + moved, totals[1] - moved))

    least = figures(np.zeros((1, len(one)))) * (1 - _SAME)
    reached = 0
    for block in _blocks(count, len(one)):
        reached += int((~(figures(rng.integers(0, 2, (block, len(one))).astype(np.float64)) < least)).sum())
    return float((1 + reached) / (1 + count))


def _blocks(count: int, size: int) -> list[int]:
    """How many draws to look at together."""
    block = max(1, min(count, _AT_ONCE // max(1, size)))
    return [min(block, count - start) for start in range(0, count, block)]
