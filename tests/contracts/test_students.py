"""Every student, found by itself: it starts, saves, comes back the same, and is served without torch as with it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom.core import batches, plugins
from stillroom.students import Network, Student
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences

SMALL: dict[str, dict[str, Any]] = {
    "static": {"dimensions": 16, "hidden": 8},
    "static with features": {"dimensions": 16, "hidden": 8, "features": {"bits": 10}},
    "static of the corpus": {"dimensions": 16, "hidden": 8, "vocabulary": "corpus", "min_count": 100},
    "transformer cut": {"layers": 2, "heads": 1, "feed_forward": 24, "width": 24},
    "transformer with exits": {"layers": 3, "exits": [1, 2]},
    "transformer of the corpus": {"vocabulary": "corpus", "min_count": 100},
    "transformer cut, with exits": {
        "layers": 3,
        "heads": 1,
        "feed_forward": 24,
        "width": 24,
        "vocabulary": "corpus",
        "exits": [1, 2],
    },
    "bag": {"features": {"kind": "ngrams", "bits": 12}},
    "cnn": {"dimensions": 16, "channels": 6},
    "bigru": {"dimensions": 16, "units": 6},
}
#: Ways in which a student can be made smaller; `tests/students` holds them to more, and more quickly.
SMALLER = ("transformer cut", "transformer of the corpus", "transformer cut, with exits")
KINDS = [
    pytest.param(kind, marks=[pytest.mark.slow] if kind in SMALLER else [])
    for kind in dict.fromkeys((*plugins.names("students"), *SMALL))
    if "pooled" in plugins.member("students", kind.split()[0]).shapes  # who writes: `test_{seq2seq,decoder}.py`
]
TASK = Classification(labels=LABELS)
Logits = np.ndarray[Any, np.dtype[np.float32]]
ODD = [
    "",
    " ",
    "great",
    "GREAT!!",
    "naïve café",
    "a\tb\nc",
    "中文 text",
    "x" * 3000,
    "zero​width",
    "e\u0301",
    "a\x0bb",
    "don't-stop",
    "great \ufe0f film",  # a lone variation selector: a chunk without tokens
]


@cache
def teacher(folder: Path) -> Checkpoint:
    return Checkpoint(folder, name="tiny", task=TASK)


def built(kind: str) -> Student:
    """A student by its kind, or as `SMALL` calls it: what `SMALL` does not know is nobody's default."""
    settings = SMALL.get(kind, {}) if kind in plugins.names("students") else SMALL[kind]
    student: Student = plugins.build("students", {"kind": kind.split()[0], **settings})
    return student


def begun(kind: str, classifier: Path, folder: Path, *, seed: int = 5) -> tuple[Student, Network]:
    student = built(kind)
    studied = folder / "studied"
    if not studied.exists():
        studied.mkdir(parents=True)
        student.study(teacher(classifier), studied)
    texts = [text for text, _ in sentences()]
    return student, student.begin(task=TASK, studied=studied, texts=iter(texts), seed=seed)


