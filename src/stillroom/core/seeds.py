"""Where chance comes from: one seed, and for each use a generator of its own, derived by name."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, name: str) -> int:
    """A 63-bit seed for one use, so that a new use never shifts the numbers of another."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, name: str) -> np.random.Generator:
    """A numpy generator for the use called `name`."""
    return np.random.default_rng(derive(seed, name))


def torch_generator(seed: int, name: str) -> torch.Generator:
    """A torch generator (on the CPU) for the use called `name`."""
    import torch

    return torch.Generator().manual_seed(derive(seed, name))


def of_device(device: torch.device) -> Any:
    """Torch's module for what a device has beside the CPU, its own chance among it; None for the CPU."""
    import torch

    return None if device.type == "cpu" else torch.get_device_module(device)
