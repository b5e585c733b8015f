"""The bigru student: what torch's own two-way layer says of packed texts, and nothing of padding."""

from __future__ import annotations

from pathlib import Path
from typing import final

import numpy as np
import pytest
import torch
from onnx import load
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stillroom.formats import onnx
from stillroom.students.bigru.network import BiGru
from tests.contracts.test_students import begun, in_torch, stirred

UNITS, DIMENSIONS = 5, 7


def two_way(made: BiGru) -> nn.GRU:
    """Torch's own layer with the same weights."""
    whole = nn.GRU(DIMENSIONS, UNITS, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, weight in made.forwards.named_parameters():
            getattr(whole, name).copy_(weight)
        for name, weight in made.backwards.named_parameters():
            getattr(whole, f"{name}_reverse").copy_(weight)
    return whole


@pytest.mark.parametrize("lengths", [[1], [3, 1], [9, 2, 5, 4], [1, 9]])
def test_it_is_torchs_own_layer_over_packed_texts(lengths: list[int]) -> None:
    torch.manual_seed(2)
    made, counts = BiGru(UNITS, DIMENSIONS), torch.tensor(lengths)
    mask = torch.arange(max(lengths)) < counts[:, None]
    vectors = torch.randn(len(lengths), max(lengths), DIMENSIONS) * mask.unsqueeze(-1)
    packed = pack_padded_sequence(vectors, counts, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(two_way(made)(packed)[0], batch_first=True)
    expected = [
        torch.cat([one[:length].amax(dim=0), one[:length].mean(dim=0)])
        for one, length in zip(states, lengths, strict=True)
    ]
    torch.testing.assert_close(made(vectors, mask), torch.stack(expected))


def test_what_stands_in_padding_is_not_read() -> None:
    torch.manual_seed(2)
    made = BiGru(UNITS, DIMENSIONS)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    clean = torch.randn(2, 4, DIMENSIONS)
    soiled = torch.where(mask.unsqueeze(-1), clean, torch.tensor(1e3))
    torch.testing.assert_close(made(soiled, mask), made(clean, mask))


def test_the_order_of_distant_words_matters(classifier_folder: Path, tmp_path: Path) -> None:
    network = stirred(begun("bigru", classifier_folder, tmp_path)[1])
    middle = " ".join(["in every scene"] * 3)
    one, other = in_torch(network, [f"great {middle} dull", f"dull {middle} great"])
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.slow  # tracing one takes seconds
def test_one_exported_after_another_reads_texts_of_any_length_too(tmp_path: Path) -> None:
    for number in range(2):  # torch remembers how it wrote the layer before
        path = tmp_path / f"{number}.onnx"
        module = Whole(BiGru(4, 3).eval())
        onnx.trace(module, path, inputs=onnx.example(), outputs=("logits",))
        sizes = [one.dim_param for found in load(path).graph.input for one in found.type.tensor_type.shape.dim]
        assert sizes == ["batch", "length"] * 2


@final
class Whole(nn.Module):
    """The body over vectors that are made of ids."""

    def __init__(self, body: BiGru) -> None:
        super().__init__()
        self.body = body

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body(ids.unsqueeze(-1).float().expand(-1, -1, 3), mask)
        return found
