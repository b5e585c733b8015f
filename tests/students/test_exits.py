"""A transformer that may answer early: heads that learn beside the last one, and pieces that are the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import stillroom
from stillroom import fitness, loop, pipeline, quantization
from stillroom.core import batches, plugins, recipe, signals
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Objective
from stillroom.students import Network, Staged, Student
from stillroom.students.transformer import exits
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples, Plan
from tests.conftest import LABELS, sentences
from tests.contracts.test_students import stirred
from tests.students.test_transformer import SHAPES, of

TASK = Classification(labels=LABELS)
TEXTS = [text for text, _ in sentences()]
SOME = TEXTS[:40:3]


def begun(teacher: Path, **settings: Any) -> Network:
    student: Student = plugins.build("students", {"kind": "transformer", **settings})
    return student.begin(task=TASK, studied=teacher, texts=iter(TEXTS), seed=5)


def batch(network: Network, texts: list[str]) -> list[torch.Tensor]:
    return [torch.from_numpy(one) for one in batches.pad(network.encode(texts))]


@pytest.mark.parametrize("kind", ["bert", *(kind for kind in SHAPES if kind != "gpt2")])
def test_the_pieces_one_after_the_other_are_the_whole(kind: str, classifier_folder: Path, tmp_path: Path) -> None:
    """Of every architecture, and of a network that is smaller in every other way too."""
    teacher = classifier_folder if kind == "bert" else of(kind, classifier_folder, tmp_path / "teacher")
    cut = {"vocabulary": "corpus", "feed_forward": 20}
    for more in ({}, cut if kind == "mpnet" else {**cut, "heads": 1, "width": 20}):
        network = stirred(begun(teacher, layers=2, exits=[1], **more))
        assert isinstance(network, Staged)
        ids, mask = batch(network, [*SOME, "great"])
        network.module.eval()
        with torch.inference_mode():
            told = network.tell(ids, mask, frozenset({"logits", "hidden.1"}))
            first, last = network.pieces()
            early, hidden = first(ids, mask)
            torch.testing.assert_close(early, told["exit.1"], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(hidden[mask], told["hidden.1"][mask], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(last(hidden, mask), network.module(ids, mask), atol=1e-5, rtol=1e-4)
        assert network.module.inner.config.num_hidden_layers == 2, "cutting it leaves it whole"


def test_it_tells_of_exits_whatever_is_wanted_and_of_nothing_else(classifier_folder: Path) -> None:
    network = begun(classifier_folder, layers=3, exits=[2])
    ids, mask = batch(network, SOME)
    for wanted in (signals.LOGITS, frozenset({"logits", "hidden.1", "embedding"}), frozenset({"hidden.2"})):
        assert set(network.tell(ids, mask, wanted)) == wanted | {"logits", "exit.2"}


def test_exits_change_nothing_at_the_end(classifier_folder: Path) -> None:
    plain, early = begun(classifier_folder, layers=3), begun(classifier_folder, layers=3, exits=[1, 2])
    ids, mask = batch(plain, SOME)
    torch.testing.assert_close(early.module(ids, mask), plain.module(ids, mask), atol=0.0, rtol=0.0)


def test_they_come_back_from_their_folder(classifier_folder: Path, tmp_path: Path) -> None:
    network = stirred(begun(classifier_folder, layers=3, exits=[1, 2], width=20, heads=1))
    network.save(tmp_path)
    again = plugins.build("students", "transformer").reopen(tmp_path, task=TASK)
    assert again.heads == network.heads == ("exit.1", "exit.2", "logits")
    ids, mask = batch(network, SOME)
    network.module.eval()
    one, other = (each.tell(ids, mask, signals.LOGITS) for each in (network, again))
    for head in network.heads:
        torch.testing.assert_close(one[head], other[head])
    plain = begun(classifier_folder, layers=3)
    (tmp_path / "plain").mkdir()
    plain.save(tmp_path / "plain")
    assert not (tmp_path / "plain" / exits.FILE).exists()


def test_a_head_reads_no_padding() -> None:
    torch.manual_seed(0)
    head = exits.Exit(width=6, classes=3)
    hidden, mask = torch.randn(2, 5, 6), torch.tensor([[True] * 5, [True, True, False, False, False]])
    mean = torch.stack([hidden[0].mean(dim=0), hidden[1, :2].mean(dim=0)])
    torch.testing.assert_close(head(hidden, mask), head.out(torch.tanh(head.dense(mean))))


def rows(network: Network) -> tuple[Examples, Examples]:
    """Rows with their labels, and a teacher who is sure of them."""
    gold = np.array([LABELS.index(label) for _, label in sentences()], dtype=np.int64)
    logits = np.where(np.arange(2)[None] == gold[:, None], 2.0, -2.0).astype(np.float32)
    ids = network.encode(TEXTS)
    held = np.arange(len(ids)) % 4 == 0
    train, dev = (
        Examples([ids[row] for row in np.flatnonzero(part)], gold[part], logits[part]) for part in (~held, held)
    )
    return train, dev


def test_what_is_about_answers_is_summed_over_the_heads_and_nothing_else_is(classifier_folder: Path) -> None:
    network = stirred(begun(classifier_folder, layers=3, exits=[1, 2]))
    train, dev = rows(network)
    mixture: tuple[Objective, ...] = tuple(
        plugins.build("objectives", {"kind": kind, "weight": weight})
        for kind, weight in (("forward_kl", 0.5), ("hard_label", 2.0), ("relational", 3.0))
    )
    learner = Learner(Beginner(network, train, dev, 1e-3, bf16=False), mixture, task=TASK, accelerator=Accelerator())
    some = np.arange(4)
    said = learner.say(some)
    target = learner.target(train, some, said)
    target = type(target)({**target.signals, "embedding": torch.randn(4, 32)}, target.gold, target.mask, None)
    found = learner.terms(said, target, share=0.0)
    assert set(found) == {"forward_kl", "hard_label", "relational"}
    for kind, objective in zip(("forward_kl", "hard_label"), mixture, strict=False):
        each = [objective.loss({"logits": said[head]}, target) for head in ("exit.1", "exit.2", "logits")]
        torch.testing.assert_close(found[kind], objective.weight * sum(each))
        assert len({round(float(one.detach()), 5) for one in each}) == 3
    once = mixture[2].loss({"embedding": said["embedding"], "logits": said["logits"]}, target)
    torch.testing.assert_close(found["relational"], 3.0 * once)


@pytest.mark.slow
def test_every_head_learns_and_dev_judges_the_last(classifier_folder: Path, tmp_path: Path) -> None:
    network = begun(classifier_folder, layers=3, exits=[1])
    train, dev = rows(network)
    plan = Plan(epochs=4, batch_size=16, learning_rate=2e-3, patience=9, seed=1, bf16=False)
    mixture = (plugins.build("objectives", "forward_kl"),)
    log = loop.fit(network, task=TASK, train=train, dev=dev, objectives=mixture, plan=plan, folder=tmp_path)
    padded, mask = (torch.from_numpy(one) for one in batches.pad(dev.ids))
    with torch.inference_mode():
        told = network.tell(padded, mask, signals.LOGITS)
    right = {head: float((told[head].argmax(dim=1).numpy() == dev.gold).mean()) for head in network.heads}
    assert right["exit.1"] > 0.9
    assert max(line["dev"]["accuracy"] for line in log) == pytest.approx(right["logits"])


def test_rounding_reaches_the_heads(classifier_folder: Path) -> None:
    """A student that is trained for eight bits is trained so up to its exits."""
    network = stirred(begun(classifier_folder, layers=2, exits=[1]))
    ids, mask = batch(network, SOME)
    plain = network.tell(ids, mask, signals.LOGITS)["exit.1"]
    with quantization.rounded([network.module.exits]):
        inside = network.tell(ids, mask, signals.LOGITS)["exit.1"]
    assert 0 < float((inside - plain).detach().abs().max()) < 0.1


@pytest.mark.parametrize(("layers", "asked"), [(3, [3]), (3, [0]), (3, [2, 1]), (3, [1, 1]), (1, [1]), (2, [-1])])
def test_exits_stand_below_the_last_layer_in_order(layers: int, asked: list[int]) -> None:
    with pytest.raises(RecipeError, match=f"rising order.*below the {layers} `layers`"):
        plugins.build("students", {"kind": "transformer", "layers": layers, "exits": asked})


def test_an_architecture_without_known_pieces_is_refused(classifier_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="`exits` out"):
        begun(of("gpt2", classifier_folder, tmp_path / "teacher"), layers=2, exits=[1])


def test_formats_of_exits_are_refused_for_who_has_none(toy: dict[str, Any]) -> None:
    toy["export"] = {"formats": ["onnx", "onnx_exits_int8"]}
    for student in (toy["student"], {"kind": "transformer", "layers": 2}):
        with pytest.raises(MismatchError, match=r"export.formats\[1\].*onnx_exits_int8.*answers at its end alone"):
            fitness.check(recipe.parse({**toy, "student": student}))
    fitness.check(recipe.parse({**toy, "student": {"kind": "transformer", "layers": 2, "exits": [1]}}))


@pytest.mark.slow
def test_the_whole_journey_with_exits(toy: dict[str, Any], tmp_path: Path) -> None:
    """Dev bears that all leave; what stands in manifest and bundle is what is served."""
    early = {"kind": "onnx_exits", "max_loss": 1.0, "min_speed": 1.0}
    toy |= {
        "student": {"kind": "transformer", "layers": 3, "exits": [1], "epochs": 2, "learning_rate": 2e-3},
        "export": {"formats": ["onnx", early, {**early, "kind": "onnx_exits_int8"}]},
    }
    run = pipeline.run(recipe.parse(toy), work=tmp_path)
    variants = {one["format"]: one for one in run.summary["student"]["variants"]}
    for name in ("onnx_exits", "onnx_exits_int8"):
        assert variants[name]["exit_share"] == 1.0
        assert 0.5 <= variants[name]["dev"]["accuracy"] <= 1.0
    described = json.loads((run.artifacts["export"].folder / "bundle.json").read_text(encoding="utf-8"))
    for name, runner in described["runners"].items():
        stillroom.load(run.folder, verify=True, runner=name)
        if name != "onnx":
            assert runner["chosen"]["threshold"] == runner["settings"]["threshold"] == variants[name]["threshold"]
