"""A teacher fitted here: the rate is chosen on dev, and one that under-fits is told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, loop, teach
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError, MismatchError
from stillroom.core.progress import Event
from stillroom.corpora.table import Table
from stillroom.tasks.classification import Classification
from stillroom.teachers.finetuned import FineTuned
from tests.conftest import LABELS, sentences, write_csv

TASK = Classification(labels=LABELS)
SMALL: dict[str, Any] = {
    "batch_size": 8,
    "learning_rates": (2e-3,),
    "epochs": 6,
    "patience": 6,
    "freeze_embeddings": False,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    folder = tmp_path_factory.mktemp("finetuned")
    path = write_csv(folder / "toy.csv", sentences())
    source = Table(labelled=str(path), dev_share=0.2, test_share=0.3)
    return corpus.load(source, task=TASK, store=Store(folder / "work"))


def fitted(encoder: Path, rows: corpus.Corpus, work: Path, events: list[Event], **settings: Any) -> Artifact:
    teacher = FineTuned(base=str(encoder), **{**SMALL, **settings})
    return teach.prepare(
        teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=3, store=Store(work), report=events.append
    )


@pytest.fixture(scope="module")
def learned(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Artifact, list[Event]]:
    """One that learns, with a rate among its rates that is far too high."""
    events: list[Event] = []
    work = tmp_path_factory.mktemp("learned")
    return fitted(encoder_folder, rows, work, events, learning_rates=(0.5, 2e-3)), events


def facts(found: Artifact) -> dict[str, Any]:
    return dict(found.manifest["facts"])


def warnings(events: list[Event]) -> list[str]:
    return [event.note for event in events if event.note.startswith("Warning")]


def test_the_rate_with_the_lower_dev_loss_goes_on(learned: tuple[Artifact, list[Event]]) -> None:
    known = facts(learned[0])
    pilots = {one["learning_rate"]: one for one in known["pilots"]}
    assert set(pilots) == {0.5, 2e-3}
    assert {one["steps"] for one in pilots.values()} == {24}
    assert pilots[2e-3]["dev"]["loss"] < pilots[0.5]["dev"]["loss"]
    assert known["learning_rate"] == 2e-3


@pytest.mark.slow
def test_a_pilot_leaves_nothing_in_what_is_fitted_after_it(
    learned: tuple[Artifact, list[Event]], encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path
) -> None:
    """With the one rate alone the very same weights come out; a fresh start for each is the same start."""
    alone = fitted(encoder_folder, rows, tmp_path, [])
    assert facts(alone)["pilots"] == []
    assert alone.file_digest("model.safetensors") == learned[0].file_digest("model.safetensors")


def test_one_that_beats_its_floor_is_not_warned_of(learned: tuple[Artifact, list[Event]]) -> None:
    known = facts(learned[0])
    assert known["dev_accuracy"] > known["floor_dev_accuracy"]
    assert "warning" not in known
    assert warnings(learned[1]) == []


def test_one_that_learned_nothing_is_warned_of(encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path) -> None:
    events: list[Event] = []
    known = facts(fitted(encoder_folder, rows, tmp_path, events, learning_rates=(1e-9,), epochs=1))
    assert known["dev_accuracy"] <= known["floor_dev_accuracy"] < 1
    assert "does not beat logistic regression" in known["warning"]
    assert warnings(events) == [f"Warning: {known['warning']}."]


def test_what_is_kept_is_the_best_epoch(learned: tuple[Artifact, list[Event]], rows: corpus.Corpus) -> None:
    lines = [json.loads(line) for line in (learned[0].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    known = facts(learned[0])
    assert known["dev_accuracy"] == max(line["dev"]["accuracy"] for line in lines)
    loaded = teach.Opened(FineTuned(base="unused"), learned[0], task=TASK)
    dev = rows.dev.table(["text", "label"])
    said, _ = loaded.ask(dev["text"].to_pylist(), precision="fp32", tokens_per_batch=2048)
    accuracy = float(np.mean(said["logits"].argmax(axis=1) == dev["label"].to_numpy()))
    assert accuracy == pytest.approx(known["dev_accuracy"], abs=0.03)  # it was judged in bf16


def test_the_artifact_is_a_checkpoint_and_nothing_of_the_work(learned: tuple[Artifact, list[Event]]) -> None:
    assert set(learned[0].manifest["files"]) == {"config.json", "model.safetensors", "tokenizer.json", "log.jsonl"}
    config = json.loads((learned[0].folder / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {str(place): name for place, name in enumerate(LABELS)}


def test_it_is_fitted_once(learned: tuple[Artifact, list[Event]], encoder_folder: Path, rows: corpus.Corpus) -> None:
    events: list[Event] = []
    work = learned[0].folder.parents[1]
    again = fitted(encoder_folder, rows, work, events, learning_rates=(0.5, 2e-3))
    assert again.digest == learned[0].digest
    assert events == []


@pytest.fixture(scope="module")
def of_one_class(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, corpus.Corpus]:
    """One that was fitted, with the token table left alone, to rows of which all have one label."""
    folder = tmp_path_factory.mktemp("one-class")
    files = {
        "train": [(f"{text} indeed", "positive") for text, label in sentences() if label == "positive"][:24],
        "dev": sentences()[::5],
        "test": [(f"{text} then", label) for text, label in sentences()[::5]],
    }
    paths = {name: str(write_csv(folder / f"{name}.csv", rows)) for name, rows in files.items()}
    rows = corpus.load(Table(**paths), task=TASK, store=Store(folder / "work"))
    return fitted(encoder_folder, rows, folder / "work", [], epochs=1, freeze_embeddings=True), rows


def test_rows_of_one_class_have_a_floor_too(of_one_class: tuple[Artifact, corpus.Corpus]) -> None:
    found, rows = of_one_class
    labels = rows.dev.table(["label"])["label"].to_numpy()
    share = float(np.mean(labels == LABELS.index("positive")))
    assert facts(found)["floor_dev_accuracy"] == pytest.approx(share)


def test_a_frozen_token_table_stays_what_it_was(
    of_one_class: tuple[Artifact, corpus.Corpus], learned: tuple[Artifact, list[Event]], encoder_folder: Path
) -> None:
    from safetensors.numpy import load_file

    table, other = "embeddings.word_embeddings.weight", "encoder.layer.0.attention.self.query.weight"
    before = load_file(encoder_folder / "model.safetensors")
    frozen, free = (load_file(one.folder / "model.safetensors") for one in (of_one_class[0], learned[0]))
    np.testing.assert_array_equal(frozen[f"bert.{table}"], before[table])
    assert not np.array_equal(free[f"bert.{table}"], before[table])
    assert not np.array_equal(frozen[f"bert.{other}"], before[other])


@pytest.mark.slow
def test_frozen_layers_stay_what_they_were_and_those_above_do_not(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file

    found = fitted(encoder_folder, rows, tmp_path / "work", [], freeze_layers=2, epochs=1)
    before, after = load_file(encoder_folder / "model.safetensors"), load_file(found.folder / "model.safetensors")
    lower = [name for name in before if name.startswith(("embeddings.", "encoder.layer.0.", "encoder.layer.1."))]
    same = {name for name in before if f"bert.{name}" in after and np.array_equal(before[name], after[f"bert.{name}"])}
    assert set(lower) <= same
    assert not any(name.startswith("encoder.layer.2.") and name.endswith("weight") for name in same)


def test_a_teacher_with_nothing_left_to_fit_is_refused(
    encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match="3 layers to freeze of 3"):
        fitted(encoder_folder, rows, tmp_path / "work", [], freeze_layers=3)


def test_without_gold_there_is_nothing_to_fit_to(encoder_folder: Path, tmp_path: Path) -> None:
    unlabelled = write_csv(tmp_path / "more.csv", [(text, "") for text, _ in sentences()[:40]])
    dev, test = (write_csv(tmp_path / f"{n}.csv", sentences()[n * 50 : n * 50 + 20]) for n in (2, 4))
    source = Table(unlabelled=str(unlabelled), dev=str(dev), test=str(test))
    rows = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    with pytest.raises(InputError, match="a teacher that is fitted already"):
        fitted(encoder_folder, rows, tmp_path / "work", [])


def test_a_rate_at_which_numbers_run_away_is_told(encoder_folder: Path, rows: corpus.Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Lower the learning rate"):
        fitted(encoder_folder, rows, tmp_path, [], learning_rates=(1e30,))
