"""What a step of a language model holds in memory for its way back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from stillroom import learner
from stillroom.students.decoder import network as decoder


@pytest.mark.parametrize("layout", ["llama", "gpt2", "gpt_neox"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_long_texts_are_learned_from_in_less_memory_and_to_the_digit(
    layout: str, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
           "intermediate_size": 64, "max_position_embeddings": 64, "attention_dropout": dropout,
           "resid_pdrop": dropout, "hidden_dropout": dropout}  # fmt: skip
    network = decoder.NextTokens(AutoModelForCausalLM.from_config(AutoConfig.for_model(layout, **own))).train()
    for weight in network.inner.get_input_embeddings().parameters():
        weight.requires_grad_(False)
    learned = [weight for weight in network.parameters() if weight.requires_grad]
    ids = torch.arange(3, 39)[None].repeat(4, 1)

    def stepped() -> tuple[Any, list[Any], int]:
        held: dict[int, int] = {}

        def noted(tensor: Any) -> Any:
            held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        torch.manual_seed(5)
        with torch.autograd.graph.saved_tensors_hooks(noted, lambda one: one):
            loss = network(ids, torch.ones_like(ids, dtype=torch.bool)).logsumexp(dim=-1).mean()
        return loss, list(torch.autograd.grad(loss, learned, allow_unused=True)), sum(held.values())

    assert decoder._LONG == learner._FEW_TOKENS, "how these are attended to is chosen around a step"
    whole, slopes, much = stepped()
    monkeypatch.setattr(decoder, "_LONG", 35)
    torch.testing.assert_close(stepped()[2], much, msg="as many tokens as may be held")
    monkeypatch.setattr(decoder, "_HELD", 100)
    again, same, little = stepped()
    assert little < much / 2
    torch.testing.assert_close(again, whole, rtol=0, atol=0)
    for one, other in zip(same, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    monkeypatch.setattr(decoder, "_LONG", 36)
    assert stepped()[2] > little, "short texts are held"
