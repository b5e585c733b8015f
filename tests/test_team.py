"""Several processes take the step that one alone would take; here they are threads, which pass tensors for real."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from stillroom.core import plugins, signals
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Objective
from stillroom.students import Network, Student
from stillroom.tasks.classification import Classification
from stillroom.teachers._fitting import Examples
from stillroom.teachers.huggingface import Checkpoint
from stillroom.team import Team
from tests.conftest import LABELS, sentences

TASK = Classification(labels=LABELS)
ROWS, WIDTH, PATIENCE_SECONDS = 23, 5, 20
#: Two whole batches, one that is too short for three, and one of a single row.
BATCHES = (np.arange(10), np.arange(10, 20), np.arange(20, 22), np.arange(22, 23))


class Line:
    """What carries tensors between threads, as `accelerate` does between processes."""

    def __init__(self, count: int) -> None:
        self._held: list[Any] = [None] * count
        self._barrier = threading.Barrier(count, timeout=PATIENCE_SECONDS)

    def all(self, place: int, own: torch.Tensor) -> list[torch.Tensor]:
        self._barrier.wait()
        self._held[place] = own.detach().clone()
        self._barrier.wait()
        return list(self._held)


class One:
    """One of them."""

    device = torch.device("cpu")

    def __init__(self, line: Line, place: int, count: int) -> None:
        self._line, self.process_index, self.num_processes = line, place, count
        self._real = Accelerator(cpu=True)
        self.gradients: list[Any] = []

    def gather(self, own: torch.Tensor) -> torch.Tensor:
        found = self._line.all(self.process_index, own)
        assert len({one.shape for one in found}) == 1, "real processes hang where shapes differ"
        return torch.cat(found)

    def reduce(self, own: torch.Tensor) -> torch.Tensor:
        return torch.stack(self._line.all(self.process_index, own)).sum(dim=0)

    def pad_across_processes(self, own: torch.Tensor, *, pad_index: int) -> torch.Tensor:
        longest = max(len(one) for one in self._line.all(self.process_index, own))
        return torch.cat([own, own.new_full((longest - len(own), *own.shape[1:]), pad_index)])

    def backward(self, loss: torch.Tensor) -> None:
        self._real.backward(loss)

    def clip_grad_norm_(self, weights: Any, most: float) -> None:
        # Before they are clipped: after that, and to Adam, one scale is as good as another.
        self.gradients.append([one.grad.clone() for one in weights if one.grad is not None])
        self._real.clip_grad_norm_(weights, most)


@pytest.fixture
def alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads begin with copies of one network: what brings that about between processes is tested with processes."""
    monkeypatch.setattr(Team, "make_alike", lambda team, tensors: None)


@given(rows=st.integers(0, 50), count=st.integers(1, 9))
def test_every_row_falls_to_one(rows: int, count: int) -> None:
    accelerator: Any = One(Line(count), 0, count)
    shares = [list(range(rows))[one] for one in Team(accelerator).shares(rows)]
    assert list(chain(*shares)) == list(range(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def begun(kind: str, classifier_folder: Path, tmp_path: Path) -> tuple[Network, Examples]:
    """A student without noise, and rows of which some have no gold, with a teacher's vectors."""
    settings = {
        "static": {"dimensions": 8, "hidden": 8, "dropout": 0.0, "token_dropout": 0.0, "feature_dropout": 0.0},
        "transformer": {"layers": 2, "freeze_embeddings": False},
    }[kind]
    student: Student = plugins.build("students", {"kind": kind, **settings})
    student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), tmp_path)
    texts = [text for text, _ in sentences()[:: len(sentences()) // ROWS]][:ROWS]
    network = student.begin(task=TASK, studied=tmp_path, texts=iter(texts), seed=0)
    for module in network.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rng = np.random.default_rng(0)
    told = {"embedding": rng.normal(size=(ROWS, WIDTH)).astype(np.float16)}
    ids = network.encode(texts)
    lengths = np.array([len(one) for one in ids])
    told["hidden.2"] = rng.normal(size=(lengths.sum(), WIDTH)).astype(np.float16)
    save_file(told, tmp_path / "told.safetensors")
    place = signals.Place(tmp_path / "told.safetensors", lengths)
    names = ("embedding",) if kind == "static" else ("embedding", "hidden.2")
    further = {name: signals.Recorded(name, [place]) for name in names}
    gold = np.where(rng.random(ROWS) < 0.6, -1, rng.integers(0, 2, ROWS))
    return network, Examples(ids, gold, rng.normal(size=(ROWS, 2)).astype(np.float32), further, layers=2)


MIXTURE = ("forward_kl", "hard_label", "relational", {"kind": "contrastive", "queue": 6})


def mixture(kind: str) -> tuple[Objective, ...]:
    """What looks at rows, at rows that count, at pairs, at batches before, and at tokens."""
    inside = ({"kind": "hidden", "layers": "last"},) if kind == "transformer" else ()
    return tuple(plugins.build("objectives", one) for one in (*MIXTURE, *inside))


def learner(network: Network, rows: Examples, objectives: tuple[Objective, ...], accelerator: Any) -> Learner:
    torch.manual_seed(0)  # for what objectives learn
    return Learner(Beginner(network, rows, rows, 1e-2, bf16=False), objectives, task=TASK, accelerator=accelerator)


def steps(one: Learner) -> tuple[list[Any], dict[str, float]]:
    """Every weight, what is kept beside them and every gradient, step by step, and what dev says in the end."""
    seen: list[Any] = []
    one.turn(training=True)
    for batch in BATCHES:
        said = one.say(batch)
        terms = one.terms(said, one.target(one.train, batch, said), share=0.0)
        one.take_step(torch.stack(list(terms.values())).sum(), rate=1.0)
        kept = [buffer for module in one.learned.values() for buffer in module.buffers()]
        sparse = [weight.grad.to_dense() for weight in one.trained if weight.grad is not None and weight.grad.is_sparse]
        seen.append([weight.detach().clone() for weight in (*one.trained, *kept)] + sparse)
    return seen, one.judge()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_all_take_the_step_of_one_alone(
    kind: str, count: int, classifier_folder: Path, tmp_path: Path, alike: None
) -> None:
    """Sparse tables, rows without gold, pairs, a queue, tokens, and batches that are too short for all."""
    network, rows = begun(kind, classifier_folder, tmp_path)
    objectives = mixture(kind)

    def fitted(number: int) -> tuple[list[Any], list[tuple[list[Any], dict[str, float]]]]:
        line = Line(number)
        all_ = [One(line, place, number) for place in range(number)]
        learners = [learner(copy.deepcopy(network), rows, objectives, one) for one in all_]
        with ThreadPoolExecutor(number) as pool:
            found = list(pool.map(steps, learners))
        return [one.gradients for one in all_], found

    (gradients,), ((alone, judged),) = fitted(1)
    summed, several = fitted(count)
    for same in (summed, [seen for seen, _ in several]):
        for other in same[1:]:
            assert all(torch.equal(a, b) for a, b in zip(chain(*same[0]), chain(*other), strict=True))
    assert all(dev == several[0][1] for _, dev in several)
    assert several[0][1] == pytest.approx(judged, rel=1e-5)
    for found, expected in ((several[0][0], alone), (summed[0], gradients)):
        for a, b in zip(chain(*found), chain(*expected), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=5e-5)
