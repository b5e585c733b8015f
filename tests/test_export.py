"""The bundle: what it holds, who is the default, and why something is not in it. Faulty formats are planted."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
import yaml
from numpy.typing import NDArray
from pydantic import SerializeAsAny

import stillroom
from stillroom import corpus, export
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import OutsideError
from stillroom.core.progress import Event
from stillroom.corpus import Dev, Rows
from stillroom.documents import _units as units
from stillroom.formats import Checks, Format, Judge
from stillroom.runtime.runners import Runner, Serve
from stillroom.runtime.runners.static import Static as StaticRunner
from stillroom.students import Network
from stillroom.tasks.classification import Classification
from stillroom.transfer_set import TransferSet
from tests.conftest import LABELS, Travelled, sentences

TASK = Classification(labels=LABELS)


class PlantedRunner(Runner):
    """Another runner, with a fault."""

    kind: Literal["planted"] = "planted"
    inner: SerializeAsAny[Runner] | None
    """None: one that always says the same."""
    shift: float = 0.0
    """Added to the first logit."""
    turned: bool = False
    """The logits with the other sign."""
    alone: float = 0.0
    """Added to the answers to a text that is asked alone."""
    pause: float = 0.0
    """Seconds a call."""

    def open(self, folder: Path, *, threads: int) -> Serve:
        constant = np.zeros(len(LABELS), dtype=np.float32)
        told = self.inner.open(folder, threads=threads) if self.inner else None
        ask = functools.cache(lambda texts: told(texts) if told else np.tile(constant, (len(texts), 1)))

        def serve(texts: Sequence[str]) -> NDArray[np.float32]:
            time.sleep(self.pause)
            logits: NDArray[np.float32] = ask(tuple(texts)) * (-1 if self.turned else 1)
            logits[:, 0] += self.shift
            return logits if len(texts) > 1 else logits + np.float32(self.alone)

        return serve


class Planted(Format):
    """A format whose export is quick (it remembers its answers) and has the faults asked for."""

    kind: Literal["planted"] = "planted"
    judge: SerializeAsAny[Format]
    """Who says whether it is kept."""
    faults: dict[str, float | str] = {}  # noqa: RUF012  pydantic copies it
    chooses: float = 0.0
    """The shift that dev is said to have chosen; 0: nothing is chosen."""

    def write(self, network: Network, folder: Path) -> tuple[Runner, tuple[str, ...]]:
        (folder / "planted.bin").write_bytes(b"weights")
        (folder / "planted.tmp").write_bytes(b"left lying about")
        own = plugins.build("students", "static").runner(folder, texts=[text for text, _ in sentences()])
        return PlantedRunner(inner=own, **self.faults), ("planted.bin", "tokenizer.json", "static.safetensors")

    def tuned(self, runner: Runner, folder: Path, *, dev: Judge) -> tuple[Runner, dict[str, Any]]:
        if not self.chooses:
            return super().tuned(runner, folder, dev=dev)
        chosen = runner.model_copy(update={"shift": self.chooses})
        return chosen, {"shift": self.chooses, dev.metric: dev.score(chosen.open(folder, threads=1)(dev.texts))}

    def objection(self, checks: Checks) -> str:
        return self.judge.objection(checks)


class Stage:
    """A trained student and what its export needs."""

    def __init__(self, travelled: Travelled) -> None:
        self.recipe, self.store = travelled.run.recipe, Store(travelled.work)
        self.trained = travelled.run.artifacts["train"]
        rows = corpus.load(self.recipe.corpus, task=TASK, store=self.store)
        self.dev: Rows[Dev] = rows.dev
        self.rights = rows.rights
        self.said = TransferSet(travelled.run.artifacts["transfer"])

    def bundle(self, folder: Path, *formats: Any, events: list[Event] | None = None, golden: int = 16) -> Artifact:
        settings = recipe.Export(formats=formats, golden=golden)
        report = events.append if events is not None else lambda event: None
        return export.bundle(self.recipe.student, self.trained, task=TASK, dev=self.dev, settings=settings,
                             said=self.said, rights=self.rights, store=Store(folder), report=report)  # fmt: skip


@pytest.fixture(scope="module")
def stage(travelled: Travelled) -> Stage:
    return Stage(travelled)


@pytest.fixture(scope="module")
def bundle(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return stage.bundle(tmp_path_factory.mktemp("bundle"))


def planted(judge: str = "onnx", **faults: float | str) -> Planted:
    return Planted(judge=plugins.build("formats", judge), faults=faults)


def files(found: Artifact) -> set[str]:
    return {path.name for path in found.folder.iterdir()}


def variants(found: Artifact) -> dict[str, str]:
    """Of each way to serve the student, the reason why it was not kept, or nothing."""
    return {one["format"]: "" if one["kept"] else str(one["reason"]) for one in found.manifest["facts"]["variants"]}


def described(found: Artifact) -> dict[str, Any]:
    said: dict[str, Any] = found.read_json("bundle.json")
    return said


def test_it_holds_what_its_runners_need_and_nothing_else(stage: Stage, bundle: Artifact) -> None:
    own = {"bundle.json", "golden.jsonl", "manifest.json", "model_card.md"}
    assert "log.jsonl" in stage.trained.manifest["files"]
    assert files(bundle) == own | {"static.safetensors", "tokenizer.json"}
    runners = described(bundle)["runners"]
    assert files(bundle) - own == {name for one in runners.values() for name in one["files"]}
    assert described(bundle)["default"] == "static" == described(bundle)["student"]


def test_what_a_kept_format_names_is_there_and_what_it_left_lying_about_is_not(stage: Stage, tmp_path: Path) -> None:
    found = stage.bundle(tmp_path, planted())
    assert variants(found) == {"static": "", "planted": ""}
    assert "planted.bin" in files(found)
    assert "planted.tmp" not in files(found)
    assert set(described(found)["runners"]["planted"]["files"]) <= files(found)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        (planted(shift=0.5), "logits differ by 0.5; the tolerance is 0.001"),
        (planted(alone=0.25), "logits differ by 0.25"),
        (planted(shift="nan"), "logits differ by nan"),
        (planted(alone="nan"), "logits differ by nan"),
        (planted("onnx_int8", turned=True), "the dev metric falls by 1.0000; 0.005 is allowed"),
        (planted("onnx_int8", pause=0.1), "it is not 1.2 times as quick here"),
        (planted("onnx_int8", alone="inf"), "some logits are no numbers"),
    ],
    ids=["garbled", "garbled alone", "no numbers", "no numbers alone", "a metric that falls", "slow", "infinite alone"],
)
def test_a_format_that_fails_its_checks_is_dropped_and_the_manifest_says_why(
    stage: Stage, bundle: Artifact, tmp_path: Path, form: Planted, reason: str
) -> None:
    events: list[Event] = []
    found = stage.bundle(tmp_path, form, events=events)
    assert variants(found)["static"] == ""
    assert reason in variants(found)["planted"]
    assert [event.note for event in events if reason in event.note], "it is said, too"
    moved = [(event.done, event.total) for event in events if not event.note]
    assert moved == [(0, 2), (1, 2), (2, 2)], "and how far it is"
    assert files(found) == files(bundle)
    assert set(described(found)["runners"]) == {"static"}
    assert described(found) == described(bundle)
    assert set(found.circumstances["checks"]) == {"static", "planted"}, "what was seen of it is kept"
    assert json.loads((found.folder / "manifest.json").read_text(encoding="utf-8")) == found.manifest


@pytest.mark.parametrize(
    ("own_pause", "faults", "default"),
    [
        pytest.param(0.02, {}, "planted", id="a quick export"),
        pytest.param(0.0, {"pause": 0.05}, "static", id="a slow one"),
        pytest.param(0.02, {"shift": 1.0}, "static", id="one that is quick and wrong"),
    ],
)
def test_the_quickest_of_what_is_kept_is_the_default(
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_pause: float,
    faults: dict[str, float | str],
    default: str,
) -> None:
    """The pauses are far longer than a call, so that no other process at work here decides between the two."""
    monkeypatch.setattr(StaticRunner, "open", _pausing(StaticRunner.open, own_pause))
    found = stage.bundle(tmp_path, planted(**faults))
    kept = {one for one, reason in variants(found).items() if not reason}
    speeds = {one: found.circumstances["checks"][one]["texts_per_second"] for one in kept}
    assert described(found)["default"] == max(speeds, key=speeds.__getitem__)
    assert described(found)["default"] == default


def _pausing(opens: Callable[..., Serve], pause: float) -> Callable[..., Serve]:
    """A runner's `open` whose answers each take so many seconds longer."""

    def opened(self: StaticRunner, folder: Path, *, threads: int = 1) -> Serve:
        serve = opens(self, folder, threads=threads)

        def answer(texts: Sequence[str]) -> NDArray[np.float32]:
            time.sleep(pause)
            return serve(texts)

        return answer

    return opened


