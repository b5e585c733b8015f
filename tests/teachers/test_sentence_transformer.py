"""A teacher that answers with vectors: as its library has them, turned where that is asked for, and never with code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, loop, teach
from stillroom.core import plugins
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, MismatchError, RecipeError
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


class TestSideBySide:
    """An ensemble of models, here of one model and of its mirror image in other dimensions."""

    @pytest.fixture
    def other(self, embedder_folder: Path, tmp_path: Path) -> Path:
        """The same with weights of another chance."""
        import torch
        from transformers import AutoModel

        folder = tmp_path / "other"
        shutil.copytree(embedder_folder, folder)
        network = AutoModel.from_pretrained(folder)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)) * 0.2)
        network.save_pretrained(folder)
        return folder

    def ensemble(self, *models: Path, **settings: Any) -> Any:
        members = [{"kind": "sentence_transformer", "model": str(one), "licence": "MIT"} for one in models]
        return plugins.build("teachers", {"kind": "ensemble", "members": members, **settings})

    def test_a_cosine_is_the_weighted_mean_of_the_members(
        self, embedder_folder: Path, other: Path, tmp_path: Path
    ) -> None:
        teacher, task = self.ensemble(embedder_folder, other, weights=[3, 1]), Embeddings(dimensions=64)
        found = teach.prepare(teacher, task=task, corpus=rows(tmp_path).learnable, fit=loop.fit, seed=1,
                              store=Store(tmp_path / "work"))  # fmt: skip
        loaded = teacher.open(found.folder, task=task)
        said, _ = loaded.ask(TEXTS, precision="fp32", tokens_per_batch=128)
        alone = [Embedder(one, name="one").ask(TEXTS, precision="fp32", tokens_per_batch=128)[0]["embedding"]
                 for one in (embedder_folder, other)]  # fmt: skip
        expected = 0.75 * alone[0] @ alone[0].T + 0.25 * alone[1] @ alone[1].T
        np.testing.assert_allclose(said["embedding"] @ said["embedding"].T, expected, atol=1e-5)
        known = loaded.identify()
        assert known.labels == task.outputs
        assert known.answers == "embedding"
        assert known.licence == "MIT"
        assert known.tokenizer == Embedder(embedder_folder, name="one").identify().tokenizer
        assert loaded.network() is not None
        assert loaded.precisions[0] == "fp32"

    def test_fewer_dimensions_are_those_that_hold_most(
        self, embedder_folder: Path, other: Path, tmp_path: Path
    ) -> None:
        teacher, task = self.ensemble(embedder_folder, other), Embeddings(dimensions=6)
        found = teach.prepare(teacher, task=task, corpus=rows(tmp_path).learnable, fit=loop.fit, seed=1,
                              store=Store(tmp_path / "work"))  # fmt: skip
        said, _ = teacher.open(found.folder, task=task).ask(TEXTS, precision="fp32", tokens_per_batch=128)
        assert said["embedding"].shape == (len(TEXTS), 6)
        np.testing.assert_allclose(np.linalg.norm(said["embedding"], axis=1), 1.0, atol=1e-5)

    def test_what_makes_no_sense_of_vectors_is_refused(self, embedder_folder: Path, classifier_folder: Path) -> None:
        with pytest.raises(RecipeError, match="average"):
            self.ensemble(embedder_folder, embedder_folder, select="confidence")
        members = [{"kind": "sentence_transformer", "model": str(embedder_folder)},
                   {"kind": "huggingface", "model": str(classifier_folder)}]  # fmt: skip
        mixed = plugins.build("teachers", {"kind": "ensemble", "members": members})
        assert mixed.answers_in == frozenset()
