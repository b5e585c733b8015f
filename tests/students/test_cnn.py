"""The cnn student: its sums are convolutions, order matters to it, and tables of numpy say what torch says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stillroom.core import plugins
from stillroom.core.errors import RecipeError
from stillroom.runtime.lexicon import Readings
from stillroom.runtime.runners import cnn as runner
from stillroom.students.cnn.network import Convolutions
from tests.conftest import sentences
from tests.contracts.test_students import ODD, TASK, begun, in_torch, stirred

WINDOWS, CHANNELS, DIMENSIONS = (1, 2, 4), 5, 7


def body() -> Convolutions:
    torch.manual_seed(3)
    made = Convolutions(WINDOWS, CHANNELS, DIMENSIONS)
    nn.init.normal_(made.bias)
    return made


def reference(made: Convolutions, text: torch.Tensor) -> torch.Tensor:
    """The same of one text `[length, dimensions]`, by torch's own convolution."""
    found, place = [], 0
    for number, window in enumerate(WINDOWS):
        part = made.weight[place * CHANNELS : (place + window) * CHANNELS].reshape(window, CHANNELS, DIMENSIONS)
        bias = made.bias[number * CHANNELS : (number + 1) * CHANNELS]
        padded = nn.functional.pad(text.T[None], (0, window - 1))
        answers = nn.functional.conv1d(padded, part.permute(1, 2, 0), bias)
        found.append(answers.relu().amax(dim=2)[0])
        place += window
    return torch.cat(found)


@pytest.mark.parametrize("lengths", [[1], [3, 1], [9, 2, 5, 4], [2, 9]])
def test_the_sums_are_convolutions(lengths: list[int]) -> None:
    made, longest = body(), max(lengths)
    texts = [torch.randn(length, DIMENSIONS) for length in lengths]
    padded = torch.stack([nn.functional.pad(one, (0, 0, 0, longest - len(one))) for one in texts])
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    found = made(padded, mask)
    torch.testing.assert_close(found, torch.stack([reference(made, one) for one in texts]))


def test_a_long_text_beside_it_does_not_lift_a_maximum() -> None:
    """Where every answer is negative, a window in padding would answer higher: with zero."""
    made = Convolutions((2,), 1, 1)
    with torch.no_grad():
        made.weight.fill_(-1.0)
        made.bias.fill_(5.0)
    text = torch.tensor([[[1.0], [1.0], [0.0], [0.0]]])
    found = made(text, torch.tensor([[True, True, False, False]]))
    assert float(found.detach()) == pytest.approx(5.0 - 1.0)  # its last window holds one token


def test_the_order_of_words_matters(classifier_folder: Path, tmp_path: Path) -> None:
    network = stirred(begun("cnn", classifier_folder, tmp_path)[1])
    one, other = in_torch(network, ["great not dull", "dull not great"])
    assert np.abs(one - other).max() > 1e-3
    pairless = plugins.build("students", {"kind": "cnn", "windows": [1], "dimensions": 16})
    texts = (text for text, _ in sentences())
    bagged = pairless.begin(task=TASK, studied=tmp_path / "studied", texts=texts, seed=1)
    one, other = in_torch(stirred(bagged), ["great not dull", "dull not great"])
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("windows", [[], [3, 2], [2, 2], [0, 1]])
def test_windows_that_make_no_sense_are_refused(windows: list[int]) -> None:
    with pytest.raises(RecipeError, match="windows"):
        plugins.build("students", {"kind": "cnn", "windows": windows})


@pytest.mark.parametrize("windows", [(1,), (3,), (1, 2), (2, 3, 4, 5)])
@pytest.mark.parametrize("by_chunks", [True, False])
def test_numpy_says_what_torch_says(
    windows: tuple[int, ...], by_chunks: bool, classifier_folder: Path, tmp_path: Path
) -> None:
    _, _ = begun("cnn", classifier_folder, tmp_path)
    student = plugins.build("students", {"kind": "cnn", "windows": windows, "channels": 3, "dimensions": 16})
    texts = [text for text, _ in sentences()[:70]] + ODD
    studied = tmp_path / "studied"
    network = stirred(student.begin(task=TASK, studied=studied, texts=iter(texts), seed=1))
    network.save(tmp_path)
    again = student.reopen(tmp_path, task=TASK)
    assert student.runner(tmp_path, texts=texts).by_chunks
    serve = runner.Cnn(encoder=again.encoder, windows=windows, by_chunks=by_chunks).open(tmp_path)
    expected = in_torch(again, texts)
    for _ in range(2):  # the second time every token is known
        np.testing.assert_allclose(serve(texts), expected, atol=1e-4)
    np.testing.assert_allclose(serve(texts[::-1])[::-1], expected, atol=1e-4)


def test_tables_that_are_full_start_anew(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, network = begun("cnn", classifier_folder, tmp_path)
    stirred(network).save(tmp_path)
    texts = [text for text, _ in sentences()]
    made: Any = student.runner(tmp_path, texts=texts)
    expected = made.open(tmp_path)(texts)
    monkeypatch.setattr(runner, "_NUMBERS", 1)
    np.testing.assert_allclose(made.open(tmp_path)(texts), expected, atol=1e-5)


def test_chunks_that_are_known_are_not_read_again(classifier_folder: Path) -> None:
    from stillroom.runtime.encoders.tokens import Tokens

    tokens = Tokens(special=False)
    read, read_chunks = tokens.open_both(classifier_folder)
    asked: list[str] = []

    def listening(chunks: Any) -> Any:
        asked.extend(chunks)
        return read_chunks(chunks)

    readings = Readings(read, listening, capacity=3)
    for texts in (["great film", "great"], ["film great", "", "great ️ film"], ["a dull film"]):
        for found, expected in zip(readings.by_chunks(texts), readings.whole(texts), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert asked == ["great", "film", "️", "a", "dull"]
    readings.by_chunks(["great"])  # it held more than three: it began anew
    assert asked[-1] == "great"
