"""What every export format promises, held over every member that is found."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from stillroom.core import artifact, batches, plugins
from stillroom.core.errors import RecipeError
from stillroom.formats import Checks, Format
from stillroom.runtime.runners import Runner, Serve
from stillroom.students import Network
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS, sentences
from tests.runtime.test_exits import Answered

TASK = Classification(labels=LABELS)
#: Formats of students that answer with numbers; of those that write: `tests/students/test_{seq2seq,decoder}.py`.
NAMES = [name for name in plugins.names("formats") if "pooled" in plugins.member("formats", name).shapes]
#: Pieces of a transformer take long to trace: what is written of them is looked at among the slow tests.
EXPORTED = [
    pytest.param(name, marks=[pytest.mark.slow] if plugins.member("formats", name).needs_exits else [])
    for name in NAMES
]
NONE = float("nan")
GOOD = Checks(largest_difference=1e-6, metric_loss=0.0, speed=3.0)
#: What a member says no to when nothing else is wrong, and a word of its reason; a new one adds its line.
REFUSES: dict[str, list[tuple[dict[str, float], str]]] = {
    "onnx": [({"largest_difference": 2e-3}, "differ")],
    "onnx_int8": [
        ({"metric_loss": 0.02}, "falls"),
        ({"metric_loss": NONE}, "falls"),
        ({"speed": 1.1}, "quick"),
        ({"speed": NONE}, "quick"),
    ],
    "onnx_exits": [
        ({"largest_difference": 2e-3}, "differ"),
        ({"metric_loss": 0.02}, "falls"),
        ({"speed": 1.1}, "quick"),
    ],
    "onnx_exits_int8": [({"metric_loss": 0.02}, "falls"), ({"metric_loss": NONE}, "falls"), ({"speed": 1.1}, "quick")],
}
STATIC = {"kind": "static", "dimensions": 16, "hidden": 8, "features": {"bits": 10}}
LEFT_EARLY = {"kind": "transformer", "layers": 2, "exits": [1]}
TEXTS = [text for text, _ in sentences()[::17]]


@dataclass(frozen=True)
class Written:
    """A format's two exports of one student, and what the first of them serves."""

    network: Network
    folders: tuple[Path, Path]
    runner: Runner
    files: tuple[str, ...]
    serve: Serve


@pytest.fixture(params=NAMES)
def format_(request: pytest.FixtureRequest) -> Format:
    built: Format = plugins.build("formats", request.param)
    return built


