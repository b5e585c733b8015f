"""Networks that can be looked into: what is seen there is what answers, and weights come to what they explain."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stillroom import teach
from stillroom.core import plugins
from stillroom.export import in_torch
from stillroom.probes import integrated_gradients
from stillroom.students import Inside
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.generation import Generation
from stillroom.tasks.token_labelling import TokenLabelling
from stillroom.teachers.huggingface import Checkpoint
from stillroom.teachers.sentence_transformer import Embedder
from tests.conftest import LABELS, needs_captum

TEXT = "the film was Great today"
SOME = [TEXT, "we found it dull in every scene"] * 4
CLASSES, TAGS = Classification(labels=LABELS), TokenLabelling(labels=("PER", "LOC"))
VECTORS, FURTHER = Embeddings(dimensions=32), Generation(kept=6, writes=4)
TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0].astype(np.float32)


def adds_up(here: Inside | None, said: Any, *, task: Task) -> None:
    """Weights come to what is explained of who answered so, and stand at the words."""
    import torch

    assert here is not None
    told, form = here.read(TEXT), task.form
    stands = [(start, end) for start, end in told.places.tolist() if end > start]
    assert (stands[0][0], stands[-1][1]) == (0, len(TEXT))
    aim = form.aim(said, told)
    assert len(aim.weights)
    with torch.inference_mode():
        answer = here.answer(torch.from_numpy(told.ids[None].astype(np.int64)), torch.ones(1, len(told.ids)).bool())
    explained = float(answer.numpy()[(0, *aim.at)] @ aim.weights)
    assert explained == pytest.approx(expected(said, task=task), abs=1e-3), "what is looked into is what answered"
    found, rise = integrated_gradients.along(here, told, aim, steps=100)
    assert np.abs(found).max() > 0
    assert found.sum() == pytest.approx(rise, abs=0.01 * np.abs(found).sum())
    assert not found[told.places[:, 1] == 0].any(), "what was added around a text counts for nothing"


def expected(said: Any, *, task: Task) -> float:
    """What is explained, from what was said."""
    if task.form.answer == "embedding":
        return 1.0
    if task.form.answer == "token_logprobs":
        return float(said.own[said.read].sum())
    values = task.form.values(said)
    best = values.max(axis=1)
    return float(best[values.argmax(axis=1) > 0].mean() if task.form.axes[0] == "word" else best[0])


def marked(network: Any) -> Any:
    """With a head that finds something at most words, for which it matters how they are written."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if name.startswith(("head", "tables.ways", "inner.classifier", "classifier")):
                weight.add_(torch.randn(weight.shape, generator=generator))
    return network


def tagger(encoder: Path, folder: Path) -> Path:
    from transformers import AutoModelForTokenClassification

    network = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=len(TAGS.outputs))
    marked(network).save_pretrained(folder)
    shutil.copyfile(encoder / "tokenizer.json", folder / "tokenizer.json")
    return folder


def looked_into(kind: str, teacher: Any, folder: Path, *, task: Task, **settings: Any) -> None:
    """A student, begun and saved, is what is seen."""
    student, studied, kept = plugins.build("students", {"kind": kind, **settings}), folder / "studied", folder / "kept"
    studied.mkdir()
    kept.mkdir()
    student.study(teacher, studied)
    network = student.begin(task=task, studied=studied, texts=iter(SOME), seed=1)
    if task is TAGS:
        marked(network.module)
    network.save(kept)
    said = in_torch(student.reopen(kept, task=task), [TEXT], task=task)[0]
    adds_up(student.inside(kept, task=task), said, task=task)


@needs_captum
@pytest.mark.parametrize("kind", ["static", "cnn", "bigru", "transformer"])
def test_students_that_name_labels(kind: str, classifier_folder: Path, tmp_path: Path) -> None:
    looked_into(kind, Checkpoint(classifier_folder, name="tiny", task=CLASSES), tmp_path, task=CLASSES)


@needs_captum
@pytest.mark.parametrize("kind", ["cnn", "bigru", "transformer"])
def test_students_that_label_words(kind: str, encoder_folder: Path, tmp_path: Path) -> None:
    """Those that read capitals beside tokens too."""
    where = tagger(encoder_folder, tmp_path / "teacher")
    looked_into(kind, Checkpoint(where, name="tiny", task=TAGS, labels=TAGS.outputs), tmp_path, task=TAGS)


@needs_captum
@pytest.mark.parametrize("kind", ["static", "transformer"])
def test_students_that_embed(kind: str, embedder_folder: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"static": {"dimensions": 32}, "transformer": {"layers": 2}}[kind]
    looked_into(kind, Embedder(embedder_folder, name="tiny"), tmp_path, task=VECTORS, **settings)


@needs_captum
def test_students_that_go_on(speaker_folder: Path, tmp_path: Path) -> None:
    teacher = plugins.build("teachers", {"kind": "huggingface", "model": str(speaker_folder)})
    looked_into("decoder", teacher.open(tmp_path, task=FURTHER), tmp_path, task=FURTHER, layers=2)


def test_a_student_of_n_grams_can_not(tmp_path: Path) -> None:
    student = plugins.build("students", "bag")
    student.begin(task=CLASSES, studied=tmp_path, texts=iter(()), seed=1).save(tmp_path)
    assert student.inside(tmp_path, task=CLASSES) is None


def teaches(settings: dict[str, Any], folder: Path, *, task: Task) -> None:
    """A teacher is what is seen."""
    place: Any = SimpleNamespace(folder=folder)
    opened = teach.Opened(plugins.build("teachers", settings), place, task=task)
    wanted = frozenset({task.form.answer})
    said, _ = opened.ask([TEXT], precision="fp32", tokens_per_batch=256, wanted=wanted)
    adds_up(opened.inside(), task.form.heard(said), task=task)


@needs_captum
def test_teachers(classifier_folder: Path, encoder_folder: Path, speaker_folder: Path, tmp_path: Path) -> None:
    where = tagger(encoder_folder, tmp_path / "teacher")
    for folder, task in ((classifier_folder, CLASSES), (where, TAGS), (speaker_folder, FURTHER)):
        settings: dict[str, Any] = {"kind": "huggingface", "model": str(folder)}
        teaches(settings | ({"labels": TAGS.outputs} if task is TAGS else {}), tmp_path, task=task)


@needs_captum
@pytest.mark.parametrize("turned", [False, True])
def test_teachers_of_vectors(turned: bool, embedder_folder: Path, tmp_path: Path) -> None:
    """Their vectors at length one, and turned as they are where they are."""
    from safetensors.numpy import save_file

    if turned:
        save_file({"turn": TURN[:8].copy()}, tmp_path / "turn.safetensors")
    task = Embeddings(dimensions=8) if turned else VECTORS
    teaches({"kind": "sentence_transformer", "model": str(embedder_folder)}, tmp_path, task=task)


def test_teachers_of_which_something_else_answers_too_can_not(classifier_folder: Path, tmp_path: Path) -> None:
    member = {"kind": "huggingface", "model": str(classifier_folder)}
    teacher, place = plugins.build("teachers", {"kind": "ensemble", "members": [member, member]}), tmp_path
    found: Any = SimpleNamespace(folder=place)
    assert teach.Opened(teacher, found, task=CLASSES).inside() is None
