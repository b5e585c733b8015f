"""Which of torch's ways to attend is learned with."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from stillroom import learner


@pytest.mark.parametrize(
    ("bf16", "tokens", "grad", "flash"),
    [(True, 20, True, False), (True, 200, True, True), (False, 20, True, True), (True, 20, False, True)],
)
def test_short_texts_in_bf16_are_learned_from_without_the_slow_way_back(
    bf16: bool, tokens: int, grad: bool, flash: bool
) -> None:
    one = torch.ones(2, 2, tokens, 8, requires_grad=True, dtype=torch.bfloat16 if bf16 else torch.float32)
    with nullcontext() if grad else torch.no_grad():
        chosen = learner.attention(torch.device("cpu"), bf16=bf16, tokens=tokens)
    with chosen:
        way = scaled_dot_product_attention(one, one, one).grad_fn
    assert way is not None
    assert ("Flash" in way.name()) is flash
