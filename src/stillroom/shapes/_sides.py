"""What a student and its teacher say, over the same outputs: the likeliest tokens, and all others in one."""

from __future__ import annotations

from typing import Any

from stillroom.core.scored import LEAST


def over(ids: Any, logits: Any) -> Any:
    """Logarithms of the probabilities of these tokens, and of all others together, from logits over the vocabulary.

    Of an id of −1, which is no token, next to nothing.
    """
    import torch

    own = logits.gather(-1, ids.clamp(min=0)) - logits.logsumexp(dim=-1, keepdim=True)
    own = torch.where(ids < 0, LEAST, own)
    # Where nothing counts, the same token stands there several times: held below one, it has a tail too.
    tail = torch.log(-torch.expm1(own.logsumexp(dim=-1, keepdim=True).clamp(max=-1e-6)))
    return torch.cat([own, tail], dim=-1)


def heard(ids: Any, likeliest: Any) -> Any:
    """A teacher's, with those of no token of the student's in the tail."""
    import torch

    foreign = ids < 0
    own = likeliest[..., :-1]
    parts = torch.cat([own.masked_fill(~foreign, LEAST), likeliest[..., -1:]], dim=-1)
    tail = torch.where(foreign.any(dim=-1, keepdim=True), parts.logsumexp(dim=-1, keepdim=True), likeliest[..., -1:])
    return torch.cat([own.masked_fill(foreign, LEAST), tail], dim=-1)
