"""A summary is of the length that is wished: of students that pick and that write, in all the ways to ask them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient
from typer.testing import CliRunner

import stillroom
from stillroom import predict, runtime
from stillroom.cli import app as commands
from stillroom.core import artifact, batches, plugins, sentences
from stillroom.core.artifact import Draft, Store
from stillroom.core.errors import InputError
from stillroom.runtime import reading
from stillroom.runtime.runners import Runner
from stillroom.serve import app
from stillroom.tasks.text_to_text import TextToText
from tests.serve.conftest import serving
from tests.students.test_extractive import DOCUMENTS, begun, stirred

TASK = TextToText(goal="summary")
SAID = "Cats sat here on mats. Dogs ran on. Birds sang loud. Fish swam in the pond all night. Bees flew home."
THINGS = [f"{number} {colour} thing{end}" for number in ("One", "Two") for colour in ("red", "old") for end in ".!"]


def _bundle(work: Path, task: TextToText, make: Any) -> Path:
    """A bundle of what `make` writes into a draft, which gives its runner."""

    def write(draft: Draft) -> None:
        runner: Runner = make(draft.folder)
        settings = runner.model_dump(mode="json", serialize_as_any=True)
        runners = {runner.kind: {"settings": settings, "parity": 1e-3}}
        told = {"task": task.model_dump(mode="json"), "default": runner.kind, "runners": runners}
        artifact.write_json(draft.folder / runtime.BUNDLE, told)
        texts = [row.text for row in task.toy()][:4]
        rows = task.form.lines(runner.open(draft.folder, threads=1)(texts))
        lines = [json.dumps({"text": text, **row}) for text, row in zip(texts, rows, strict=True)]
        artifact.write_text(draft.folder / runtime.GOLDEN, "\n".join(lines))

    return Store(work).obtain("bundle", settings={}, inputs={}, make=write).folder


@pytest.fixture(scope="module")
def picker(embedder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that picks a sentence."""
    folder = tmp_path_factory.mktemp("picker")
    student, network = begun(folder, embedder_folder)
    stirred(network)

    def make(into: Path) -> Any:
        network.save(into)
        return student.runner(into, texts=[])

    return _bundle(folder / "work", TASK, make)


