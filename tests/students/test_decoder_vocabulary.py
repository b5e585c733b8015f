"""A student that tells what comes next in fewer tokens than its teacher: what it reads, says and learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import stillroom
from stillroom import examples, pipeline
from stillroom.core import plugins, recipe, scored
from stillroom.core.errors import MismatchError
from stillroom.export import in_torch
from stillroom.students.decoder import network as decoder
from stillroom.students.decoder import vocabulary
from stillroom.teachers.huggingface import HuggingFace
from tests.conftest import phrases
from tests.core.test_names import over_bytes
from tests.journey.test_generation import write

TASK: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12})
WRITES: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
#: Texts without `re`, `er`, `in` and a word that begins with `a`: their pieces are what is cut.
TEXTS = ["the ship", "one ship", "she had the ship"]
OTHER = ["her ring", "a star", "naïve 中文", ""]


def opened(folder: Path, task: Any = TASK) -> Any:
    return HuggingFace(model=str(folder)).open(folder, task=task)


def made(folder: Path, studied: Path, *, layers: int = 4, texts: list[str] = TEXTS, **settings: Any) -> Any:
    student: Any = plugins.build("students", {"kind": "decoder", "layers": layers, "vocabulary": "corpus", **settings})
    student.study(opened(folder), studied)
    return student.begin(task=TASK, studied=studied, texts=iter(texts), seed=1)


@pytest.fixture(scope="module")
def trimmed(speaker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All layers of the teacher, and not all of its tokens."""
    return made(speaker_folder, tmp_path_factory.mktemp("studied"))


def said_by(folder: Path, texts: list[str], task: Any = TASK) -> Any:
    return task.form.heard(opened(folder, task).ask(texts, precision="fp32", tokens_per_batch=64)[0])


class TestReads:
    def test_texts_of_the_corpus_as_its_teacher_does(self, trimmed: Any, speaker_folder: Path) -> None:
        teacher = opened(speaker_folder)
        its, _ = teacher._read(TEXTS)
        for own, one in zip(trimmed.encode(TEXTS), its, strict=True):
            np.testing.assert_array_equal(trimmed.names.numbers[own], one)
        assert len(trimmed.names.numbers) < len(teacher.network().get_input_embeddings().weight)

    def test_any_other_text_in_smaller_pieces(self, trimmed: Any) -> None:
        ids, words = trimmed.read(OTHER)
        spell = Tokenizer.from_str(trimmed.tokenizer)
        for row, text in enumerate(OTHER):
            assert spell.decode(ids[row].tolist()) == text
            places = words.take(np.array([row])).places
            assert (places[-1, 1] if len(places) else 0) == len(text.encode())


class TestSays:
    def test_of_the_tokens_that_are_left_what_the_teacher_says(self, trimmed: Any, speaker_folder: Path) -> None:
        whole = opened(speaker_folder).network()
        own = torch.from_numpy(trimmed.encode(TEXTS)[2][None]).long()
        its = torch.from_numpy(trimmed.names.numbers)[own]
        with torch.inference_mode():
            mine = trimmed.module(own, torch.ones_like(own, dtype=torch.bool))
            theirs = whole(input_ids=its).logits[..., trimmed.names.numbers]
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)

    def test_by_the_teacher_s_names(self, trimmed: Any, speaker_folder: Path) -> None:
        own, its = in_torch(trimmed, TEXTS, task=TASK)[0], said_by(speaker_folder, TEXTS)
        np.testing.assert_array_equal(own.tokens, its.tokens)
        assert np.mean(own.ids[:, 0] == its.ids[:, 0]) > 0.8
        answers = TASK.answered(np.ones(3), own, its)
        assert plugins.build("metrics", "kl_mean").counted(answers).tolist() == [0, 1, 2]

    def test_both_ends_are_cut_where_they_are_not_one(self) -> None:
        from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, PhiConfig, PhiForCausalLM

        told = {"vocab_size": 12, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                "intermediate_size": 8, "max_position_embeddings": 16, "eos_token_id": [1, 9],
                "bos_token_id": 0}  # fmt: skip
        plain = json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": {one: at for at, one in
                            enumerate("abcdefghijk")} | {"ab": 11}, "merges": [["a", "b"]]}})  # fmt: skip
        for made in (PhiForCausalLM(PhiConfig(**told)), GPTNeoXForCausalLM(GPTNeoXConfig(**told))):
            network: Any = made
            before = network.get_output_embeddings().weight.detach().clone()
            _, kept = vocabulary.cut(network, plain, np.array([1] * 11))
            assert kept.tolist() == [*range(11)]
            head = network.get_output_embeddings()
            torch.testing.assert_close(head.weight.detach(), before[:11])
            assert head.weight is not network.get_input_embeddings().weight
            assert getattr(head, "bias", None) is None or len(head.bias) == 11
            assert network(input_ids=torch.tensor([[1, 2]])).logits.shape[-1] == network.config.vocab_size == 11
            assert network.config.eos_token_id == [1, 9]