@pytest.mark.slow
def test_speed_is_outside_the_digest_and_what_it_decided_is_said(
    stage: Stage, bundle: Artifact, tmp_path: Path
) -> None:
    """The student's own weights alone are the same bundle anywhere; where there was a choice, the manifest says so."""
    assert stage.bundle(tmp_path / "again").digest == bundle.digest
    assert "reproducible" not in bundle.manifest["facts"]
    chosen = stage.bundle(tmp_path / "chosen", planted(pause=0.05))
    assert "speed" in chosen.manifest["facts"]["reproducible"]
    assert stage.bundle(tmp_path / "chosen once more", planted(pause=0.05)).digest == chosen.digest


def test_it_is_found_again_and_made_anew_for_other_settings(stage: Stage, tmp_path: Path) -> None:
    first = stage.bundle(tmp_path)
    assert stage.bundle(tmp_path).folder == first.folder
    assert stage.bundle(tmp_path, golden=3).folder != first.folder


def test_golden_answers_are_made_up_texts_with_the_default_runner_s_answers(stage: Stage, tmp_path: Path) -> None:
    found = stage.bundle(tmp_path, golden=5)
    rows = [json.loads(line) for line in (found.folder / "golden.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == [row.text for row in TASK.toy()][:5]
    answers = stillroom.load(found.folder).outputs([row["text"] for row in rows])
    np.testing.assert_allclose([row["logits"] for row in rows], answers, atol=1e-6)


def test_no_text_of_the_corpus_travels(bundle: Artifact) -> None:
    corpus_texts = {text for text, _ in sentences()}
    assert not corpus_texts & {row.text for row in TASK.toy()}
    for path in bundle.folder.iterdir():
        held = path.read_bytes()
        assert not [text for text in corpus_texts if text.encode() in held], path.name


def test_every_runner_stands_by_the_golden_answers_of_the_default(stage: Stage, tmp_path: Path) -> None:
    """The default may be off by what its format allows; the others are judged on its answers all the same."""
    tolerant = Planted(judge=plugins.build("formats", {"kind": "onnx", "tolerance": 0.02}), faults={"shift": 0.015})
    found = stage.bundle(tmp_path, tolerant)
    assert described(found)["default"] == "planted"
    stillroom.load(found.folder, runner="static", verify=True)


def test_what_dev_chose_is_served_and_stands_in_manifest_and_bundle(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parity is that of the export before the choice, the metric is after it; who is the default vouches for itself."""
    monkeypatch.setattr(StaticRunner, "open", _pausing(StaticRunner.open, 0.02))
    found = stage.bundle(tmp_path, Planted(judge=plugins.build("formats", "onnx"), chooses=30.0))
    own, other = found.manifest["facts"]["variants"]
    assert set(own) == {"format", "kept", "reason"}
    assert other == {"format": "planted", "kept": True, "reason": "passed its checks", "shift": 30.0,
                     "accuracy": pytest.approx(0.5, abs=0.15)}  # fmt: skip
    runners = described(found)["runners"]
    assert runners["planted"]["settings"]["shift"] == 30.0
    assert runners["planted"]["chosen"] == {"shift": 30.0, "accuracy": other["accuracy"]}
    assert "chosen" not in runners["static"]
    checks = found.circumstances["checks"]["planted"]
    assert checks["largest_difference"] < 0.01
    assert checks["metric_loss"] > 0.2
    assert described(found)["default"] == "planted"
    assert runners["planted"]["parity"] < 0.1
    assert runners["static"]["parity"] > 290
    stillroom.load(found.folder, runner="static", verify=True)


def test_its_card_tells_what_is_known_and_that_nothing_is_measured(stage: Stage, bundle: Artifact) -> None:
    card = (bundle.folder / "model_card.md").read_text(encoding="utf-8")
    assert bundle.manifest["files"]["model_card.md"] == artifact.sha256(card.encode())
    front, body = card.split("---\n", 2)[1:]
    read = yaml.safe_load(front)
    assert read["license"] == "other"
    assert read["license_name"] == "teacher-unknown-text-cc0-1.0"
    assert read["pipeline_tag"] == "text-classification"
    assert not {"metrics", "model-index"} & set(read)
    size = sum((bundle.folder / name).stat().st_size for name in ("static.safetensors", "tokenizer.json"))
    for words in (
        f"# A static student of {stage.said.teacher['name']}",
        *(f"`{label}`" for label in LABELS),
        f"Parameters: {units.SCALED.value(stage.trained.manifest['facts']['parameters'])}.",
        f"*Source: train `{stage.trained.digest[:12]}`.*",
        f"| `static` | kept | passed its checks | {units.MEGABYTES.value(size / 1e6)} |",
        "| Licence | CC0-1.0 |",
        "measured figures are in the report of the run",
        "A signature:",
    ):
        assert words in body
    assert not re.search(r"[0-9] ?[%×]|texts/s|not measured|20[0-9]{2}-|None", body)
    stillroom.load(bundle.folder, verify=True)


def test_its_card_says_what_was_dropped_and_why(stage: Stage, tmp_path: Path) -> None:
    card = (stage.bundle(tmp_path, planted(shift=0.5)).folder / "model_card.md").read_text(encoding="utf-8")
    assert "| `planted` | dropped | logits differ by 0.5; the tolerance is 0.001 | – |" in card


def test_a_licence_that_was_put_right_gives_another_bundle(stage: Stage, bundle: Artifact, tmp_path: Path) -> None:
    stage = copy.copy(stage)
    stage.rights = {**stage.rights, "licence": "MIT"}
    manifest = copy.deepcopy(dict(stage.said.artifact.manifest))
    manifest["facts"]["teacher"]["licence"] = "MIT"
    stage.said = TransferSet(dataclasses.replace(stage.said.artifact, manifest=manifest))
    found = stage.bundle(tmp_path)
    assert found.key != bundle.key
    assert 'license: "mit"' in (found.folder / "model_card.md").read_text(encoding="utf-8")


def test_where_there_is_no_gold_the_teacher_is_right(stage: Stage) -> None:
    """The dev metric that an export may lose of is the one that dev chose the student by."""
    rows, teacher = stage.said.answers(stage.dev.table(["id", "text", "label"]), part="dev", task=TASK)
    blank = rows.set_column(2, "label", pa.nulls(rows.num_rows, type=TASK.gold_type()))
    network = stage.recipe.student.reopen(stage.trained.folder, task=TASK)
    told = -teacher  # as if it had said otherwise: the student in torch is not right then
    judge = export._Judge(network, blank, told, task=TASK)
    student = export.in_torch(network, judge.texts, task=TASK)[0]
    by = plugins.build("metrics", TASK.metrics[0])
    torch = by.score(TASK.answered(told.argmax(axis=1), student, told))
    assert torch < 0.5
    assert judge.score(told) == 1
    assert judge.loss(told) == pytest.approx(torch - 1)


@pytest.mark.parametrize(("seconds", "asked"), [(1.0, 4), (8.0, 3), (30.0, 1)])
def test_one_that_writes_is_asked_once(seconds: float, asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = [0.0], []

    def serve(texts: Any) -> Any:
        calls.append(texts)
        clock[0] += seconds if len(calls) > 1 or asked == 1 else seconds + 1.0
        return len(calls)

    monkeypatch.setattr(export.time, "perf_counter", lambda: clock[0])
    said, speed = export._timed(serve, ["a", "b"])
    assert said == len(calls) == asked
    assert speed == 2 / seconds, "the first, in which all is loaded, counts where there is no other"


class TestWhatATransferSetAnswers:
    def test_is_told_by_id_in_any_order(self, stage: Stage) -> None:
        rows = stage.dev.table(["id", "text", "label"])
        whole = stage.said.answers(rows, part="dev", task=TASK)[1]
        turned, said = stage.said.answers(rows.take(list(range(rows.num_rows))[::-1]), part="dev", task=TASK)
        assert turned["id"].to_pylist() == rows["id"].to_pylist()[::-1]
        np.testing.assert_array_equal(said, whole[::-1])

    def test_leaves_out_what_was_not_answered(self, stage: Stage) -> None:
        rows = stage.dev.table(["id", "text", "label"]).slice(0, 3)
        more = pa.concat_tables([rows.set_column(0, "id", pa.array(["0" * 8] * 3)), rows])
        left, said = stage.said.answers(more, part="dev", task=TASK)
        assert left.equals(rows)
        assert len(said) == 3
        assert stage.said.answers(rows, part="train", task=TASK)[0].num_rows == 0


class TestOfAStudentThatOnlyAnExportServes:
    @pytest.fixture(autouse=True)
    def _no_native_runner(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(type(stage.recipe.student), "runner", lambda self, folder, texts: None)

    def test_nothing_kept_is_an_error_that_names_each_reason(self, stage: Stage, tmp_path: Path) -> None:
        with pytest.raises(OutsideError, match=r"planted: logits differ by .*the format `onnx`") as refused:
            stage.bundle(tmp_path, planted(shift=9.0))
        assert refused.value.exit_code == 4
        assert list(tmp_path.glob("bundle/*")) == []

    def test_its_own_weights_stay_behind(self, stage: Stage, tmp_path: Path) -> None:
        found = stage.bundle(tmp_path, "onnx")
        assert files(found) == {"bundle.json", "golden.jsonl", "manifest.json", "model_card.md", "model.onnx",
                                "tokenizer.json"}  # fmt: skip
        assert "reproducible" not in found.manifest["facts"], "there was nothing to choose"
        predictor = stillroom.load(found.folder, verify=True)
        assert predictor.runner == "onnx"
