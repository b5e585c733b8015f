"""A language model that is fitted here to go on with prompts as people would have it: what it learns, and its floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, fitness, loop, teach
from stillroom.core import recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import InputError, MismatchError
from stillroom.core.progress import Event
from stillroom.corpora.table import Table
from stillroom.tasks.generation import Generation
from stillroom.tasks.text_to_text import TextToText
from stillroom.teachers.finetuned import FineTuned
from tests.conftest import phrases

TASK = Generation(learns="written", writes=20, kept=8)
SMALL: dict[str, Any] = {"batch_size": 8, "learning_rates": (3e-3,), "epochs": 20, "patience": 9,
                         "freeze_embeddings": False}  # fmt: skip
ANSWERS = ("\nThat is so.", "\nThat is not so.")
LONG = " and again" * 9


def rows_of(folder: Path, told: list[dict[str, Any]]) -> corpus.Corpus:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, told)), encoding="utf-8")
    source = Table(labelled=str(folder / "rows.jsonl"), dev_share=0.2, test_share=0.2, near_twins="keep")
    return corpus.load(source, task=TASK, store=Store(folder / "work"))


def prompts() -> list[dict[str, Any]]:
    """A phrase as a prompt, and one of two sentences that its model never wrote: which one hangs on its first word."""
    return [{"text": one, "label": [ANSWERS[int(one.startswith("the ship"))], "\nWho knows."]} for one in phrases()]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    return rows_of(tmp_path_factory.mktemp("spoken"), prompts())


def fitted(base: Path, rows: corpus.Corpus, work: Path, events: list[Event], **settings: Any) -> Artifact:
    teacher = FineTuned(base=str(base), **{**SMALL, **settings})
    return teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=3, store=Store(work),
                         report=events.append)  # fmt: skip


@pytest.fixture(scope="module")
def learned(
    speaker_folder: Path, rows: corpus.Corpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Artifact, list[Event]]:
    events: list[Event] = []
    return fitted(speaker_folder, rows, tmp_path_factory.mktemp("learned"), events), events


def test_it_learns_what_stands_behind_a_prompt(
    learned: tuple[Artifact, list[Event]], rows: corpus.Corpus, speaker_folder: Path
) -> None:
    facts = learned[0].manifest["facts"]
    assert facts["dev_byte_probability"] > 0.8 > 0.2 > facts["floor_dev_byte_probability"], "itself, as it was"
    assert "warning" not in facts
    teacher = FineTuned(base=str(speaker_folder)).open(learned[0].folder, task=TASK)
    told = rows.test.table(["text", "label"])
    said, _ = teacher.ask(told["text"].to_pylist(), precision="fp32", tokens_per_batch=1024)
    whose = [one == its[0] for one, its in zip(said["sequence"], told["label"].to_pylist(), strict=True)]
    assert np.mean(whose) > 0.9, "and its end: whoever does not stop writes more than that"
    assert teacher.identify().name.endswith("fine-tuned")
    assert len(teacher.network().model.layers) == 4, "a student may keep some of them"


def test_one_that_learned_nothing_is_warned_of(speaker_folder: Path, rows: corpus.Corpus, tmp_path: Path) -> None:
    events: list[Event] = []
    found = fitted(speaker_folder, rows, tmp_path, events, learning_rates=(1e-9,), epochs=1)
    assert "does not beat itself before it was fitted" in found.manifest["facts"]["warning"]
    assert [event.note for event in events if event.note.startswith("Warning")]


def test_a_prompt_without_room_for_its_reference_is_left_out(speaker_folder: Path, tmp_path: Path) -> None:
    """What is cut off would be what is learned from; of all other rows the very same comes."""
    long = [{"text": f"{one['text']}{LONG}", "label": one["label"]} for one in prompts()[:8]]
    found = rows_of(tmp_path, [*prompts()[8:], *long])
    events: list[Event] = []
    made = fitted(speaker_folder, found, tmp_path, events, max_tokens=80, epochs=1)
    train = found.train.table(["text"])["text"].to_pylist()
    whole = [one for one in train if LONG not in one]
    assert 0 < len(whole) < len(train)
    assert made.manifest["facts"]["learned_from"] == len(whole)
    (note,) = [event.note for event in events if "of train" in event.note]
    assert f"{len(train) - len(whole)} of {len(train)} rows of train are longer" in note
    with pytest.raises(
        InputError, match=r"found room for 8 tokens, where each prompt of `corpus.train`.*Set it higher"
    ):
        fitted(speaker_folder, found, tmp_path, [], max_tokens=8)


def test_what_its_base_can_read_is_told(speaker_folder: Path, tmp_path: Path) -> None:
    """Of 128 positions no setting makes more."""
    long = [{"text": f"{one['text']}{LONG}{LONG}", "label": one["label"]} for one in prompts()[:30]]
    with pytest.raises(InputError, match=r"found room for 128 tokens.*Take a base that reads more"):
        fitted(speaker_folder, rows_of(tmp_path, long), tmp_path, [])


def test_nothing_is_learned_of_the_prompt_itself(
    learned: tuple[Artifact, list[Event]], rows: corpus.Corpus, speaker_folder: Path
) -> None:
    """The examples of its fit count no token that was read, and each that is to be written, its end among them."""
    from stillroom.teachers._fitting import Examples

    network = FineTuned(base=str(speaker_folder))._base(TASK).begun(learned[0].folder, seed=0)
    found = Examples.of_gold(network, rows.train, task=TASK)
    told = rows.train.table(["text", "label"])
    assert found.logits is not None
    assert found.words is not None
    counts = np.bincount(found.words.owners, weights=np.isfinite(found.logits[:, 0]), minlength=len(found.ids))
    expected = [len(network.encode([one[0]])[0]) - 1 + 1 for one in told["label"].to_pylist()]
    assert counts.tolist() == expected


def test_layers_that_are_frozen_stay_as_they_were(speaker_folder: Path, rows: corpus.Corpus, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    found = fitted(speaker_folder, rows, tmp_path, [], epochs=1, freeze_layers=3, freeze_embeddings=True)
    before, after = (load_file(one / "model.safetensors") for one in (speaker_folder, found.folder))
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("model.layers.3.") or name == "model.norm.weight" for name in changed)


def test_a_file_of_a_language_model_is_for_text_that_goes_on(tmp_path: Path, rows: corpus.Corpus) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    teacher = FineTuned(base=str(tmp_path), file="model.gguf")
    assert [one.where for one in FineTuned(base="x", file="a", start="b", candidates=2).unfit(TASK)] == [
        "teacher.candidates"
    ]
    assert {"file", "start"}.isdisjoint(FineTuned(base="x").making), "what was fitted before stays"
    with pytest.raises(MismatchError, match=r"`model\.gguf` for text_to_text"):
        teach.prepare(teacher, task=TextToText(), corpus=rows.learnable, fit=loop.fit, seed=3, store=Store(tmp_path))
    with pytest.raises(InputError, match=r"no other\.gguf in"):
        FineTuned(base=str(tmp_path), file="other.gguf").inputs(rows.learnable)


def test_running_text_is_no_lesson_for_a_teacher(speaker_folder: Path) -> None:
    """It is told before anything starts; so is a base in a file that nothing here reads."""
    asked: dict[str, Any] = {
        "name": "x", "task": {"kind": "generation"}, "corpus": {"kind": "table", "train": "t", "dev": "d", "test": "e"},
        "teacher": {"kind": "finetuned", "base": str(speaker_folder)}, "student": {"kind": "decoder"},
        "export": {"formats": ["onnx_causal"]},
    }  # fmt: skip
    (problem,) = fitness.misfits(recipe.parse(asked))
    assert (problem.where, problem.expected) == ("task.learns", "`written`, with prompts and their references")
    assert fitness.misfits(recipe.parse({**asked, "task": {"kind": "generation", "learns": "written"}})) == []
    assert FineTuned(base="x", file="model.gguf").packages == ("gguf",)