class TestLearns:
    def test_what_it_lacks_is_among_the_others(self, trimmed: Any, speaker_folder: Path) -> None:
        said = said_by(speaker_folder, TEXTS)
        ids, words, retold = TASK.form.taught(trimmed, TEXTS, said)
        assert TASK.form.split(TASK.form.aligned(retold, words)) == 0
        assert [one.tolist() for one in ids] == [one.tolist() for one in trimmed.encode(TEXTS)]
        assert (retold.ids < 0).any()
        logits = torch.from_numpy(
            np.random.default_rng(0).normal(size=(len(retold.values), len(trimmed.names.numbers)))
        )
        own, its = TASK.form.opposed({"token_logprobs": logits},
                                     {"token_logprobs": torch.from_numpy(retold.values).double()})  # fmt: skip
        lacking = retold.ids < 0
        exact = np.exp(said.likeliest[:, -1].astype(np.float64))
        exact += np.where(lacking, np.exp(said.likeliest[:, :-1].astype(np.float64)), 0).sum(axis=1)
        np.testing.assert_allclose(its["logits"].exp()[:, -1].numpy(), exact, rtol=1e-5)
        for side in (own, its):
            np.testing.assert_allclose(side["logits"].exp().sum(dim=-1).numpy(), 1, rtol=1e-5)
            assert (side["logits"][:, :-1].numpy()[lacking] == scored.LEAST).all()
        shares = logits.softmax(-1)
        held = np.where(lacking, 0, np.take_along_axis(shares.numpy(), np.maximum(retold.ids, 0), axis=1)).sum(axis=1)
        np.testing.assert_allclose(own["logits"].exp()[:, -1].numpy(), 1 - held, rtol=1e-5)

    def test_it_is_at_its_least_where_it_says_what_the_teacher_says(self, trimmed: Any, speaker_folder: Path) -> None:
        """Of every kept token as probable, all that is lacking on one that is told of by nobody."""
        said = said_by(speaker_folder, TEXTS)
        _, _, retold = TASK.form.taught(trimmed, TEXTS, said)
        odds = np.full((len(retold.values), len(trimmed.names.numbers)), 1e-30)
        rows, ranks = np.nonzero(retold.ids >= 0)
        odds[rows, retold.ids[rows, ranks]] = np.exp(retold.likeliest[rows, ranks].astype(np.float64))
        unnamed = [next(one for one in range(odds.shape[1]) if one not in named) for named in retold.ids.tolist()]
        odds[np.arange(len(odds)), unnamed] = 1 - odds.sum(axis=1)
        own, its = TASK.form.opposed({"token_logprobs": torch.from_numpy(odds).log()},
                                     {"token_logprobs": torch.from_numpy(retold.values).double()})  # fmt: skip
        np.testing.assert_allclose(own["logits"].numpy(), its["logits"].numpy(), atol=1e-4)

    def test_other_texts_are_aligned_by_bytes(self, trimmed: Any, speaker_folder: Path) -> None:
        said = said_by(speaker_folder, OTHER)
        ids, words, retold = TASK.form.taught(trimmed, OTHER, said)
        assert [one.tolist() for one in ids] == [one.tolist() for one in trimmed.encode(OTHER)]
        own = said.each(said.own)
        for row, lines in enumerate(retold.each(retold.values)):
            singles = (lines[:, 0] == 0) & (lines[:, 1] > scored.LEAST)
            assert len(lines) == len(ids[row]) - 1
            # What the teacher gave the whole text is all there, told at spans or at single tokens.
            whole = lines[:, 0].sum() + own[row][np.isin(said.each(said.places[:, 1])[row], words.take(
                np.array([row])).places[singles, 1])].sum()  # fmt: skip
            assert whole == pytest.approx(own[row].sum(), abs=1e-4)
        assert TASK.form.split(retold.values) == 2, "`in` of a ring, in two"

    def test_what_the_teacher_wrote_is_read_in_its_own_tokens(self, speaker_folder: Path, tmp_path: Path) -> None:
        bare = made(speaker_folder, tmp_path, texts=["x"])
        texts = ["the ship", "a", "two songs"]
        said = said_by(speaker_folder, texts, WRITES)
        ids, words, retold = WRITES.form.taught(bare, texts, said)
        spell = Tokenizer.from_str(bare.tokenizer)
        for row, text in enumerate(texts):
            assert spell.decode(ids[row].tolist()) == text + said.texts[row]
            own = words.take(np.array([row])).places
            size = len((text + said.texts[row]).encode())
            assert own[-1, 1] == size
            read = own[: len(own) - retold.wrote[row]]
            assert read[-1, 1] == len(text.encode())
            its = said.take(np.array([row]))
            ended = its.tokens[-1] == 1
            assert (ids[row][-1] == bare.names.understood(np.array([1]))[0]) == ended
            if ended:
                last = retold.take(np.array([row])).values[-1]
                np.testing.assert_array_equal(last[1:8], its.values[-1, 1:8])
                assert last[0] == 0, "an end is an end for both"
        assert any(said.take(np.array([row])).tokens[-1] == 1 for row in range(3))
        assert WRITES.form.split(retold.values) > 0
        assert np.isfinite(WRITES.form.aligned(retold, words)[:, 0]).sum() == retold.wrote.sum()

    def test_nothing_in_common_is_refused(self, trimmed: Any, speaker_folder: Path) -> None:
        said = said_by(speaker_folder, TEXTS)
        far = said.places + 1000
        with pytest.raises(MismatchError, match="no place where a token ends"):
            TASK.form.taught(trimmed, OTHER[:3], type(said)(said.values, far, said.counts, said.wrote, said.texts))

    def test_objectives_of_logits_are_refused_where_texts_are_cut_otherwise(self) -> None:
        objectives = [plugins.build("objectives", {"kind": one}) for one in ("sequence", "reverse_kl")]
        examples._refuse_cut_otherwise(0, of=9, objectives=objectives)
        examples._refuse_cut_otherwise(3, of=9, objectives=objectives[:1])
        with pytest.raises(MismatchError, match=r"objective\[1\].*3 of 9 tokens"):
            examples._refuse_cut_otherwise(3, of=9, objectives=objectives)

    def test_a_peer_of_other_tokens_is_refused(self) -> None:
        told = torch.from_numpy(scored.of_logits(np.zeros((2, 9)), np.zeros(2, np.int64), kept=6))
        with pytest.raises(MismatchError, match="peer"):
            TASK.form.opposed({"token_logprobs": torch.zeros(2, 9)},
                              {"token_logprobs": told, "peer": torch.zeros(2, 8)})  # fmt: skip


