"""Takes out of a language model the tokens that its texts never hold: their vectors, and what tells of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stillroom.students import _trimming

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NAMED = ("bos_token_id", "eos_token_id", "pad_token_id")


def size(inner: Any) -> int:
    """How many outputs it has: at least as many as tokens."""
    return int(inner.get_input_embeddings().weight.shape[0])


def cut(inner: Any, tokenizer: str, counts: NDArray[np.int64]) -> tuple[str, NDArray[np.int64]]:
    """Leave the tokens that were counted, and those that any text can be read with.

    Gives the tokenizer that is left, and which of the old ids its ids were.
    """
    named = {int(one) for name in _NAMED for one in _listed(getattr(inner.config, name, None))}
    trimmed = _trimming.trim(tokenizer, counts, always=named)
    kept = torch.from_numpy(trimmed.kept)
    table, head = inner.get_input_embeddings(), inner.get_output_embeddings()
    tied = head.weight is table.weight
    table.weight = nn.Parameter(table.weight.detach()[kept].clone())
    head.weight = table.weight if tied else nn.Parameter(head.weight.detach()[kept].clone())
    if getattr(head, "bias", None) is not None:
        head.bias = nn.Parameter(head.bias.detach()[kept].clone())
    table.num_embeddings = head.out_features = inner.config.vocab_size = len(kept)
    # A vector of padding that no gradient reaches stands somewhere else now.
    table.padding_idx = None
    renumbered = {int(old): new for new, old in enumerate(trimmed.kept)}
    for told in (inner.config, inner.generation_config):
        for name in _NAMED:
            found = getattr(told, name, None)
            fresh = [renumbered[one] for one in _listed(found) if one in renumbered]
            setattr(told, name, fresh if isinstance(found, list) else next(iter(fresh), None))
    return trimmed.tokenizer, trimmed.kept


def _listed(found: Any) -> list[int]:
    """Ids that a config names, one or several or none."""
    return [] if found is None else list(found) if isinstance(found, list | tuple) else [int(found)]
