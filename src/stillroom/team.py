"""Several processes that fit one network: each runs its share of a batch, and all of them take the very same step.

What each says of its share goes to all. So the loss is that of the whole batch everywhere, whatever it looks at (pairs
of texts, rows without gold, tokens), and its gradients by way of the shares add up to those of one process alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, final

from stillroom.core import seeds

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn


@final
class Team:
    """The processes of a fit, seen from one of them; where there is only one, nothing is done."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.count, self.place = accelerator.num_processes, accelerator.process_index

    def shares(self, rows: int) -> list[slice]:
        """The places of a batch that fall to each: as many to each, or one more; of a short batch none to some."""
        return [slice(rows * one // self.count, rows * (one + 1) // self.count) for one in range(self.count)]

    def whole(self, told: Tensor, shares: Sequence[slice]) -> Tensor:
        """What all say of a batch, from what each says of its share; gradients go into the own share alone."""
        import torch

        if self.count == 1:
            return told
        sizes = [one.stop - one.start for one in shares]
        told = told[: sizes[self.place]]
        padded = told.new_zeros((max(sizes), *told.shape[1:]))
        padded[: len(told)] = told.detach()
        heard = self._accelerator.gather(padded).split(len(padded))
        parts = [part[:size] for part, size in zip(heard, sizes, strict=True)]
        parts[self.place] = told
        return torch.cat(parts)

    def add_up(self, weights: Sequence[nn.Parameter], *, beside: Sequence[nn.Parameter] = ()) -> None:
        """Give each weight the gradient of the whole batch, the same to the last digit everywhere.

        `beside` are weights that every process used on the whole batch, not on its share.
        """
        import torch

        if self.count == 1:
            return
        for weight in beside:
            if weight.grad is not None:
                weight.grad /= self.count
        moved = [weight for weight in (*weights, *beside) if weight.grad is not None]
        dense = [weight.grad for weight in moved if weight.grad is not None and not weight.grad.is_sparse]
        if dense:
            flat = self._accelerator.reduce(torch.cat([one.flatten() for one in dense]))
            for one, total in zip(dense, flat.split([one.numel() for one in dense]), strict=True):
                one.copy_(total.view_as(one))
        for weight in moved:
            if weight.grad is not None and weight.grad.is_sparse:
                weight.grad = self._together(weight.grad.coalesce())

    def _together(self, gradient: Tensor) -> Tensor:
        """A sparse gradient with the rows of all: not every line between devices can add such up."""
        import torch

        places, values = (
            self._accelerator.gather(self._accelerator.pad_across_processes(one.contiguous(), pad_index=-1))
            for one in (gradient.indices().T, gradient.values())
        )
        there = places[:, 0] >= 0
        return torch.sparse_coo_tensor(places[there].T, values[there], gradient.shape, check_invariants=False)

    def make_alike(self, tensors: Iterable[Tensor]) -> None:
        """Begin everywhere with what the main process has."""
        from accelerate.utils import broadcast

        if self.count > 1:
            for one in tensors:
                broadcast(one.detach())

    def total(self, found: Tensor) -> Tensor:
        """The sum over all, on the CPU."""
        if self.count == 1:
            return found
        summed: Tensor = self._accelerator.reduce(found.to(self._accelerator.device))
        return summed.cpu()

    def draw_apart(self, seed: int, *, step: int) -> None:
        """Give each its own noise (dropout): the main process that of one alone, the others some that needs no past."""
        import torch

        if self.place:
            torch.manual_seed(seeds.derive(seed, f"train/noise/{self.place}/{step}"))
