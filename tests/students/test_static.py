"""The static student begins with what its teacher says of each token alone, and learns only rows that it reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from tokenizers import Tokenizer
from transformers import AutoModel

from stillroom.core import batches, plugins
from stillroom.runtime.encoders.ngrams import NGrams
from stillroom.students.static.network import Growing
from stillroom.tasks.classification import Classification
from stillroom.teachers import _pretrained
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences

TASK = Classification(labels=LABELS)
TEXTS = [text for text, _ in sentences()]
SIF = 1e-3


@pytest.fixture
def studied(classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is taken from the teacher, in single precision whatever this CPU has instructions for."""
    monkeypatch.setattr(_pretrained, "cpu_computes_in_bf16", lambda: False)
    folder = tmp_path / "studied"
    folder.mkdir()
    student = plugins.build("students", {"kind": "static"})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), folder)
    return folder


def begun(studied: Path, **settings: Any) -> tuple[Any, Growing]:
    student = plugins.build("students", {"kind": "static", "hidden": 8, **settings})
    network = student.begin(task=TASK, studied=studied, texts=iter(TEXTS), seed=5)
    assert isinstance(network.module, Growing)
    return network, network.module


def read_alone(folder: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The teacher's mean last hidden state over each token between its special tokens, one text at a time."""
    body, tokenizer = AutoModel.from_pretrained(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))
    first, last = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    with torch.inference_mode():
        states = [body(torch.tensor([[first, token, last]])).last_hidden_state[0].mean(dim=0)
                  for token in range(tokenizer.get_vocab_size())]  # fmt: skip
    # Kept in half precision, and so taken from there.
    return torch.stack(states).numpy().astype(np.float16).astype(np.float64)


def test_vectors_begin_as_the_components_of_the_teachers_tokens(studied: Path, classifier_folder: Path) -> None:
    expected = PCA(n_components=6, svd_solver="full").fit_transform(read_alone(classifier_folder))
    expected /= np.linalg.norm(expected, axis=1).mean()
    found = begun(studied, dimensions=6)[1].vectors.weight.detach().numpy()
    # A component may point either way.
    expected *= np.sign((expected * found).sum(axis=0))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(found).max() > 0.1


def test_weights_begin_as_smooth_inverse_frequencies(studied: Path, classifier_folder: Path) -> None:
    """Arora et al. 2017: a / (a + p), p the share of a token in the texts, each counted half a time more than seen."""
    tokenizer = Tokenizer.from_file(str(classifier_folder / "tokenizer.json"))
    seen = Counter(token for text in TEXTS for token in tokenizer.encode(text, add_special_tokens=False).ids)
    counts = np.array([seen[token] + 0.5 for token in range(tokenizer.get_vocab_size())])
    expected = SIF / (SIF + counts / counts.sum())
    found = begun(studied)[1].log_weights.weight.detach().exp().numpy()[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[tokenizer.token_to_id("film")] < found[tokenizer.token_to_id("dull")] < found.max()


def test_only_rows_that_were_read_are_learned(studied: Path) -> None:
    """Dense gradients of such tables would cost as much as the whole table at every step."""
    network, module = begun(studied, features={"bits": 8}, token_dropout=0.0, feature_dropout=0.0)
    ids = network.encode(TEXTS[:3])
    padded, mask = (torch.from_numpy(one) for one in batches.pad(ids))
    module.train()
    module(padded, mask).logsumexp(dim=1).sum().backward()
    size = len(module.vectors.weight)
    read, scored = (
        {one - shift for one in padded.unique().tolist() if low <= one < high}
        for shift, low, high in ((0, 0, size), (size, size, size + 256))
    )
    for table in (module.vectors, module.log_weights, module.features.table):
        gradient = table.weight.grad
        assert gradient is not None
        assert gradient.is_sparse
    for table in (module.vectors, module.log_weights):
        rows = table.weight.grad.coalesce().indices()[0].tolist()
        assert set(rows) == read
        assert len(read) < len(table.weight)
    assert scored <= set(module.features.table.weight.grad.coalesce().indices()[0].tolist()) <= {0, *scored}
    assert not module.first.weight.grad.is_sparse


def test_features_stand_behind_the_tokens_that_it_would_read_without_them(studied: Path) -> None:
    plain, both = begun(studied)[0], begun(studied, features={"bits": 8})[0]
    size = len(both.module.vectors.weight)
    for text, ids in zip(TEXTS, both.encode(TEXTS), strict=True):
        buckets = NGrams(bits=8).open(Path())([text])[0]
        assert ids.tolist() == [*plain.encode([text])[0].tolist(), *(size + buckets).tolist()]


def test_without_a_step_features_change_nothing(studied: Path) -> None:
    """Their scores begin at zero, and what is masked or lies behind the tokens does not reach the mean."""
    plain, both = begun(studied)[0], begun(studied, features={"bits": 8})[0]
    both.module.load_state_dict(plain.module.state_dict(), strict=False)
    for network in (plain, both):
        network.module.eval()
    said = [network.module(*map(torch.from_numpy, batches.pad(network.encode(TEXTS)))) for network in (plain, both)]
    torch.testing.assert_close(*said)
    with torch.no_grad():
        both.module.features.table.weight[3] = 1.0
    moved = both.module(*map(torch.from_numpy, batches.pad(both.encode(TEXTS)))) - said[1]
    for text, change in zip(TEXTS, moved, strict=True):
        buckets = NGrams(bits=8).open(Path())([text])[0]
        added = both.module.features.pace * np.count_nonzero(buckets == 3) / np.sqrt(len(buckets))
        np.testing.assert_allclose(change.detach().numpy(), added, atol=1e-5)