@pytest.fixture(scope="module")
def exports(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    """A student in every format that fits it; twice, as formats may share what one wrote, and the other way round."""

    @cache
    def made(early: bool) -> dict[str, Written]:
        student = plugins.build("students", LEFT_EARLY if early else STATIC)
        studied, saved, *folders = (tmp_path_factory.mktemp(name) for name in ("studied", "saved", "one", "other"))
        student.study(Checkpoint(classifier_folder, name="tiny", task=TASK), studied)
        student.begin(task=TASK, studied=studied, texts=iter(TEXTS), seed=1).save(saved)
        network: Network = student.reopen(saved, task=TASK)
        names = [name for name in NAMES if plugins.member("formats", name).needs_exits == early]
        wrote: dict[str, tuple[Runner, tuple[str, ...]]] = {}
        for folder, order in zip(folders, (names, names[::-1]), strict=True):
            shutil.copytree(saved, folder, dirs_exist_ok=True)
            wrote = {name: plugins.build("formats", name).write(network, folder) for name in order}
        return {
            name: Written(network, (folders[0], folders[1]), runner, files, runner.open(folders[0], threads=1))
            for name, (runner, files) in wrote.items()
        }

    def written(name: str) -> Written:
        return made(plugins.member("formats", name).needs_exits)[name]

    return written


@pytest.fixture(params=EXPORTED)
def written(request: pytest.FixtureRequest, exports: Callable[[str], Written]) -> Written:
    return exports(request.param)


def in_torch(network: Network, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    padded, mask = batches.pad(network.encode(texts))
    with torch.inference_mode():
        logits = network.module.eval()(torch.from_numpy(padded), torch.from_numpy(mask))
    found: np.ndarray[Any, np.dtype[np.float32]] = logits.float().numpy()
    return found


def test_there_are_members() -> None:
    assert {"onnx", "onnx_int8"} <= set(NAMES)


def test_is_its_own_settings(format_: Format) -> None:
    assert type(format_).__doc__
    assert plugins.build("formats", format_.model_dump(mode="json")) == format_
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("formats", {**format_.model_dump(mode="json"), "nonsense": 1})


def test_good_checks_meet_no_objection(format_: Format) -> None:
    assert format_.objection(GOOD) == ""


def test_outputs_that_are_no_numbers_are_never_kept(format_: Format) -> None:
    for wrong in (NONE, float("inf")):
        assert format_.objection(replace(GOOD, largest_difference=wrong))


def test_what_is_worse_in_every_way_is_never_kept(format_: Format) -> None:
    assert format_.objection(Checks(largest_difference=50.0, metric_loss=0.5, speed=0.01))


def test_each_reason_is_enough_and_is_told(format_: Format) -> None:
    assert format_.kind in REFUSES, f"REFUSES has no line for `{format_.kind}`"
    for change, word in REFUSES[format_.kind]:
        assert word in format_.objection(replace(GOOD, **change)), change


def test_names_the_files_that_its_runner_needs_and_no_more(written: Written, tmp_path: Path) -> None:
    assert written.files
    assert len(set(written.files)) == len(written.files)
    for name in written.files:
        assert Path(name).name == name
        (tmp_path / name).write_bytes((written.folders[0] / name).read_bytes())
    alone = written.runner.open(tmp_path, threads=1)
    np.testing.assert_array_equal(alone(TEXTS), written.serve(TEXTS))
    for name in written.files:
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(Exception, match=r".+"):
            written.runner.open(tmp_path, threads=1)(TEXTS)
        (tmp_path / "away").rename(tmp_path / name)


def test_its_runner_comes_back_from_what_a_bundle_says_of_it(written: Written) -> None:
    said = written.runner.model_dump(mode="json", serialize_as_any=True)
    assert plugins.build("runtime.runners", said) == written.runner
    assert written.runner.kind in plugins.names("runtime.runners")


def test_any_batch_and_any_length_are_served(written: Written) -> None:
    """One text, a full batch, a word, and more than the student reads: none of them the size it was exported with."""
    long = "a film that goes on " * 40
    for texts in (["great"], [long], TEXTS, ["great", long], TEXTS[:2] * 60):
        found = written.serve(texts)
        assert found.shape == (len(texts), len(LABELS))
        expected = in_torch(written.network, texts)
        exact = "int8" not in " ".join(written.files)
        np.testing.assert_allclose(found, expected, atol=1e-4 if exact else 0.5)


@pytest.mark.parametrize("name", EXPORTED)
def test_what_dev_chooses_is_within_what_it_bears_and_is_said(name: str, exports: Callable[[str], Written]) -> None:
    one = exports(name)
    dev = Answered(TEXTS, one.serve(TEXTS).argmax(axis=1))
    runner, said = plugins.build("formats", name).tuned(one.runner, one.folders[0], dev=dev)
    assert json.loads(json.dumps(said)) == said
    assert said or runner is one.runner, "a choice that nobody is told of"
    assert dev.loss(runner.open(one.folders[0], threads=1)(TEXTS)) <= 0.005


def test_gives_the_same_bytes_twice(written: Written) -> None:
    for name in written.files:
        one, other = (artifact.file_sha256(folder / name) for folder in written.folders)
        assert one == other, name


def test_says_nothing_of_where_it_was_made(written: Written) -> None:
    places = {str(Path.cwd()), str(Path.home()), sys.prefix, str(written.folders[0].parent), "site-packages", ".py"}
    for name in written.files:
        told = (written.folders[0] / name).read_bytes()
        assert not [place for place in places if place.encode() in told], name
        if name.endswith(".onnx"):
            graph = onnx.load(written.folders[0] / name).graph
            assert not any(node.doc_string or node.metadata_props for node in graph.node)
