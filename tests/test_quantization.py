"""Rounding in training is the rounding of the export, and a network that learned under it bears it better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import nn

from stillroom import export, fitness, loop, pipeline, quantization
from stillroom.core import plugins, recipe
from stillroom.core.errors import MismatchError
from stillroom.objectives import Objective
from stillroom.students import Network
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples, Plan
from tests.conftest import LABELS, sentences
from tests.contracts.test_students import begun, in_torch, stirred

TASK = Classification(labels=LABELS)
pytestmark = pytest.mark.filterwarnings("ignore")


def written_by_onnx(linear: nn.Linear, folder: Path, *, bits: int = 7) -> Path:
    """The same layer as a graph of one product, quantized by the library itself."""
    weight = numpy_helper.from_array(linear.weight.detach().numpy().T.copy(), "w")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, linear.in_features])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, linear.out_features])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="m")], "g", [given], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save_model(model, folder / "plain.onnx")
    quantize_dynamic(folder / "plain.onnx", folder / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8,
                     reduce_range=bits == 7)  # fmt: skip
    return folder / "int8.onnx"


def quantized_by_onnx(linear: nn.Linear, inputs: torch.Tensor, folder: Path) -> np.ndarray[Any, Any]:
    """What that graph makes of some inputs."""
    written_by_onnx(linear, folder)
    session = onnxruntime.InferenceSession(folder / "int8.onnx", providers=["CPUExecutionProvider"])
    found: np.ndarray[Any, Any] = session.run(None, {"x": inputs.numpy()})[0] + linear.bias.detach().numpy()
    return found


@pytest.mark.parametrize("shift", [0.0, 3.0, -3.0])
def test_a_linear_layer_is_rounded_as_onnx_runtime_rounds_it(shift: float, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    linear = nn.Linear(64, 24)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(24, 64, generator=generator) * torch.logspace(-2, 1, 24)[:, None])
    inputs = torch.randn(50, 64, generator=generator) + shift
    with torch.no_grad(), quantization.rounded([linear]):
        ours = linear(inputs).numpy()
    plain = linear(inputs).detach().numpy()
    theirs = quantized_by_onnx(linear, inputs, tmp_path)
    size = np.abs(plain).max(axis=0)
    np.testing.assert_allclose(ours / size, theirs / size, atol=1e-5)
    assert np.abs((plain - theirs) / size).max() > 1e-3  # else the test could not see a missing rounding


@pytest.mark.parametrize("bits", [7, 8])
def test_weights_are_those_that_the_export_holds_in_as_many_bits(bits: int, tmp_path: Path) -> None:
    """Read from its file: what processors without VNNI make of eight bits is another matter."""
    linear = nn.Linear(64, 24)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(24, 64, generator=torch.Generator().manual_seed(1)))
    held = {one.name: numpy_helper.to_array(one)
            for one in onnx.load(written_by_onnx(linear, tmp_path, bits=bits)).graph.initializer}  # fmt: skip
    theirs = held["w_quantized"].astype(np.float32) * held["w_scale"]
    assert not held["w_zero_point"].any()
    with torch.no_grad():
        np.testing.assert_allclose(quantization.weights(linear.weight, bits=bits).numpy(), theirs.T, atol=1e-6)
        with quantization.rounded([linear], weight_bits=bits):
            spoken = linear(torch.eye(64)) - linear.bias
    np.testing.assert_allclose(spoken.numpy(), theirs, atol=1e-5)


def recipe_of(toy: dict[str, Any], *formats: Any, **student: Any) -> recipe.Recipe:
    changes = {"student": student, "train": {"quantization_aware": 0.5}, "export": {"formats": list(formats)}}
    return recipe.parse({**toy, **changes})


@pytest.mark.parametrize("kind", ["static", "cnn", "bigru", "bag"])
def test_who_is_served_with_other_layers_is_refused(toy: dict[str, Any], kind: str) -> None:
    with pytest.raises(MismatchError, match=f"a {kind} student, which is rounded otherwise"):
        fitness.check(recipe_of(toy, "onnx_int8", kind=kind))
    fitness.check(recipe_of(toy, "onnx_int8", kind="transformer"))


def test_bits_are_those_of_the_format(toy: dict[str, Any]) -> None:
    eight = {"kind": "onnx_int8", "weight_bits": 8}
    for formats, bits in ((["onnx"], 7), (["onnx", "onnx_int8"], 7), (["onnx", eight], 8)):
        found = recipe_of(toy, *formats, kind="transformer")
        fitness.check(found)
        assert export.weight_bits(found.export) == bits
    with pytest.raises(MismatchError, match="7 and 8 bits"):
        fitness.check(recipe_of(toy, "onnx_int8", eight, kind="transformer"))


@pytest.mark.parametrize("bits", [7, 8])
def test_a_fit_is_under_as_many_bits_as_its_plan_says(
    bits: int, classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, seen = quantization.weights, set()

    def weights(one: torch.Tensor, *, bits: int) -> torch.Tensor:
        seen.add(bits)
        return plain(one, bits=bits)

    monkeypatch.setattr(quantization, "weights", weights)
    network = begun("transformer", classifier_folder, tmp_path)[1]
    texts = [text for text, _ in sentences()]
    fitted(network, share=0.2, logits=np.zeros((len(texts), 2), dtype=np.float32), folder=tmp_path / "fit", epochs=1,
           weight_bits=bits)  # fmt: skip
    assert seen == {bits}


def test_the_journey_trains_under_the_bits_of_its_format(
    toy: dict[str, Any], classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[Plan] = []

    def fit(network: Network, *, plan: Plan, **rest: Any) -> Any:
        plans.append(plan)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "fit", fit)
    toy["teacher"] = {"kind": "huggingface", "model": str(classifier_folder)}
    for bits in (7, 8):
        eight = {"kind": "onnx_int8", "weight_bits": bits}
        with pytest.raises(KeyboardInterrupt):
            pipeline.run(recipe_of(toy, eight, kind="transformer"), work=tmp_path / "work", until="train")
    assert [plan.weight_bits for plan in plans] == [7, 8]
    assert len(list((tmp_path / "work").glob("student/.draft-*"))) == 2, "the bits are part of what a student is"


def test_rounding_is_idempotent_bounded_and_keeps_zero() -> None:
    plain = torch.randn(7, 9, generator=torch.Generator().manual_seed(2)) * 5
    plain[0, 0] = 0.0
    for one in (quantization.weights, quantization.activations):
        once = one(plain)
        torch.testing.assert_close(one(once), once, atol=1e-5, rtol=0)
        assert float(once[0, 0]) == 0.0
    step = (plain.max() - plain.min()) / 255
    assert float((quantization.activations(plain) - plain).abs().max()) <= float(step) * 0.51 + 1e-6
    assert torch.equal(quantization.activations(torch.zeros(2, 3)), torch.zeros(2, 3))
    assert torch.equal(quantization.weights(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_gradients_pass_straight_through_and_nothing_stays_behind() -> None:
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    ids = torch.tensor([0, 3, 3])
    before = network(ids)
    with quantization.rounded([network]):
        during = network(ids)
        during.sum().backward()
    assert not torch.equal(before, during)
    torch.testing.assert_close(network(ids), before, atol=0, rtol=0)
    assert "forward" not in vars(network[1])
    assert network[0].weight.grad is not None
    assert network[1].weight.grad is not None
    with torch.no_grad(), quantization.rounded([network[:1]]):
        seen = network[0](ids).sum(dim=0)
    torch.testing.assert_close(network[1].weight.grad, seen.expand(3, 4), atol=0.05, rtol=0.05)


def planted(network: Network) -> Network:
    """The network with a few rows of weights that are far larger than the rest: what rounding is bad at."""
    stirred(network)
    with torch.no_grad():
        for name, weight in network.module.named_parameters():
            if "LayerNorm.weight" in name:
                weight[0] = 12.0
    return network


def served_in_eight_bits(network: Network, folder: Path, texts: list[str]) -> np.ndarray[Any, Any]:
    folder.mkdir(exist_ok=True)
    network.save(folder)
    runner, _ = plugins.build("formats", "onnx_int8").write(network, folder)
    found: np.ndarray[Any, Any] = runner.open(folder, threads=1)(texts)
    return found


@pytest.mark.slow
def test_a_network_rounded_in_torch_is_near_its_export(classifier_folder: Path, tmp_path: Path) -> None:
    network = planted(begun("transformer cut", classifier_folder, tmp_path)[1])
    texts = [text for text, _ in sentences()[:1]] * 8  # one batch without padding, on both sides the same
    plain = in_torch(network, texts)
    with quantization.rounded([network.module]):
        ours = in_torch(network, texts)
    theirs = served_in_eight_bits(network, tmp_path / "out", texts)
    assert np.abs(ours - theirs).mean() < 0.35 * np.abs(plain - theirs).mean()


def fitted(
    network: Network, *, share: float, logits: np.ndarray[Any, Any], folder: Path, **chosen: Any
) -> list[dict[str, Any]]:
    ids = network.encode([text for text, _ in sentences()])
    every, held = np.arange(len(ids)) % 4 != 0, np.arange(len(ids)) % 4 == 0
    train, dev = (
        Examples([ids[row] for row in np.flatnonzero(rows)], logits[rows].argmax(axis=1).astype(np.int64), logits[rows])
        for rows in (every, held)
    )
    objectives: tuple[Objective, ...] = (plugins.build("objectives", "logit_mse"),)
    settings = {"epochs": 6, "batch_size": 32, "learning_rate": 3e-3, "patience": 9, "seed": 1, "bf16": False}
    plan = Plan(**{**settings, "quantization_aware": share, **chosen})
    return loop.fit(network, task=TASK, train=train, dev=dev, objectives=objectives, plan=plan, folder=folder)


@pytest.mark.slow
def test_what_learned_under_rounding_loses_less_by_it(classifier_folder: Path, tmp_path: Path) -> None:
    texts = [text for text, _ in sentences()]
    target = in_torch(planted(begun("transformer", classifier_folder, tmp_path)[1]), texts)
    target = target + np.array([0.3, -0.3], dtype=np.float32)
    losses = {}
    for share in (0.0, 0.5):
        network = planted(begun("transformer", classifier_folder, tmp_path)[1])
        log = fitted(network, share=share, logits=target, folder=tmp_path / f"fit{share}")
        assert [bool(line.get("rounded")) for line in log] == [share > 0 and epoch >= 3 for epoch in range(6)]
        with quantization.rounded([network.module]):
            losses[share] = loss(in_torch(network, texts[::4]), target[::4])
    assert losses[0.5] < 0.9 * losses[0.0], losses


def loss(said: np.ndarray[Any, Any], target: np.ndarray[Any, Any]) -> float:
    """Logit MSE, both sides centred."""
    gap = said - target
    return float(((gap - gap.mean(axis=1, keepdims=True)) ** 2).mean())


@pytest.mark.slow
def test_only_epochs_under_rounding_are_chosen_from(classifier_folder: Path, tmp_path: Path) -> None:
    """Weights that were better before rounding began are not what is kept: they were never judged under it."""
    network = begun("transformer", classifier_folder, tmp_path)[1]
    target = in_torch(network, [text for text, _ in sentences()])  # at its start it is right: it can only get worse
    log = fitted(network, share=0.3, logits=target, folder=tmp_path / "fit")
    judged = [line["dev"] for line in log if line.get("rounded")]
    assert len(judged) == 2
    with quantization.rounded([network.module]):
        found = loss(in_torch(network, [text for text, _ in sentences()[::4]]), target[::4])
    best = max(judged, key=lambda dev: (dev["accuracy"], -dev["loss"]))
    assert found == pytest.approx(best["loss"], rel=0.3, abs=1e-6)
