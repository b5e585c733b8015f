"""Students that answer for words: bodies against plain reckoning, and a transformer cut every way it can be."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from stillroom.core import plugins
from stillroom.export import in_torch
from stillroom.students.bigru.network import LocalBiGru
from stillroom.students.cnn.network import LocalConvolutions
from stillroom.tasks.token_labelling import TokenLabelling
from tests.conftest import sentences
from tests.students.test_bigru import two_way
from tests.students.test_transformer import SHAPES

TASK = TokenLabelling(labels=("PER", "LOC"))
TEXTS = [text for text, _ in sentences()[::9]]


@pytest.mark.parametrize("lengths", [[1], [3, 1], [9, 2, 5, 4]])
def test_a_recurrent_body_is_torchs_own_layer_at_each_token(lengths: list[int]) -> None:
    torch.manual_seed(2)
    made, counts = LocalBiGru(5, 7), torch.tensor(lengths)
    mask = torch.arange(max(lengths)) < counts[:, None]
    vectors = torch.randn(len(lengths), max(lengths), 7) * mask.unsqueeze(-1)
    packed = pack_padded_sequence(vectors, counts, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(two_way(made)(packed)[0], batch_first=True)
    found = made(vectors, mask)
    assert found.shape[-1] == made.width
    torch.testing.assert_close(found[mask], torch.cat([vectors, states], dim=-1)[mask])


@pytest.mark.parametrize("windows", [(1,), (2, 3), (1, 4, 5)])
def test_windows_lie_around_their_token(windows: tuple[int, ...]) -> None:
    """Against torch's own convolution over texts with zeros around them."""
    torch.manual_seed(3)
    made, vectors = LocalConvolutions(windows, 4, 6), torch.randn(2, 8, 6)
    mask = torch.tensor([[True] * 8, [True] * 3 + [False] * 5])
    vectors = vectors * mask.unsqueeze(-1)
    found, place = [], 0
    for number, window in enumerate(windows):
        weight = made.weight[place : place + window * 4].view(window, 4, 6).permute(1, 2, 0)
        before = (window - 1) // 2
        padded = nn.functional.pad(vectors.transpose(1, 2), (before, window - 1 - before))
        found.append(nn.functional.conv1d(padded, weight, made.bias[4 * number : 4 * number + 4]).transpose(1, 2))
        place += window * 4
    expected = torch.cat([vectors, torch.relu(torch.cat(found, dim=2))], dim=2)
    torch.testing.assert_close(made(vectors, mask), expected)
    alone = made(vectors[1:, :3], mask[1:, :3])
    torch.testing.assert_close(made(vectors, mask)[1:, :3], alone, msg="what stands in padding is not read")


def teacher(kind: str, tokenizer: Path, folder: Path) -> Path:
    """A labeller of words of one architecture, its weights and gains all different."""
    from transformers import AutoModelForTokenClassification

    config = SHAPES[kind]
    config.vocab_size, config.num_labels = 300, len(TASK.outputs)
    torch.manual_seed(2)
    network = AutoModelForTokenClassification.from_config(config)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape) * 0.2)
    network.save_pretrained(folder)
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    return folder


def answers(folder: Path, **settings: Any) -> np.ndarray[Any, Any]:
    student = plugins.build("students", {"kind": "transformer", "layers": 2, **settings})
    network = student.begin(task=TASK, studied=folder, texts=iter(TEXTS), seed=4)
    network.module.eval()
    said = in_torch(network, TEXTS[:24], task=TASK)[0]
    return np.asarray(said.values)


@pytest.mark.parametrize("kind", ["distilbert", "electra", "mpnet", "roberta"])
def test_cut_to_its_own_size_a_labeller_of_words_says_what_it_said(
    kind: str, classifier_folder: Path, tmp_path: Path
) -> None:
    folder = teacher(kind, classifier_folder, tmp_path / "teacher")
    whole = answers(folder)
    assert np.ptp(whole, axis=0).max() > 0.1, "words that all get the same answer would hide a loss"
    config = SHAPES[kind]
    np.testing.assert_allclose(answers(folder, width=config.hidden_size), whole, atol=1e-4)
    np.testing.assert_allclose(answers(folder, vocabulary="corpus"), whole, atol=1e-5)
    if kind != "mpnet":  # its heads share what they know of positions
        np.testing.assert_allclose(answers(folder, heads=config.num_attention_heads), whole, atol=1e-5)
    assert np.abs(answers(folder, width=config.hidden_size // 2) - whole).max() > 1e-3
