"""What a transformer student leaves out: the parts that matter least, gone for good, and everything else as it was."""

from __future__ import annotations

import shutil
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    MPNetConfig,
    RobertaConfig,
)

from stillroom.core import batches, plugins
from stillroom.core.errors import MismatchError
from stillroom.students import Network
from stillroom.students.transformer import network as network_
from stillroom.students.transformer import projection, pruning
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
    "roberta": RobertaConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                             max_position_embeddings=64),
    "electra": ElectraConfig(embedding_size=16, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                             intermediate_size=48, max_position_embeddings=64),
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


@pytest.mark.parametrize("of", range(1, 13))
def test_kept_layers_are_as_far_apart_as_they_go(of: int) -> None:
    """Against every choice there is: first and last are in, and no choice has its two nearest further apart."""
    assert network_.spaced(layers=1, of=of) == [of - 1]
    for layers in range(2, of + 1):
        kept = network_.spaced(layers=layers, of=of)
        assert (len(kept), kept[0], kept[-1]) == (layers, 0, of - 1)
        best = max(min(b - a for a, b in pairwise(one)) for one in combinations(range(of), layers))
        assert min(b - a for a, b in pairwise(kept)) == best


def test_three_layers_of_six_and_six_of_twelve() -> None:
    assert network_.spaced(layers=3, of=6) == [0, 2, 5]
    assert network_.spaced(layers=6, of=12) == [0, 2, 4, 7, 9, 11]


def test_kept_layers_are_the_teachers_own(studied: Path) -> None:
    theirs = _pretrained.load_network(studied, form=TASK.form).base_model.encoder.layer
    module: Any = begun(studied, layers=2).module
    ours = next(one for name, one in module.named_modules() if name.endswith("encoder.layer"))
    for own, layer in zip(ours, (theirs[0], theirs[2]), strict=True):
        for name, weight in layer.named_parameters():
            torch.testing.assert_close(own.get_parameter(name), weight)


def test_heads_and_units_that_change_nothing_are_what_goes(studied: Path) -> None:
    """One head's way out and some units' way down are zero: without them the network says exactly the same."""
    inner = _pretrained.load_network(studied, form=TASK.form)
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
    assert cut.flops(np.arange(8)) < whole.flops(np.arange(8))


def test_its_work_is_counted_where_its_weights_lie(studied: Path) -> None:
    """Only as far as what it is given: `meta` is a device on every machine, and can't run it."""
    given: set[str] = set()

    class Enough(Exception): ...

    def hear(module: torch.nn.Module, ids_and_mask: tuple[torch.Tensor, ...]) -> None:
        given.update(one.device.type for one in ids_and_mask)
        raise Enough

    network = begun(studied, layers=1)
    network.module.to("meta").register_forward_pre_hook(hear)
    with pytest.raises(Enough):
        network.flops(np.arange(4))
    assert given == {"meta"}


def test_importance_is_the_gradient_of_a_switch(studied: Path) -> None:
    """Against finite differences: a switch on a head, turned a little, moves the log-probability by so much."""
    inner = _pretrained.load_network(studied, form=TASK.form).double()
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


