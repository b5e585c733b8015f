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


def spans(logits: Any, values: Any) -> tuple[Any, Any]:
    """What both say where a span begins, as `core.signals` lays it out, from logits and `core.spans.retold` lines.

    A span goes on up to the next line where the teacher tells of anything, and has the product of its tokens. In the
    student's numbers there is one for each line, and what is none is NaN in the teacher's.
    """
    import torch

    kept = (values.shape[-1] - 3) // 2
    begins = values[..., 1] > LEAST
    total = logits.logsumexp(dim=-1)
    tokens = (logits.gather(-1, values[..., kept + 2 : kept + 3].long()).squeeze(-1) - total).clamp(min=LEAST)
    number = begins.cumsum(dim=-1)
    sums = torch.zeros((*tokens.shape[:-1], tokens.shape[-1] + 1), dtype=tokens.dtype, device=tokens.device)
    whole = sums.scatter_add(-1, number, tokens).gather(-1, number)
    whole = torch.where(values[..., 0] < 0, whole, 0.0)
    best = logits.topk(min(kept, logits.shape[-1]), dim=-1).values - total.unsqueeze(-1)
    best = torch.nn.functional.pad(best, (0, kept - best.shape[-1]), value=LEAST)
    tail = torch.log(-torch.expm1(best.logsumexp(dim=-1, keepdim=True).clamp(max=-1e-6)))
    first = torch.where(begins, values[..., 0], torch.nan)
    its = torch.cat([first.unsqueeze(-1), values[..., 1 : kept + 2]], dim=-1)
    return torch.cat([whole.unsqueeze(-1), best, tail], dim=-1), its