class TestServed:
    @pytest.mark.slow
    def test_as_it_is_and_by_the_teacher_s_names(self, trimmed: Any, tmp_path: Path) -> None:
        trimmed.save(tmp_path)
        runner, files = plugins.build("formats", "onnx_causal").write(trimmed, tmp_path)
        assert sorted(files) == ["causal.onnx", "names.safetensors", "tokenizer.json"]
        texts = [*TEXTS, *OTHER]
        found, whole = runner.open(tmp_path, threads=1)(texts), in_torch(trimmed, texts, task=TASK)[0]
        assert TASK.form.gap(found, whole) < 1e-3
        np.testing.assert_array_equal(found.tokens, whole.tokens)
        again = decoder.reopen(tmp_path, task=TASK)
        np.testing.assert_array_equal(in_torch(again, texts, task=TASK)[0].ids, whole.ids)

    def test_as_a_folder_of_transformers(self, trimmed: Any, tmp_path: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        plugins.build("layouts", "transformers").write(trimmed, tmp_path)
        loaded, reads = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
        assert loaded.config.vocab_size == len(trimmed.names.numbers)
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
        end = Tokenizer.from_str(trimmed.tokenizer).token_to_id("</s>")
        assert loaded.config.eos_token_id == end
        for text in (*TEXTS, *OTHER):
            ids = reads(text, return_tensors="pt")["input_ids"]
            assert ids[0].tolist() == trimmed.encode([text])[0].tolist()
            with torch.inference_mode():
                torch.testing.assert_close(loaded(input_ids=ids).logits, trimmed.module.inner(input_ids=ids).logits)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that knows nothing, with merges of its own."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("stranger")
    (folder / "tokenizer.json").write_text(over_bytes(["Ġ s", "t he", "n g", "h e"]), encoding="utf-8")
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=262, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, max_position_embeddings=128, tie_word_embeddings=True, bos_token_id=0,
                         eos_token_id=1, initializer_range=0.1)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


