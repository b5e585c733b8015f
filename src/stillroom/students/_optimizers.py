"""Optimizers for a network with large tables: with sparse gradients a step costs what its rows cost, not the table."""

from __future__ import annotations

import torch
from torch import nn


def sparse_apart(module: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Sparse Adam for the tables with sparse gradients, if there are any, and AdamW for the rest."""
    tables = [one.weight for one in module.modules() if isinstance(one, nn.Embedding) and one.sparse]
    apart = {id(weight) for weight in tables}
    dense = [weight for weight in module.parameters() if id(weight) not in apart]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(dense, lr=learning_rate, foreach=False)]
    return [*found, torch.optim.SparseAdam(tables, lr=learning_rate)] if tables else found