def stirred(network: Network) -> Network:
    """The network with weights that are not at their start, so that a part left out would show."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.05)
    return network


def taught(network: Network) -> Network:
    """The network after some steps on gold: it tells the labels apart, so that a form that agrees on them shows it."""
    rows = sentences()[::5]
    gold = torch.tensor([LABELS.index(label) for _, label in rows])
    ids, mask = (torch.from_numpy(one) for one in batches.pad(network.encode([text for text, _ in rows])))
    optimizers = network.optimizers(1e-2)
    for step in range(300):
        told = network.tell(ids, mask, frozenset({"logits"}))
        if step >= 30 and float((told["logits"].argmax(dim=1) == gold).float().mean()) > 0.8:
            break
        sum(torch.nn.functional.cross_entropy(told[head], gold) for head in network.heads).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return network


def agreement(found: Logits, meant: Logits) -> float:
    """The share of texts that both give the same label, of answers in which each label is given."""
    assert len(np.unique(meant.argmax(axis=1))) == len(LABELS), "where one label is all there is, everybody agrees"
    return float((found.argmax(axis=1) == meant.argmax(axis=1)).mean())


def in_torch(network: Network, texts: list[str]) -> Logits:
    padded, mask = batches.pad(network.encode(texts))
    with torch.inference_mode():
        logits: Logits = network.module.eval()(torch.from_numpy(padded), torch.from_numpy(mask)).float().numpy()
    return logits


def test_each_is_built_as_it_is_called_and_no_other_is() -> None:
    """A name that was mistyped would be tested as the default, and nobody would see it."""
    assert built("static with features") != built("static")
    with pytest.raises(KeyError, match="static with pairs"):
        built("static with pairs")


def exports_serve(network: Network, folder: Path, *, early: bool) -> None:
    """Hold every export of a student that is taught to what it says in torch; in eight bits, to its labels."""
    texts = [text for text, _ in sentences()[::5]]
    expected = in_torch(network, texts + ODD)
    alike = slice(0, len(texts))
    for form in plugins.names("formats"):
        if "pooled" not in plugins.member("formats", form).shapes:
            continue
        if plugins.member("formats", form).needs_exits and not early:
            continue
        runner, files = plugins.build("formats", form).write(network, folder)
        assert all((folder / name).is_file() for name in files)
        serve = runner.open(folder, threads=1)
        found = serve(texts + ODD)
        assert found.shape == expected.shape
        assert np.isfinite(found).all()
        if "int8" not in form:
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=5e-4)
            for size in (1, 3):  # one alone; some of like length; above, the longest beside the shortest
                np.testing.assert_allclose(serve(texts[:size]), expected[:size], atol=1e-4, rtol=5e-4)
            continue
        # Eight bits can be far off on a single odd text: what they cost is judged on dev, at export.
        assert np.median(np.abs(found - expected)) <= 0.1 * float(np.abs(expected).max()), form
        assert agreement(found[alike], expected[alike]) >= 0.95, form
        for size in (1, 3):
            assert np.isfinite(serve(texts[:size])).all(), form


@pytest.mark.parametrize("kind", KINDS)
class TestEvery:
    def test_starts_the_same_from_the_same_seed(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        texts = [text for text, _ in sentences()[:9]]
        first, second = (in_torch(begun(kind, classifier_folder, tmp_path)[1], texts) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_padding_never_counts(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        network = stirred(begun(kind, classifier_folder, tmp_path)[1])
        alone = in_torch(network, ["great"])
        beside = in_torch(network, ["great", "a much longer text that makes the short one be padded"])
        np.testing.assert_allclose(beside[:1], alone, atol=1e-5)

    def test_comes_back_the_same(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        student, network = begun(kind, classifier_folder, tmp_path)
        stirred(network)
        (tmp_path / "saved").mkdir()
        network.save(tmp_path / "saved")
        texts = [text for text, _ in sentences()[:20]] + [text for text in ODD if text.strip()]
        again = in_torch(student.reopen(tmp_path / "saved", task=TASK), texts)
        np.testing.assert_allclose(again, in_torch(network, texts), atol=2e-2)

    def test_is_served_without_torch_as_with_it(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        student, network = begun(kind, classifier_folder, tmp_path)
        stirred(network)
        saved = tmp_path / "saved"
        saved.mkdir()
        network.save(saved)
        again = student.reopen(saved, task=TASK)
        texts = [text for text, _ in sentences()[:300]] + ODD
        runner = student.runner(saved, texts=texts)
        if runner is None:
            pytest.skip("only an export serves it: see below")
        serve = runner.open(saved, threads=1)
        whole = serve(texts)
        # Thousands of numbers added in another order: half a thousandth of the sum.
        np.testing.assert_allclose(whole, in_torch(again, texts), atol=1e-4, rtol=5e-4)
        for size in (1, 2, 7):
            np.testing.assert_allclose(serve(texts[:size]), whole[:size], atol=1e-5, rtol=1e-5)
        one_by_one = np.concatenate([serve([text]) for text in ODD])
        np.testing.assert_allclose(one_by_one, whole[-len(ODD) :], atol=1e-4)

    @pytest.mark.slow
    def test_exports_are_served_as_it_is(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        student, network = begun(kind, classifier_folder, tmp_path)
        taught(stirred(network)).save(tmp_path)
        exports_serve(student.reopen(tmp_path, task=TASK), tmp_path, early=student.leaves_early)

    def test_tells_what_it_says_it_gives(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        student, network = begun(kind, classifier_folder, tmp_path)
        padded, mask = (torch.from_numpy(one) for one in batches.pad(network.encode(["great", "a dull film indeed"])))
        asked = frozenset({"logits", "embedding"} & student.signals)
        network.module.eval()
        told = network.tell(padded, mask, asked)
        wanted = asked | set(network.heads)
        assert wanted == set(told)
        assert network.heads[-1] == "logits"
        assert (len(network.heads) > 1) == student.leaves_early
        assert all(told[head].shape == told["logits"].shape for head in network.heads)
        torch.testing.assert_close(told["logits"], network.module(padded, mask))
        length = int(mask[0].sum())
        alone = network.tell(padded[:1, :length], mask[:1, :length], asked)
        for name in wanted:
            torch.testing.assert_close(told[name][:1], alone[name], atol=1e-5, rtol=1e-5)

    def test_strata_hold_every_trained_weight_once(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        network = begun(kind, classifier_folder, tmp_path)[1]
        held = [id(weight) for stratum in network.strata() for weight in stratum]
        assert len(held) == len(set(held))
        assert {id(weight) for weight in network.module.parameters() if weight.requires_grad} <= set(held)

    def test_every_trained_weight_gets_a_gradient(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        network = stirred(begun(kind, classifier_folder, tmp_path)[1])
        padded, mask = batches.pad(network.encode([text for text, _ in sentences()[:16]]))
        told = network.tell(torch.from_numpy(padded), torch.from_numpy(mask), frozenset({"logits"}))
        sum(told[head].pow(2).sum() for head in network.heads).backward()
        held = {
            id(weight)
            for optimizer in network.optimizers(1e-3)
            for group in optimizer.param_groups
            for weight in group["params"]
        }
        for name, weight in network.module.named_parameters():
            if weight.requires_grad:
                assert id(weight) in held, f"{name} is in no optimizer"
                assert weight.grad is not None, name
                assert (
                    float(
                        weight.grad.coalesce().values().abs().sum()
                        if weight.grad.is_sparse
                        else weight.grad.abs().sum()
                    )
                    > 0
                ), name

    def test_flops_grow_with_length(self, kind: str, classifier_folder: Path, tmp_path: Path) -> None:
        network = begun(kind, classifier_folder, tmp_path)[1]
        assert 0 < network.flops(np.arange(4)) < network.flops(np.arange(8))
