"""One who is fitted: what it goes back to, and on which device it is spoken to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.numpy import save_file

from stillroom.core import plugins, signals
from stillroom.learner import Beginner, Learner
from stillroom.students import Student
from stillroom.students.static.network import StaticNetwork
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences

TASK = Classification(labels=LABELS)
ROWS, WIDTH = 12, 5


def learns(classifier_folder: Path, tmp_path: Path, accelerator: Any) -> Learner:
    """A narrow student with a projection and a queue beside it, and a teacher's vectors for its rows."""
    student: Student = plugins.build("students", {"kind": "static", "dimensions": 8, "hidden": 8})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
    texts = [text for text, _ in sentences()[:ROWS]]
    network = student.begin(task=TASK, studied=tmp_path, texts=iter(texts), seed=0)
    told = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float16)
    save_file({"embedding": told}, tmp_path / "told.safetensors")
    place = signals.Place(tmp_path / "told.safetensors", np.ones(ROWS, dtype=np.int64))
    rows = Examples(network.encode(texts), np.zeros(ROWS, dtype=np.int64), np.zeros((ROWS, 2), dtype=np.float32),
                    {"embedding": signals.Recorded("embedding", [place])})  # fmt: skip
    objectives = tuple(plugins.build("objectives", one) for one in ("hard_label", {"kind": "contrastive", "queue": 6}))
    return Learner(Beginner(network, rows, rows, 1e-1, bf16=False), objectives, task=TASK, accelerator=accelerator)


@pytest.fixture
def learner(classifier_folder: Path, tmp_path: Path) -> Learner:
    """Where there is nothing but a CPU."""
    return learns(classifier_folder, tmp_path, Accelerator(cpu=True))


def everything(learner: Learner) -> dict[str, Any]:
    held = {"network": learner.network.module, **learner.learned}
    return {f"{who} {name}": one.clone() for who, module in held.items() for name, one in module.state_dict().items()}


def step(learner: Learner) -> None:
    learner.turn(training=True)
    rows = np.arange(4)
    said = learner.say(rows)
    terms = learner.terms(said, learner.target(learner.train, rows, said), share=0.0)
    learner.take_step(torch.stack(list(terms.values())).sum(), rate=1.0)


@pytest.mark.parametrize("how", ["begin_anew", "settle"])
def test_what_is_learned_beside_a_student_goes_back_with_it(learner: Learner, how: str) -> None:
    step(learner)
    best = everything(learner)
    assert learner.keep_if_better({"accuracy": 0.9, "loss": 1.0})
    step(learner)
    last = everything(learner)
    assert not learner.keep_if_better({"accuracy": 0.8, "loss": 1.0})
    assert {"1 queue", "1 project.weight"} <= {name for name in best if not torch.equal(best[name], last[name])}
    getattr(learner, how)()
    for name, one in everything(learner).items():
        assert torch.equal(one, best[name]), name


class Elsewhere:
    """An accelerator whose device is not the CPU; `meta` is one on every machine, and refuses what lies on another."""

    device = torch.device("meta")
    num_processes, process_index = 1, 0


def test_on_another_device_everything_is_there(
    classifier_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it knows no `meta`
    plain, asked = StaticNetwork.tell, []

    def tell(network: StaticNetwork, ids: Any, mask: Any, wanted: Any) -> Any:
        asked.extend([ids.device.type, mask.device.type])
        return plain(network, ids, mask, wanted)

    monkeypatch.setattr(StaticNetwork, "tell", tell)
    learner = learns(classifier_folder, tmp_path, Elsewhere())
    assert set(learner.learned) == {1}
    rows = np.arange(4)
    said = learner.say(rows)
    target = learner.target(learner.train, rows, said)
    every = [*learner.trained, *said.values(), *target.signals.values(), target.gold, target.mask]
    assert {one.device.type for one in every} == {"meta"}
    assert asked == ["meta"] * 4, "for the widths of what is learned, and for the rows"


def test_a_fitted_network_is_left_on_the_cpu(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that it is asked to go there: weights that lie on `meta` can't come back."""
    moved: list[bool] = []
    monkeypatch.setattr(learner.network.module, "cpu", lambda: moved.append(True))
    learner.settle()
    assert moved
