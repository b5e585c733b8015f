"""Students that embed texts: where they start, that padding and unknown tokens say nothing, and how they are served."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillroom.core import batches, plugins, seeds
from stillroom.core.errors import MismatchError
from stillroom.students import Network, Student
from stillroom.students.transformer import pruning
from stillroom.tasks.embeddings import Embeddings
from stillroom.teachers.sentence_transformer import Embedder
from tests.conftest import sentences

STUDENTS: dict[str, dict[str, Any]] = {"static": {"dimensions": 32}, "transformer": {"layers": 2}}
TEXTS = [text for text, _ in sentences()[::9]]
ODD = ["", " ", "great", "GREAT!!", "naïve café", "中文 text", "x" * 300, "a\tb\nc", "great \ufe0f film", "☃ qqq ☃"]
TURN = np.linalg.qr(np.random.default_rng(3).normal(size=(32, 32)))[0].astype(np.float32)


def teacher(folder: Path, *, turned: bool = False) -> Embedder:
    return Embedder(folder, name="tiny", turn=TURN if turned else None)


def begun(
    kind: str, embedder: Path, folder: Path, *, turned: bool = False, **settings: Any
) -> tuple[Student, Network, Embeddings]:
    task = Embeddings(dimensions=32)
    student: Student = plugins.build("students", {"kind": kind, **STUDENTS[kind], **settings})
    (folder / "studied").mkdir(parents=True)
    student.study(teacher(embedder, turned=turned), folder / "studied")
    return student, student.begin(task=task, studied=folder / "studied", texts=iter(TEXTS), seed=5), task


def stirred(network: Network) -> Network:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return network


def in_torch(network: Network, texts: list[str]) -> Any:
    padded, mask = batches.pad(network.encode(texts))
    with torch.inference_mode():
        return network.module.eval()(torch.from_numpy(padded), torch.from_numpy(mask)).float().numpy()


def told(embedder: Path, texts: list[str], *, turned: bool = False) -> Any:
    said, _ = teacher(embedder, turned=turned).ask(texts, precision="fp32", tokens_per_batch=256)
    return said["embedding"]


@pytest.mark.parametrize("turned", [False, True])
def test_all_layers_of_the_teacher_are_the_teacher(turned: bool, embedder_folder: Path, tmp_path: Path) -> None:
    """However its vectors are turned, before the first step: the map was found on words and holds for texts."""
    _, network, _ = begun("transformer", embedder_folder, tmp_path, turned=turned, layers=3)
    both = in_torch(network, TEXTS), told(embedder_folder, TEXTS, turned=turned)
    assert np.einsum("tw,tw->t", *both).min() > 0.999


@pytest.mark.parametrize("turned", [False, True])
def test_token_vectors_start_in_the_teachers_space(turned: bool, embedder_folder: Path, tmp_path: Path) -> None:
    """On the words that the map was found on it is near, and nearer than one that knows nothing of the turn."""
    _, network, _ = begun("static", embedder_folder, tmp_path, turned=turned)
    words = sorted({word for text in TEXTS for word in text.lower().split()})
    near = np.einsum("tw,tw->t", in_torch(network, words), told(embedder_folder, words, turned=turned))
    other = np.einsum("tw,tw->t", in_torch(network, words), told(embedder_folder, words, turned=not turned))
    assert near.mean() > 0.9
    assert other.mean() < 0.5


@pytest.mark.parametrize("kind", STUDENTS)
class TestEvery:
    def test_gives_vectors_of_length_one(self, kind: str, embedder_folder: Path, tmp_path: Path) -> None:
        _, network, task = begun(kind, embedder_folder, tmp_path)
        assert network.shape == task.shape
        found = in_torch(stirred(network), TEXTS)
        assert found.shape == (len(TEXTS), 32)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
        padded, mask = (torch.from_numpy(one) for one in batches.pad(network.encode(TEXTS[:2])))
        assert set(network.tell(padded, mask, frozenset({"logits", "embedding"}))) == {"embedding"}
        assert {id(one) for part in network.strata() for one in part} == {
            id(one) for one in network.module.parameters()
        }
        assert network.flops(network.encode(["great film"])[0]) > 0

    def test_padding_never_counts(self, kind: str, embedder_folder: Path, tmp_path: Path) -> None:
        network = stirred(begun(kind, embedder_folder, tmp_path)[1])
        beside = in_torch(network, ["great", "a much longer text that makes the short one be padded"])
        np.testing.assert_allclose(beside[:1], in_torch(network, ["great"]), atol=1e-5)

    def test_comes_back_the_same(self, kind: str, embedder_folder: Path, tmp_path: Path) -> None:
        student, network, task = begun(kind, embedder_folder, tmp_path)
        stirred(network).save(tmp_path)
        again = student.reopen(tmp_path, task=task)
        np.testing.assert_allclose(in_torch(again, TEXTS + ODD), in_torch(network, TEXTS + ODD), atol=1e-3)
        assert not list(tmp_path.glob("*.bin"))

    @pytest.mark.slow
    def test_exports_are_served_as_it_is(self, kind: str, embedder_folder: Path, tmp_path: Path) -> None:
        student, network, task = begun(kind, embedder_folder, tmp_path)
        stirred(network).save(tmp_path)
        again = student.reopen(tmp_path, task=task)
        expected = in_torch(again, TEXTS + ODD)
        for form in ("onnx", "onnx_int8"):
            runner, _ = plugins.build("formats", form).write(again, tmp_path)
            found = runner.open(tmp_path, threads=1)(TEXTS + ODD)
            assert found.shape == expected.shape
            known = np.linalg.norm(expected, axis=1) > 0.5
            near = np.einsum("tw,tw->t", found, expected)[known]
            assert near.min() > (0.9999 if form == "onnx" else 0.9)


class TestStatic:
    def test_a_token_that_is_unknown_and_a_text_without_any_say_nothing(
        self, embedder_folder: Path, tmp_path: Path
    ) -> None:
        _, network, _ = begun("static", embedder_folder, tmp_path)
        stirred(network)
        assert not in_torch(network, [""]).any()
        assert not in_torch(network, ["☃"]).any()
        np.testing.assert_allclose(in_torch(network, ["great ☃"]), in_torch(network, ["great"]), atol=1e-6)

    def test_is_served_without_torch_as_with_it(self, embedder_folder: Path, tmp_path: Path) -> None:
        student, network, task = begun("static", embedder_folder, tmp_path)
        stirred(network).save(tmp_path)
        runner = student.runner(tmp_path, texts=TEXTS)
        assert runner is not None
        assert runner.kind == "static_vectors"
        serve = runner.open(tmp_path, threads=1)
        expected = in_torch(student.reopen(tmp_path, task=task), TEXTS + ODD)
        np.testing.assert_allclose(serve(TEXTS + ODD), expected, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([serve([text]) for text in ODD]), expected[-len(ODD) :], atol=1e-5)

    def test_with_scores_of_words_it_gives_no_vectors(self) -> None:
        plain, scored = (plugins.build("students", {"kind": "static", **more}) for more in ({}, {"features": {}}))
        assert "vectors" in plain.gives
        assert "vectors" not in scored.gives

    def test_rows_are_far_from_where_half_precision_ends(self, embedder_folder: Path, tmp_path: Path) -> None:
        """Frequent tokens have small rows: their vectors are as exact as those of others."""
        _, network, _ = begun("static", embedder_folder, tmp_path)
        with torch.no_grad():
            network.module.log_weights.weight[:40] -= 2.0  # e⁻¹⁰ of what they were
        network.save(tmp_path)
        again = plugins.build("students", {"kind": "static"}).reopen(tmp_path, task=Embeddings(dimensions=32))
        common = TEXTS[0].lower().split()
        near = np.einsum("tw,tw->t", in_torch(network, common), in_torch(again, common))
        assert near.min() > 0.999


class TestTransformer:
    @pytest.mark.parametrize("cut", [{"width": 8}, {"exits": [1]}])
    def test_what_needs_a_head_gives_no_vectors(self, cut: dict[str, Any]) -> None:
        assert "vectors" not in plugins.build("students", {"kind": "transformer", **cut}).gives

    def test_is_cut_where_its_vectors_depend_least_and_comes_back(self, embedder_folder: Path, tmp_path: Path) -> None:
        student, network, task = begun("transformer", embedder_folder, tmp_path, heads=1, feed_forward=8)
        assert task.shape in student.gives
        stirred(network).save(tmp_path)
        again = student.reopen(tmp_path, task=task)
        np.testing.assert_allclose(in_torch(again, TEXTS + ODD), in_torch(network, TEXTS + ODD), atol=1e-5)
        for layer in pruning.parts(again.module.inner):
            assert (layer.out.in_features, layer.down.in_features) == (16, 8)
        assert not student.is_stated
        with pytest.raises(TypeError):
            plugins.build("layouts", "sentence_transformers").write(again, tmp_path / "layout")

    def test_importance_is_what_a_switch_moves_vectors_by(self, embedder_folder: Path, tmp_path: Path) -> None:
        """Against finite differences: of the vector's product with what was drawn around it."""
        _, network, _ = begun("transformer", embedder_folder, tmp_path, layers=3)
        module = network.module.double()
        ids = network.encode(TEXTS[:1])
        found = pruning.importance(module.inner, ids, seed=3, drawn=partial(pruning.vector_drawn, module))
        generator = torch.Generator().manual_seed(seeds.derive(3, "students/transformer/pruning"))
        noise = torch.randn((1, 32), generator=generator).double()
        layer = pruning.parts(module.inner)[1]
        table = torch.from_numpy(np.stack(ids)).long()

        def said(turned: float) -> float:
            def hook(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
                changed = inputs[0].clone()
                changed[..., 7] *= 1 + turned
                return (changed,)

            handle = layer.down.register_forward_pre_hook(hook)
            with torch.inference_mode():
                vector = module(table, torch.ones_like(table, dtype=torch.bool))
            handle.remove()
            return float((vector * noise).sum())

        assert float(found[1].units[7]) == pytest.approx(abs(said(1e-4) - said(-1e-4)) / 2e-4, rel=1e-3)

    def test_reads_no_further_than_its_teacher(self, embedder_folder: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(embedder_folder, tmp_path / "short"))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 9, "do_lower_case": False}))
        _, network, _ = begun("transformer", folder, tmp_path, layers=3)
        long = " ".join(TEXTS)
        assert len(network.encode([long])[0]) == 9
        assert np.einsum("tw,tw->t", in_torch(network, [long]), told(folder, [long])).min() > 0.999
        assert len(begun("transformer", embedder_folder, tmp_path / "whole")[1].encode([long])[0]) == 64
        network.save(tmp_path)
        assert len(plugins.build("students", "transformer").reopen(tmp_path, task=Embeddings(dimensions=32))
                   .encode([long])[0]) == 9  # fmt: skip

    def test_reads_with_a_part_of_the_vocabulary(self, embedder_folder: Path, tmp_path: Path) -> None:
        student, network, task = begun("transformer", embedder_folder, tmp_path, vocabulary="corpus", min_count=20)
        stirred(network).save(tmp_path)
        again = student.reopen(tmp_path, task=task)
        np.testing.assert_allclose(in_torch(again, TEXTS), in_torch(network, TEXTS), atol=1e-5)
        whole = Embedder(embedder_folder, name="tiny").network().get_input_embeddings().weight
        assert len(network.module.inner.get_input_embeddings().weight) < len(whole)

    def test_more_layers_than_there_are_are_refused(self, embedder_folder: Path, tmp_path: Path) -> None:
        with pytest.raises(MismatchError, match="at most the 3"):
            begun("transformer", embedder_folder, tmp_path, layers=4)
