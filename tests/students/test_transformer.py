"""What a transformer student leaves out: the parts that matter least, gone for good, and everything else as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, DistilBertConfig, GPT2Config, MPNetConfig

from stillroom.core import plugins
from stillroom.core.errors import MismatchError
from stillroom.students import Network
from stillroom.students.transformer import pruning
from stillroom.tasks.classification import Classification
from stillroom.teachers import _pretrained
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences
from tests.contracts.test_students import in_torch

TASK = Classification(labels=LABELS)
TEXTS = [text for text, _ in sentences()]
SHAPES: dict[str, Any] = {
    "distilbert": DistilBertConfig(dim=32, n_layers=3, n_heads=4, hidden_dim=48, max_position_embeddings=64),
    "mpnet": MPNetConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                         max_position_embeddings=64),
    "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, pad_token_id=0),
}  # fmt: skip


def begun(teacher: Path, **settings: Any) -> Network:
    student = plugins.build("students", {"kind": "transformer", **settings})
    found: Network = student.begin(task=TASK, studied=teacher, texts=iter(TEXTS), seed=5)
    return found


@pytest.fixture
def studied(classifier_folder: Path, tmp_path: Path) -> Path:
    student = plugins.build("students", {"kind": "transformer"})
    (tmp_path / "studied").mkdir()
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path / "studied")
    return tmp_path / "studied"


def of(kind: str, tokenizer: Path, folder: Path) -> Path:
    config = SHAPES[kind]
    config.vocab_size = 300
    torch.manual_seed(2)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    shutil.copyfile(tokenizer / "tokenizer.json", folder / "tokenizer.json")
    return folder


def ids_of(network: Network) -> list[Any]:
    return network.encode(TEXTS[:64])


def test_heads_and_units_that_change_nothing_are_what_goes(studied: Path) -> None:
    """One head's way out and some units' way down are zero: without them the network says exactly the same."""
    inner = _pretrained.load_network(studied)
    with torch.no_grad():
        for number, layer in enumerate(pruning.parts(inner)):
            width = layer.out.in_features // 2
            layer.out.weight[:, number % 2 * width : (number % 2 + 1) * width] = 0.0
            layer.down.weight[:, number::4] = 0.0
    inner.save_pretrained(studied)
    whole, cut = begun(studied, layers=3), begun(studied, layers=3, heads=1, feed_forward=48)
    np.testing.assert_allclose(in_torch(cut, TEXTS[:40]), in_torch(whole, TEXTS[:40]), atol=1e-5)
    sizes = [sum(one.numel() for one in network.module.parameters()) for network in (whole, cut)]
    assert sizes[1] == sizes[0] - 3 * (4 * 16 * 32 + 3 * 16) - 3 * 16 * (2 * 32 + 1)
    assert cut.flops(8) < whole.flops(8)


def test_importance_is_the_gradient_of_a_switch(studied: Path) -> None:
    """Against finite differences: a switch on a head, turned a little, moves the log-probability by so much."""
    inner = _pretrained.load_network(studied).double()
    network = begun(studied)
    ids = network.encode(TEXTS[:1])
    found = pruning.importance(inner, ids, seed=3)
    layer = pruning.parts(inner)[1]
    table = torch.from_numpy(np.stack(ids)).long()

    def said(turned: float, start: int, stop: int, linear: torch.nn.Linear) -> torch.Tensor:
        def hook(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
            changed = inputs[0].clone()
            changed[..., start:stop] *= 1 + turned
            return (changed,)

        handle = linear.register_forward_pre_hook(hook)
        with torch.inference_mode():
            logits = inner(input_ids=table).logits / 4.0
        handle.remove()
        return torch.log_softmax(logits, dim=-1)[0]

    for worth, start, stop, linear in (
        (found[1].heads[1], 16, 32, layer.out),
        (found[1].units[7], 7, 8, layer.down),
    ):
        moved = (said(1e-4, start, stop, linear) - said(-1e-4, start, stop, linear)) / 2e-4
        assert float(worth) == pytest.approx(
            min(moved.abs().tolist(), key=lambda one: abs(one - float(worth))), rel=1e-3
        )


@pytest.mark.parametrize(("kind", "settings"), [("distilbert", {"heads": 2, "feed_forward": 20}),
                                                ("mpnet", {"feed_forward": 20})])  # fmt: skip
def test_other_architectures_are_cut_and_come_back(
    kind: str, settings: dict[str, int], classifier_folder: Path, tmp_path: Path
) -> None:
    network = begun(of(kind, classifier_folder, tmp_path / "teacher"), layers=2, vocabulary="corpus", **settings)
    (tmp_path / "saved").mkdir()
    network.save(tmp_path / "saved")
    again = plugins.build("students", "transformer").reopen(tmp_path / "saved", task=TASK)
    np.testing.assert_allclose(in_torch(again, TEXTS[:30]), in_torch(network, TEXTS[:30]), atol=1e-6)
    assert {layer.down.in_features for layer in pruning.parts(again.module.inner)} == {20}


@pytest.mark.parametrize(("kind", "settings", "said"), [
    ("gpt2", {"heads": 1}, "BERT"), ("mpnet", {"heads": 2}, "each layer"),
    ("distilbert", {"heads": 9}, "at most the 4"),
    ("distilbert", {"feed_forward": 99}, "at most the 48")])  # fmt: skip
def test_what_cannot_be_cut_is_refused(
    kind: str, settings: dict[str, int], said: str, classifier_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match=said):
        begun(of(kind, classifier_folder, tmp_path / "teacher"), layers=2, **settings)


def test_trimmed_to_its_corpus_it_says_the_same_of_it(studied: Path) -> None:
    few = TEXTS[::7]
    student = plugins.build("students", {"kind": "transformer", "vocabulary": "corpus"})
    network = student.begin(task=TASK, studied=studied, texts=iter(few), seed=5)
    whole = begun(studied)
    assert [len(one) for one in network.encode(few)] == [len(one) for one in whole.encode(few)]
    assert network.module.inner.config.vocab_size < whole.module.inner.config.vocab_size
    np.testing.assert_allclose(in_torch(network, few), in_torch(whole, few), atol=1e-6)


def test_a_static_student_trimmed_to_its_corpus_says_the_same_of_it(classifier_folder: Path, tmp_path: Path) -> None:
    said = []
    for vocabulary in ("teacher", "corpus"):
        student = plugins.build("students", {"kind": "static", "dimensions": 8, "hidden": 4, "vocabulary": vocabulary})
        if not said:
            student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(TEXTS[::7]), seed=5)
        said.append((len(network.module.vectors.weight), in_torch(network, TEXTS[::7])))
    assert said[1][0] < said[0][0]
    np.testing.assert_allclose(said[1][1], said[0][1], atol=1e-6)
