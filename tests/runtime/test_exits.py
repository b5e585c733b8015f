"""Texts that leave early: which of them, at which head, in what order, and with a threshold that dev chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stillroom.core import batches, plugins
from stillroom.core.errors import MismatchError
from stillroom.formats import Format, _exits
from stillroom.runtime.runners import exits
from stillroom.runtime.runners.exits import Exits
from stillroom.students import Network
from stillroom.tasks.classification import Classification
from tests.conftest import LABELS, sentences
from tests.contracts.test_students import begun, stirred

pytestmark = pytest.mark.slow  # pieces of a transformer take long to trace
TASK = Classification(labels=LABELS)
TEXTS = ["", "great", *(text for text, _ in sentences()[::23]), "a film that goes on " * 30, "x" * 90, "a dull film"]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Served:
    """A student with two exits, its pieces, and what each head says in torch."""

    network: Network
    folder: Path
    runner: Exits
    heads: Logits


@pytest.fixture(scope="module")
def served(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp("served")
    network = stirred(begun("transformer with exits", classifier_folder, folder)[1])
    network.save(folder)
    runner, _ = plugins.build("formats", "onnx_exits").write(network, folder)
    return Served(network, folder, runner, in_torch(network, TEXTS))


def in_torch(network: Network, texts: Sequence[str]) -> Logits:
    """What each head says, a text at a time: nothing beside it, no padding."""
    said = []
    for ids in network.encode(texts):
        padded, mask = (torch.from_numpy(one) for one in batches.pad([ids]))
        with torch.inference_mode():
            told = network.tell(padded, mask, frozenset({"logits"}))
        said.append(np.stack([told[head][0].numpy() for head in network.heads]))
    return np.stack(said, axis=1)


def at(served: Served, threshold: float, **more: Any) -> Callable[[Sequence[str]], Logits]:
    return served.runner.model_copy(update={"threshold": threshold, **more}).open(served.folder, threads=1)


def test_each_head_says_what_it_says_in_torch(served: Served) -> None:
    assert np.ptp(served.heads, axis=0).max() > 0.05, "heads that all say the same would hide a mistake"
    np.testing.assert_allclose(served.runner.heads(served.folder, TEXTS), served.heads, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 40, 256, 100_000])
@pytest.mark.parametrize(("threshold", "head"), [(exits.NEVER, -1), (0.0, 0)])
def test_above_one_none_leaves_and_at_nought_all_do(served: Served, threshold: float, head: int, budget: int) -> None:
    serve = at(served, threshold, tokens_per_batch=budget)
    for texts in (TEXTS, TEXTS[:1], TEXTS[::-1]):
        order = [TEXTS.index(text) for text in texts]
        np.testing.assert_allclose(serve(texts), served.heads[head][order], atol=1e-5)
    assert serve([]).shape == (0, len(LABELS))


@pytest.mark.parametrize("budget", [1, 40, 256, 100_000])
@pytest.mark.parametrize("place", range(0, 20, 3))
def test_each_text_leaves_at_the_first_head_that_is_sure(served: Served, place: int, budget: int) -> None:
    threshold = _exits.levels(served.heads)[place]
    expected = np.stack([
        next((head[row] for head in served.heads[:-1] if softmax(head[row]).max() >= threshold), served.heads[-1][row])
        for row in range(len(TEXTS))
    ])  # fmt: skip
    serve = at(served, threshold, tokens_per_batch=budget)
    np.testing.assert_allclose(serve(TEXTS), expected, atol=1e-5)
    alone = np.concatenate([serve([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, expected, atol=1e-5)


def softmax(logits: Logits) -> NDArray[np.float64]:
    odds = np.exp(logits.astype(np.float64))
    found: NDArray[np.float64] = odds / odds.sum()
    return found


def test_sureness_is_the_highest_probability() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32) * 9
    expected = [[softmax(row).max() for row in head] for head in logits]
    np.testing.assert_allclose(exits.sureness(logits), expected)


def test_a_piece_is_run_only_for_those_who_come_to_it(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted where ONNX Runtime is called: what leaves early costs nothing further up."""
    seen = np.zeros(3, dtype=int)
    opened = exits.session

    class Counting:
        def __init__(self, file: Path, *, threads: int) -> None:
            self.inner, self.place = opened(file, threads=threads), int(file.name.split(".")[1])
            self.get_outputs = self.inner.get_outputs

        def run(self, names: Any, told: dict[str, Any]) -> Any:
            seen[self.place] += len(told["mask"])
            return self.inner.run(names, told)

    monkeypatch.setattr(exits, "session", Counting)
    threshold = _exits.levels(served.heads)[len(TEXTS) // 2]
    at(served, threshold)(TEXTS)
    leaves = exits.leaving(served.heads, threshold=threshold)
    assert seen.tolist() == [len(TEXTS), (leaves > 0).sum(), (leaves > 1).sum()]
    assert seen[0] > seen[1] > seen[2]


@dataclass(frozen=True)
class Answered:
    """Dev texts whose first metric is the share of right answers."""

    texts: Sequence[str]
    gold: NDArray[np.int64]
    metric: str = "accuracy"
    best: float = field(default=1.0)

    def score(self, logits: Logits) -> float:
        return float((logits.argmax(axis=1) == self.gold).mean())

    def loss(self, logits: Logits) -> float:
        return self.best - self.score(logits)


@pytest.mark.parametrize("max_loss", [0.0, 0.1, 0.3, 1.0])
def test_dev_chooses_the_lowest_threshold_that_it_bears(served: Served, max_loss: float) -> None:
    # What is served counts: torch may give a probability another last digit, and so a threshold of its own.
    heads = served.runner.heads(served.folder, TEXTS)
    dev = Answered(TEXTS, heads[-1].argmax(axis=1))
    runner, said = _exits.tuned(served.runner, served.folder, dev=dev, max_loss=max_loss)
    assert isinstance(runner, Exits)
    served_so = runner.open(served.folder)(TEXTS)
    assert dev.loss(served_so) <= max_loss
    assert said["threshold"] == runner.threshold
    assert said["dev"] == {"accuracy": dev.score(served_so)}
    early = exits.leaving(heads, threshold=runner.threshold) < 2
    assert said["exit_share"] == early.mean()
    lower = [one for one in _exits.levels(heads) if one < runner.threshold]
    if lower:
        leaves = exits.leaving(heads, threshold=lower[0])
        assert dev.loss(heads[leaves, np.arange(len(TEXTS))]) > max_loss
    else:
        assert early.all()


def test_where_dev_bears_nothing_none_leaves(served: Served) -> None:
    dev = Answered(TEXTS, served.heads[-1].argmax(axis=1), best=1.2)
    runner, said = _exits.tuned(served.runner, served.folder, dev=dev, max_loss=0.1)
    assert runner == served.runner
    assert said == {"threshold": exits.NEVER, "exit_share": 0.0, "dev": {"accuracy": 1.0}}


def test_answers_that_are_no_numbers_give_no_threshold() -> None:
    assert _exits.levels(np.full((2, 3, 2), np.nan, dtype=np.float32)) == []


@pytest.mark.parametrize("form", ["onnx_exits", "onnx_exits_int8"])
def test_a_student_without_exits_is_refused(form: str, classifier_folder: Path, tmp_path: Path) -> None:
    member: Format = plugins.build("formats", form)
    for kind in ("transformer", "static"):
        network = begun(kind, classifier_folder, tmp_path / kind)[1]
        with pytest.raises(MismatchError, match=r"answers at its end alone.*student\.exits"):
            member.write(network, tmp_path)