class TestStartsElsewhere:
    def test_from_a_student_of_fewer_tokens(self, trimmed: Any, speaker_folder: Path, tmp_path: Path) -> None:
        trimmed.save(tmp_path)
        (tmp_path / "studied").mkdir()
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 2, "start": str(tmp_path)})
        student.study(opened(speaker_folder), tmp_path / "studied")
        network = student.begin(task=TASK, studied=tmp_path / "studied", texts=iter(()), seed=1)
        np.testing.assert_array_equal(network.names.numbers, trimmed.names.numbers)

    def test_from_a_model_of_other_tokens(self, stranger: Path, speaker_folder: Path, tmp_path: Path) -> None:
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 2, "start": str(stranger)})
        student.study(opened(speaker_folder), tmp_path)
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(()), seed=1)
        texts = ["the singing ship", "naïve 中文", ""]
        own, its = in_torch(network, texts, task=TASK)[0], said_by(speaker_folder, texts)
        _, _, retold = TASK.form.taught(network, texts, its)
        assert own.counts.tolist() == retold.counts.tolist()
        assert 0 < TASK.form.split(retold.values) < len(retold.values)
        answers = TASK.answered(np.ones(3), own, its)
        assert len(answers.both[0]) < len(own.values)
        np.testing.assert_array_equal(own.places[answers.both[0], 0], its.places[answers.both[1], 0])

    @pytest.mark.slow
    def test_its_journey(self, stranger: Path, speaker_folder: Path, tmp_path: Path) -> None:
        asked = recipe_of(speaker_folder, tmp_path, layers=2, start=str(stranger), freeze_embeddings=False, epochs=30)
        with pytest.raises(MismatchError, match="cross_tokenizer"):
            pipeline.run(recipe.parse(asked), work=tmp_path / "work", until="train")
        mixture = [{"kind": "cross_tokenizer"}, {"kind": "sequence"}]
        run = pipeline.run(recipe.parse({**asked, "objective": mixture}), work=tmp_path / "work", until="train")
        log = [json.loads(line) for line in (run.artifacts["train"].folder / "log.jsonl").read_text().splitlines()]
        assert log[-1]["terms"]["cross_tokenizer"] < 0.5 * log[0]["terms"]["cross_tokenizer"]
        assert log[-1]["dev"]["byte_probability"] > 3 * log[0]["before"]["byte_probability"]


@pytest.mark.slow
def test_the_whole_journey(speaker_folder: Path, tmp_path: Path) -> None:
    run = pipeline.run(recipe.parse(recipe_of(speaker_folder, tmp_path, layers=2, vocabulary="corpus")),
                       work=tmp_path / "work")  # fmt: skip
    scores = run.summary["student"]["scores"]
    assert run.summary["retention"]["byte_probability"]["value"] > 0.9
    assert scores["next_token"]["value"] > 0.8
    assert scores["kl_mean"]["n"] == 40
    predictor = stillroom.load(run.folder, verify=True)
    assert (predictor.folder / "names.safetensors").is_file()
    assert predictor.predict(["the ship"])[0].text


def recipe_of(speaker_folder: Path, folder: Path, **student: Any) -> dict[str, Any]:
    """A recipe for a student of the speaker, on its phrases."""
    order = np.random.default_rng(0).permutation(len(phrases())).tolist()
    parts = {"dev": order[:16], "test": order[16:56], "train": order[56:100]}
    texts = {name: [phrases()[row] for row in rows] for name, rows in parts.items()}
    return {
        "name": "fewer",
        "seed": 3,
        "task": {"kind": "generation", "kept": 8, "writes": 4},
        "corpus": write(folder, **texts),
        "teacher": {"kind": "huggingface", "model": str(speaker_folder)},
        "student": {"kind": "decoder", "epochs": 15, "batch_size": 16, "learning_rate": 1e-2, **student},
        "export": {"formats": ["onnx_causal"], "layouts": ["transformers"]},
        "transfer": {"precision": "fp32"},
        "train": {"patience": 50},
        "evaluate": {"resamples": 200, "min_slice_rows": 20},
        "cost": {"texts": 16, "repeats": 3},
    }  # fmt: skip