@pytest.mark.parametrize(("kind", "settings"), [("distilbert", {"heads": 2, "feed_forward": 20, "width": 20}),
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


def test_a_cut_student_of_an_old_checkpoint_comes_back(studied: Path, tmp_path: Path) -> None:
    """Old checkpoints call a layer norm's gain `gamma`; what `transformers` saves of them again does too."""
    weights = load_file(studied / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {name: one for name, one in weights.items() if not name.endswith(tuple(old))}
    for new, former in old.items():
        renamed |= {name.replace(new, former): one for name, one in weights.items() if name.endswith(new)}
    assert renamed.keys() != weights.keys()
    save_file(renamed, studied / "model.safetensors", metadata={"format": "pt"})
    network = begun(studied, layers=2, feed_forward=20)
    (tmp_path / "saved").mkdir()
    network.save(tmp_path / "saved")
    again = plugins.build("students", "transformer").reopen(tmp_path / "saved", task=TASK)
    np.testing.assert_allclose(in_torch(again, TEXTS[:30]), in_torch(network, TEXTS[:30]), atol=1e-6)


@pytest.mark.parametrize(("kind", "settings", "said"), [
    ("gpt2", {"heads": 1}, "BERT"), ("mpnet", {"heads": 2}, "each layer"),
    ("distilbert", {"heads": 9}, "at most the 4"),
    ("distilbert", {"feed_forward": 99}, "at most the 48"),
    ("gpt2", {"width": 16}, "BERT"), ("distilbert", {"width": 33}, "at most the 32")])  # fmt: skip
def test_what_cannot_be_cut_is_refused(
    kind: str, settings: dict[str, int], said: str, classifier_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match=said):
        begun(of(kind, classifier_folder, tmp_path / "teacher"), layers=2, **settings)


def stirred(folder: Path) -> Any:
    """The classifier with weights of some size, and with gains and biases that are not those of a new network."""
    inner = _pretrained.load_network(folder, form=TASK.form)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in inner.named_parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * (0.3 if weight.dim() == 1 else 0.15))
            assert "LayerNorm.weight" not in name or float(weight.std()) > 0.1
    inner.save_pretrained(folder)
    return inner


@pytest.mark.parametrize("kind", ["bert", "distilbert", "electra", "mpnet", "roberta"])
def test_at_the_teacher_s_own_width_nothing_is_lost(
    kind: str, studied: Path, classifier_folder: Path, tmp_path: Path
) -> None:
    folder = studied if kind == "bert" else of(kind, classifier_folder, tmp_path / "teacher")
    stirred(folder)
    whole, turned = begun(folder, layers=2), begun(folder, layers=2, width=32)
    expected = in_torch(whole, TEXTS[:40])
    assert np.ptp(expected, axis=0).max() > 0.1, "texts that all get the same answer would hide a loss"
    np.testing.assert_allclose(in_torch(turned, TEXTS[:40]), expected, atol=2e-5)
    held, moved = (dict(network.module.named_parameters()) for network in (whole, turned))
    assert not any(torch.equal(held[name], moved[name]) for name in held if name.endswith("query.weight"))


def test_directions_in_which_nothing_runs_are_what_goes(studied: Path) -> None:
    """Eight coordinates are silent: what is left are twenty-four, and the mean that every norm takes out."""
    inner = stirred(studied)
    with torch.no_grad():
        for stretch in projection.stretches(inner):
            for writer in stretch.writers:
                silent = writer.weight.T if isinstance(writer, torch.nn.Embedding) else writer.weight
                silent[5::4] = 0.0
                if isinstance(writer, torch.nn.Linear):
                    writer.bias[5::4] = 0.0
            if stretch.holder is not None:
                stretch.norm.weight[5::4] = stretch.norm.bias[5::4] = 0.0
    inner.save_pretrained(studied)
    silent_ones = len(range(5, 32, 4))
    expected = in_torch(begun(studied, layers=3), TEXTS[:40])
    enough, too_few = (
        in_torch(begun(studied, layers=3, width=32 - silent_ones + more), TEXTS[:40]) for more in (1, -3)
    )
    np.testing.assert_allclose(enough, expected, atol=2e-5)
    assert np.abs(too_few - expected).max() > 1e-3


def test_a_basis_is_orthonormal_keeps_the_mean_and_what_varies_most() -> None:
    generator = torch.Generator().manual_seed(1)
    moment = torch.randn(40, 12, generator=generator, dtype=torch.float64)
    moment = moment @ moment.T
    own = projection.basis(moment, 9)
    torch.testing.assert_close(own.T @ own, torch.eye(9, dtype=torch.float64))
    torch.testing.assert_close(own.mean(dim=0), torch.full((9,), 9**-0.5 * 40**-0.5, dtype=torch.float64))
    torch.testing.assert_close(own.sum(dim=1), torch.full((40,), 9**0.5 * 40**-0.5, dtype=torch.float64))
    centred = torch.eye(40, dtype=torch.float64) - 1 / 40
    kept = torch.trace(own.T @ centred @ moment @ centred @ own)
    torch.testing.assert_close(kept, torch.linalg.eigvalsh(centred @ moment @ centred)[-8:].sum())


@pytest.mark.slow
def test_a_narrow_start_is_ahead_of_a_random_one_and_stays_there(studied: Path) -> None:
    """Of one shape, before the first step and after some, each at the rate that is best for it; on other texts too."""
    stirred(studied)
    expected = torch.from_numpy(in_torch(begun(studied, layers=3), TEXTS))
    varies = float(expected.var(dim=0).mean())
    projected, drawn = (
        np.min([learning_curve(studied, expected, drawn=drawn, rate=rate) for rate in (3e-4, 3e-3)], axis=0) / varies
        for drawn in (False, True)
    )
    assert projected[0] < 0.7 < 1.0 < drawn[0], (projected, drawn)
    assert (projected[1:] < 0.7 * drawn[1:]).all(), (projected, drawn)


def learning_curve(studied: Path, expected: torch.Tensor, *, drawn: bool, rate: float) -> list[float]:
    """How far a student of half the width is off: at its start, after some steps, and then on other texts."""
    network = begun(studied, layers=3, width=16, freeze_embeddings=False)
    if drawn:
        redraw(network)
    padded, mask = (torch.from_numpy(one) for one in batches.pad(network.encode(TEXTS)))
    optimizer = torch.optim.AdamW(network.module.parameters(), lr=rate)
    gaps = []
    for _ in range(16):
        gap = (network.module(padded[::4], mask[::4]) - expected[::4]).square().mean()
        gaps.append(float(gap.detach()))
        optimizer.zero_grad()
        gap.backward()
        optimizer.step()
    elsewhere = float(np.square(in_torch(network, TEXTS[1::4]) - expected[1::4].numpy()).mean())
    return [gaps[0], gaps[-1], elsewhere]


def redraw(network: Network) -> None:
    """The weights as its architecture draws them, tables and head too."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, weight in network.module.named_parameters():
            # The map after a norm would be the identity in a new network.
            fresh = torch.eye(len(weight)) if "LayerNorm.1.weight" in name else torch.zeros_like(weight)
            drawn = weight.dim() == 2 and "LayerNorm" not in name
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02 if drawn else fresh)


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


def test_a_search_may_narrow_a_width_that_was_asked_for_and_no_other() -> None:
    assert "width" not in plugins.build("students", "transformer").spans()
    span = plugins.build("students", {"kind": "transformer", "width": 192}).spans()["width"]
    assert (span.low, span.high, span.whole) == (96, 192, True)
