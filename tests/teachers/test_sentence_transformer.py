"""A teacher that answers with vectors: as its library has them, turned where that is asked for, and never with code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, loop, teach
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, MismatchError
from stillroom.corpora.table import Table
from stillroom.tasks.embeddings import Embeddings
from stillroom.teachers.sentence_transformer import Embedder, SentenceTransformer
from tests.conftest import sentences

TEXTS = [text for text, _ in sentences()[::25]]


def rows(folder: Path) -> corpus.Corpus:
    path = folder / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text, _ in sentences()), encoding="utf-8")
    for name in ("dev", "test"):
        line = {"text": f"one of {name}", "other": f"another of {name}", "label": 1}
        (folder / f"{name}.jsonl").write_text(json.dumps(line), encoding="utf-8")
    source = Table(unlabelled=str(path), dev=str(folder / "dev.jsonl"), test=str(folder / "test.jsonl"), other="other")
    return corpus.load(source, task=Embeddings(dimensions=4), store=Store(folder / "work"))


def answers(model: Path, folder: Path, **task: Any) -> Any:
    teacher, asked = SentenceTransformer(model=str(model)), Embeddings(**task)
    found = teach.prepare(teacher, task=asked, corpus=rows(folder).learnable, fit=loop.fit, seed=1,
                          store=Store(folder / "work"))  # fmt: skip
    said, _ = teacher.open(found.folder, task=asked).ask(TEXTS, precision="fp32", tokens_per_batch=128)
    return said["embedding"]


def test_its_vectors_are_the_librarys(embedder_folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer as Model

    expected = Model(str(embedder_folder), device="cpu", local_files_only=True).encode(TEXTS)
    np.testing.assert_allclose(answers(embedder_folder, tmp_path, dimensions=32), expected, atol=1e-6)


def test_turned_no_cosine_changes_and_the_first_dimensions_hold_most(embedder_folder: Path, tmp_path: Path) -> None:
    plain = answers(embedder_folder, tmp_path, dimensions=32)
    turned = answers(embedder_folder, tmp_path, dimensions=32, prefixes=[4, 8])
    np.testing.assert_allclose(turned @ turned.T, plain @ plain.T, atol=1e-5)
    assert np.abs(turned - plain).max() > 0.1
    held = np.square(turned).mean(axis=0)
    assert held[:4].sum() > np.square(plain).mean(axis=0)[np.argsort(-np.square(plain).mean(axis=0))[:4]].sum()
    cut = answers(embedder_folder, tmp_path, dimensions=4)
    first = turned[:, :4] / np.linalg.norm(turned[:, :4], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, first, atol=1e-5)


def test_more_dimensions_than_it_has_are_refused(embedder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="at most the 32"):
        answers(embedder_folder, tmp_path, dimensions=33)


def test_its_digest_is_of_every_file(embedder_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(embedder_folder, folder)
    before = Embedder(folder, name="tiny").identify().weights
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(pooling.read_text().replace("mean_tokens", "cls_token"))
    assert Embedder(folder, name="tiny").identify().weights != before


@pytest.mark.parametrize("fault", ["own code", "pickled", "outside", "no list", "weights"])
def test_what_could_run_code_or_is_broken_is_refused(fault: str, embedder_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(embedder_folder, folder)
    chain = json.loads((folder / "modules.json").read_text())
    if fault == "own code":
        chain[1]["type"] = "my_module.Pooling"
    elif fault == "outside":
        chain[1]["path"] = "../elsewhere"
    elif fault == "pickled":
        (folder / "1_Pooling" / "pytorch_model.bin").write_bytes(b"x")
    elif fault == "weights":
        (folder / "model.safetensors").write_bytes(b"x")
    (folder / "modules.json").write_text("{" if fault == "no list" else json.dumps(chain))
    told = {"own code": "my_module", "pickled": "pickled weights", "outside": "a folder inside it",
            "no list": "no list of modules", "weights": "safetensors"}  # fmt: skip
    with pytest.raises(InputError, match=told[fault]):
        Embedder(folder, name="tiny")
