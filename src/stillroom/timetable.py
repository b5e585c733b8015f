"""When what happens in a fit: which rows an epoch brings, how large a step is, what is thawed, what is rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import batches, seeds
from stillroom.objectives import Objective
from stillroom.teachers._fitting import Examples, Plan

_WARM_UP = 0.06
_WINDOW = 64  # batches that texts of like length are looked for in
_FLOOR = 0.02  # the learning rate never falls below this share of its peak
_EASIEST = 0.3  # the share of rows that a curriculum begins with


@final
class Timetable:
    """What a plan comes to for these rows, at every epoch and step (the first of each is 0)."""

    def __init__(self, plan: Plan, rows: Examples, objectives: Sequence[Objective]) -> None:
        self.plan = plan
        self._lengths = [len(one) for one in rows.ids]
        self._shown = rows.shown
        self._easiest = _easiest_first(rows) if plan.curriculum else None
        self._staged = max((one.starts for one in objectives), default=0.0)
        self._window = 1 if plan.mixed else _WINDOW
        self.per_epoch = -(-len(self._lengths) // plan.batch_size)
        self._whole = plan.epochs * self.per_epoch

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return self._whole if self.plan.steps is None else min(self._whole, self.plan.steps)

    def share(self, step: int) -> float:
        """How much of training is over."""
        return step / max(1, self._whole)

    def rate(self, step: int) -> float:
        """Linear warm-up, then linear decay, as a share of the peak."""
        warm = max(1, round(_WARM_UP * self._whole))
        if step < warm:
            return (step + 1) / warm
        return max(_FLOOR, (self._whole - step) / max(1, self._whole - warm))

    def thawed(self, step: int) -> float:
        """The share of its strata that is trained, from the head down."""
        return min(1.0, self.share(step) / self.plan.unfreeze) if self.plan.unfreeze else 1.0

    @property
    def rounded_from(self) -> int | None:
        """The first epoch under the rounding of an export in eight bits: a whole epoch at least, if any."""
        if not self.plan.quantization_aware:
            return None
        return self.plan.epochs - max(1, round(self.plan.quantization_aware * self.plan.epochs))

    def rounds(self, epoch: int) -> bool:
        """Whether an epoch is under that rounding."""
        return self.rounded_from is not None and epoch >= self.rounded_from

    def more_to_come(self, *, epoch: int, step: int) -> bool:
        """Whether something new starts later: until it has, an epoch without a better score is no sign of an end."""
        rounds_later = epoch < (self.rounded_from or 0)
        return rounds_later or self.share(step) < max(self._staged, self.plan.unfreeze, self.plan.curriculum)

    def order(self, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch; under a curriculum, of the rows that have come in so far, drawn more than once.

        Rows that are emphasised come as often as that says: to optimizers that even out how large gradients are, a row
        that comes more often means more than one that weighs more (An et al., arXiv 2009.13447).
        """
        rng = seeds.generator(self.plan.seed, f"train/epoch/{epoch}")
        begun, count = epoch / self.plan.epochs, len(self._lengths)
        if self._easiest is None or begun >= self.plan.curriculum:
            if self._shown is None:
                return batches.by_rows(self._lengths, size=self.plan.batch_size, rng=rng, window=self._window)
            rows = _drawn(self._shown, count, rng=rng)
        else:
            share = _EASIEST + (1 - _EASIEST) * begun / self.plan.curriculum
            known = self._easiest[: max(1, round(share * len(self._easiest)))]
            if self._shown is not None:
                known = known[_drawn(self._shown[known], len(known), rng=rng)]
            rows = np.resize(rng.permutation(known), count)
        order = batches.by_rows([self._lengths[row] for row in rows], size=self.plan.batch_size, rng=rng,
                                window=self._window)  # fmt: skip
        return [rows[places] for places in order]


def _drawn(shown: NDArray[np.float32], count: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """So many rows, each as often as its part of the whole says, rounded up or down by chance (systematic sampling)."""
    ends = np.cumsum(shown, dtype=np.float64)
    places = (np.arange(count) + rng.random()) * (ends[-1] / count)
    return np.asarray(np.minimum(np.searchsorted(ends, places, side="right"), len(shown) - 1), dtype=np.int64)


def _easiest_first(examples: Examples) -> NDArray[np.int64] | None:
    """Rows by how sure the teacher is of them, the surest first; None where no teacher said how sure it is."""
    surest = examples.sureness
    return None if surest is None else np.argsort(-surest, kind="stable")
