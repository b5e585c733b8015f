"""Which of several processes this is, where a launcher started more than one, and how they wait for each other.

All of them travel the same journey over one work folder. The main one makes what is made once, writes and speaks; the
others wait for its word, as long as it takes. Its end, however it comes, ends their waiting.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stillroom.core.errors import OutsideError, Problem

if TYPE_CHECKING:
    from accelerate import Accelerator

# What torchrun and the common kinds of mpirun set, and `accelerate` reads.
_RANK = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
_COUNT = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_LIMIT = timedelta(days=365)  # for a word: a teacher may take days


def count() -> int:
    """How many there are."""
    return _number(_COUNT, alone=1)


def is_main() -> bool:
    """Whether this is the main one, or the only one."""
    return count() == 1 or _number(_RANK, alone=0) == 0


def _number(names: Sequence[str], *, alone: int) -> int:
    return next((int(os.environ[name]) for name in names if name in os.environ), alone)


def tell(word: bool) -> None:
    """The main one's word to the others.

    Raises:
        OutsideError: one of them is gone.
    """
    if count() > 1:
        _pass(word)


def hear() -> bool:
    """The main one's next word.

    Raises:
        OutsideError: it is gone.
    """
    return _pass(False)


def meet() -> None:
    """Go on when all have come as far."""
    if count() > 1:
        import torch

        torch.distributed.barrier(group=_line())


def accelerator() -> Accelerator:
    """What knows the devices and carries tensors between processes; how exactly to compute is a plan's to say."""
    import torch
    from accelerate import Accelerator

    # Of several processes on CPUs alone it knows only when told.
    return Accelerator(cpu=count() > 1 and not torch.accelerator.is_available(), mixed_precision="no")


def _pass(word: bool) -> bool:
    import torch

    said = torch.tensor([word])
    try:
        torch.distributed.broadcast(said, src=0, group=_line())
    except RuntimeError as error:
        found, todo = "one that ended before its work was done", "See what it said: it is the first that failed."
        raise OutsideError(Problem("another process", found, "all of them to the end", todo)) from error
    return bool(said)


@functools.cache
def _line() -> Any:
    """A line of their own, on the CPU: on a device's, waiting is work, and ends after minutes."""
    import torch

    accelerator()
    return torch.distributed.new_group(backend="gloo", timeout=_LIMIT)