def _writer(folder: Path, task: TextToText, *, steps: int) -> Path:
    told = {"kind": "seq2seq", "width": 32, "heads": 2, "encoder_layers": 2, "feed_forward": 64, "vocabulary": 400}
    student: Any = plugins.build("students", {**told, "longest": 90, "dropout": 0.0})
    network: Any = student.begin(task=task, studied=Path(), texts=iter([SAID, *THINGS]), seed=3)
    ids, _, _ = task.form.taught(network, THINGS, [SAID] * len(THINGS))
    padded, mask = map(torch.from_numpy, batches.pad(ids))
    (optimizer,) = network.optimizers(5e-3)
    network.module.train()
    for _ in range(steps):
        optimizer.zero_grad()
        told = network.tell(padded, mask, frozenset())
        known = told["written"] >= 0
        torch.nn.functional.cross_entropy(told["sequence"][known], told["written"][known]).backward()
        optimizer.step()
    network.module.eval()

    def make(into: Path) -> Any:
        network.save(into)
        return plugins.build("formats", {"kind": "ctranslate2", "quantization": "float32"}).write(network, into)[0]

    return _bundle(folder / "work", task, make)


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that writes three sentences of whatever it reads."""
    return _writer(tmp_path_factory.mktemp("writer"), TASK, steps=80)


@pytest.fixture(scope="module")
def client(picker: Path, writer: Path) -> Iterator[TestClient]:
    models = [{"name": "picker", "path": str(picker)}, {"name": "writer", "path": str(writer)}]
    with TestClient(app.make(serving(picker, models=models, deadline_ms=60_000))) as found:
        yield found


def test_one_that_writes_keeps_whole_sentences(writer: Path) -> None:
    student = stillroom.load(writer, verify=True)
    assert student.takes_length
    assert student.predict(THINGS[:1])[0].text == SAID
    found = student.predict(THINGS[:5], length=[None, 100, 9, 5, 2])
    assert [one.text for one in found] == [SAID, SAID, SAID[:35], SAID[:22], "Cats sat"]
    assert [one.cut_short for one in found] == [False] * 4 + [True]
    assert found[4].as_dict() == {"text": "Cats sat", "cut_short": True}
    assert found[4].as_line() == "Cats sat …"
    assert student.predict(THINGS[:2], length=5)[1].as_dict() == {"text": SAID[:22]}
    settings = json.loads((writer / runtime.BUNDLE).read_text(encoding="utf-8"))["runners"]["ctranslate2"]["settings"]
    begun = plugins.build("runtime.runners", settings).open(writer, threads=1).within(THINGS[:1], [1])[0]
    assert 2 < len(begun.split()) < len(SAID.split()), "it was written no further"


def test_it_is_stopped_only_where_enough_is_written(writer: Path) -> None:
    student = stillroom.load(writer)
    for text in (*THINGS, "a", "a a a a a a a a", "thing" * 20, ""):
        (whole,) = student.predict([text])
        for length in range(1, 22):
            (found,) = student.predict([text], length=length)
            assert (found.text, found.cut_short) == sentences.within(whole.text, length)


def test_one_that_picks_fills_the_room(picker: Path) -> None:
    student = stillroom.load(picker, verify=True)
    (one,), (more,) = student.predict(DOCUMENTS[5:6]), student.predict(DOCUMENTS[5:6], length=30)
    assert one.text in more.text
    assert sentences.words(one.text) < sentences.words(more.text) <= 30
    (cut,) = student.predict(DOCUMENTS[5:6], length=1)
    assert (sentences.words(cut.text), cut.cut_short) == (1, True)


def test_a_length_of_what_has_none_is_refused(travelled: Any, picker: Path, tmp_path: Path) -> None:
    for found in (stillroom.load(travelled.run.folder), stillroom.load(_writer(tmp_path, TextToText(), steps=0))):
        assert not found.takes_length
        for ask in (found.predict, lambda texts, length, to=found: list(reading.read_all(to, texts, length=length))):
            with pytest.raises(InputError, match="only what summarises"):
                ask(["a"], length=3)
    with pytest.raises(InputError, match="0 words"):
        stillroom.load(picker).predict(["a"], length=0)


def test_the_command_takes_it(writer: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(commands, ["predict", str(writer), "--length", "5", "--jsonl", THINGS[0]])
    assert json.loads(told.stdout)["text"] == SAID[:22]
    student = stillroom.load(writer)
    whole = list(predict.answers(student, predict.given([" ".join(THINGS * 5)]), length=9))
    assert whole[0].reading.passages > 1
    assert whole[0].as_dict()["text"] == SAID[:35]


def test_the_server_takes_it(client: TestClient, picker: Path, writer: Path) -> None:
    assert {one["name"]: one["takes_length"] for one in client.get("/models").json()["models"]} == {
        "picker": True, "writer": True}  # fmt: skip
    for name, folder in (("picker", picker), ("writer", writer)):
        texts = [*DOCUMENTS[:6], *THINGS]
        student = stillroom.load(folder)
        told = client.post("/predict", json={"model": name, "texts": texts, "length": 6}).json()["predictions"]
        own = [one.prediction.as_dict() for one in reading.read_all(student, texts, length=6)]
        assert [{key: one[key] for key in ("text", "cut_short") if key in one} for one in told] == own
        plain = client.post("/predict", json={"model": name, "texts": texts}).json()["predictions"]
        assert [one["text"] for one in plain] == [one.prediction.text for one in reading.read_all(student, texts)]


def test_a_stream_ends_in_what_is_wished(client: TestClient) -> None:
    text = " ".join(THINGS * 5)
    body = {"model": "writer", "text": text, "length": 9, "stream": True}
    events = [one.split("\ndata: ") for one in client.post("/predict", json=body).text.strip().split("\n\n")]
    assert len(events) > 2
    assert {name for name, _ in events[:-1]} == {"event: part"}
    name, last = events[-1]
    plain = client.post("/predict", json={**body, "stream": False}).json()["predictions"][0]
    assert (name, json.loads(last)) == ("event: prediction", plain)
    assert plain["text"] == SAID[:35]
    short = client.post("/predict", json={**body, "text": THINGS[0], "length": 5}).text.strip().split("\n\n")
    assert [json.loads(one.split("\ndata: ")[1])["text"] for one in short] == [SAID[:22]] * 2


def test_what_is_found_in_a_stream_is_counted_once(writer: Path) -> None:
    rule = {"detector": {"kind": "output", "patterns": ["dogs"]}, "action": "mask"}
    with TestClient(app.make(serving(writer, guard={"/predict": {"output": [rule]}}))) as client:
        told = client.post("/predict", json={"text": THINGS[0], "stream": True}).text.strip().split("\n\n")
        part, whole = [json.loads(one.split("\ndata: ")[1]) for one in told]
        assert part["text"] == whole["text"] == SAID.replace("Dogs", "[removed]")
        assert len(whole["flags"]) == 1
        counted = [one for one in client.get("/metrics").text.splitlines() if one.startswith("stillroom_guard")]
        assert [one.rpartition(" ")[2] for one in counted if "_total{" in one] == ["1.0"], counted


@pytest.mark.parametrize("length", [0, -1, 2.5, "short", True])
def test_what_is_no_length_is_refused(client: TestClient, length: Any) -> None:
    told = client.post("/predict", json={"model": "writer", "text": "a", "length": length})
    assert told.status_code == 422
    assert told.json()["error"]["problems"][0]["where"] == "body.length"


@pytest.mark.parametrize("stream", [False, True])
def test_the_server_refuses_it_where_there_is_none(stream: bool, travelled: Any) -> None:
    with TestClient(app.make(serving(travelled.run.folder))) as client:
        told = client.post("/predict", json={"text": "a", "length": 3, "stream": stream})
        assert told.status_code == 422
        assert "summarises" in told.json()["error"]["problems"][0]["expected"]
        assert "length" in client.get("/openapi.json").json()["components"]["schemas"]["Ask"]["properties"]
