"""Dropout is set in every layout that a teacher can begin as, whether it has a module for it or a number."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    MarianConfig,
    MarianModel,
    Starcoder2Config,
    Starcoder2Model,
    T5Config,
    T5Model,
)

from stillroom.teachers._bases import _drop_out

PAIR: dict[str, Any] = {
    "vocab_size": 32, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 16,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2,
    "dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3,
}  # fmt: skip
ONE: dict[str, Any] = {"vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                       "intermediate_size": 32, "max_position_embeddings": 16}  # fmt: skip
LAYOUTS = {
    "bert": (BertModel, BertConfig(**ONE, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)),
    "bart": (BartModel, BartConfig(**PAIR)),
    "marian": (MarianModel, MarianConfig(**PAIR)),
    "llama": (LlamaModel, LlamaConfig(**ONE, num_key_value_heads=2, attention_dropout=0.3)),
    "starcoder2": (
        Starcoder2Model,
        Starcoder2Config(**ONE, num_key_value_heads=2, residual_dropout=0.3, attention_dropout=0.3),
    ),
    "gpt2": (GPT2Model, GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=16)),
    "t5": (T5Model, T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, dropout_rate=0.3)),
}


def test_a_number_without_a_point_is_one() -> None:
    part = torch.nn.Module()
    part.attention_dropout, part.width, part.dropout_name = 0, 0, "attention"  # type: ignore[assignment]  # as a layout
    _drop_out(torch.nn.Sequential(part), 0.5)
    assert (part.attention_dropout, part.width, part.dropout_name) == (0.5, 0, "attention")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_none_is_left_out_where_dropout_is_zero_and_some_where_it_is_not(layout: str) -> None:
    kind, config = LAYOUTS[layout]
    network: Any = kind(config).train()
    ids = torch.arange(3, 13)[None]
    asked = {"input_ids": ids, **({"decoder_input_ids": ids} if config.is_encoder_decoder else {})}

    def said() -> torch.Tensor:
        found: torch.Tensor = network(**asked).last_hidden_state
        return found

    assert not torch.equal(said(), said()), "as its configuration has it"
    _drop_out(network, 0.0)
    torch.testing.assert_close(said(), said(), rtol=0, atol=0)
    plain = said()
    _drop_out(network, 0.5)
    assert not torch.equal(said(), said())
    network.eval()
    torch.testing.assert_close(said(), plain, rtol=0, atol=0)
