"""The student that writes: its tokens, its fit, and that CTranslate2 writes what torch writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from stillroom.core import batches, plugins, sentences
from stillroom.core.errors import RecipeError
from stillroom.students import Student, Writes
from stillroom.students.seq2seq import network as seq2seq
from stillroom.tasks.text_to_text import TextToText

TASK = TextToText()
SMALL = {"kind": "seq2seq", "width": 32, "heads": 2, "encoder_layers": 2, "feed_forward": 64, "vocabulary": 500}
PAIRS = [(row.text, str(row.label)) for row in TASK.toy()]
ODD = ["", " ", "one", "ONE RED CATS", "naïve café 中文 ☃", "a\tb\nc", "x" * 600, "one red cats " * 90, "👩‍👩‍👧 \u0301"]


def begun(**settings: Any) -> tuple[Student, Writes]:
    student: Student = plugins.build("students", {**SMALL, **settings})
    texts = (text for pair in PAIRS for text in pair)
    found: Any = student.begin(task=TASK, studied=Path(), texts=texts, seed=3)
    return student, found


def rows(network: Writes, pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    read, written = (list(one) for one in zip(*pairs, strict=True))
    ids, _, _ = TASK.form.taught(network, read, written)
    padded, mask = batches.pad(ids)
    return torch.from_numpy(padded), torch.from_numpy(mask)


def loss(network: Writes, pairs: list[tuple[str, str]]) -> torch.Tensor:
    told = network.tell(*rows(network, pairs), frozenset())
    known = told["written"] >= 0
    return torch.nn.functional.cross_entropy(told["sequence"][known], told["written"][known])


@pytest.fixture(scope="module")
def taught() -> Writes:
    """One that has learned the toy by heart."""
    network = begun(dropout=0.0)[1]
    (optimizer,) = network.optimizers(2e-3)
    network.module.train()
    for step in range(400):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 40, (400 - step) / 60)
        optimizer.zero_grad()
        loss(network, PAIRS).backward()
        torch.nn.utils.clip_grad_norm_(network.module.parameters(), 1.0)
        optimizer.step()
    network.module.eval()
    return network


@pytest.fixture(scope="module")
def folder(taught: Writes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is saved."""
    folder = tmp_path_factory.mktemp("saved")
    taught.save(folder)
    return folder


def generated(network: Writes, texts: list[str]) -> list[str]:
    padded, mask = batches.pad(network.encode(texts))
    return network.generate(torch.from_numpy(padded), torch.from_numpy(mask))


class TestTokens:
    @pytest.mark.parametrize("text", ["one red cats", "naïve café", "中文 ☃", "a  b", "tab\tand\nline", "👩‍👩‍👧"])
    def test_any_text_can_be_read_and_written(self, text: str) -> None:
        """What no piece covers is written byte by byte."""
        tokenizer = seq2seq.made(iter([text for pair in PAIRS for text in pair]), size=500)
        assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=True) == text

    def test_they_are_no_more_than_asked_for_and_end_in_padding(self) -> None:
        tokenizer = seq2seq.made(iter(["a text of some words " * 9] * 20), size=320)
        assert tokenizer.get_vocab_size() <= 320
        assert tokenizer.token_to_id("<pad>") == tokenizer.get_vocab_size() - 1
        assert tokenizer.encode("a text").tokens[-1] == "</s>"

    def test_the_same_texts_make_the_same_tokens(self) -> None:
        one, other = (seq2seq.made(iter([text for pair in PAIRS for text in pair]), size=400) for _ in range(2))
        assert one.to_str() == other.to_str()


@pytest.fixture(scope="module")
def follower(encoder_folder: Path) -> Writes:
    written = (encoder_folder / "tokenizer.json").read_text(encoding="utf-8")
    student: Any = plugins.build("students", {**SMALL, "vocabulary": "teacher"})
    found: Any = seq2seq.fresh(student, seq2seq.taken(written), seed=3)
    found.module.eval()
    return found


class TestItsTeachersTokens:
    """Of a teacher over an encoder of words in pieces, whose tokens stand in another order than its own would."""

    def test_each_has_its_id(self, follower: Writes, encoder_folder: Path) -> None:
        own: Any = follower
        before = Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))
        (read,) = follower.encode(["the film was great"])
        assert read.tolist() == before.encode("the film was great").ids[1:], "but for what stands before a text"
        assert own.module.size == before.get_vocab_size() + 1
        (target,) = follower.encode_target(["the film was great"], read=[read])
        assert (target - own.module.size).tolist() == read.tolist()

    def test_what_is_none_is_never_written(self, follower: Writes) -> None:
        own: Any = follower
        assert follower.tell(*rows(follower, PAIRS[:2]), frozenset())["sequence"].shape[-1] == own.module.size - 1

    def test_ctranslate2_writes_what_torch_writes(self, follower: Writes, tmp_path: Path) -> None:
        follower.save(tmp_path)
        form = plugins.build("formats", {"kind": "ctranslate2", "quantization": "float32"})
        texts = ["the film was great", "we found it dull", "a"]
        found = form.write(follower, tmp_path)[0].open(tmp_path, threads=1)(texts)
        assert found.tolist() == generated(follower, texts)
        assert any(found)

    def test_those_that_were_made_here_are_taken_as_they_are(self) -> None:
        made = seq2seq.made(iter([text for pair in PAIRS for text in pair]), size=400)
        assert seq2seq.taken(made.to_str()).to_str() == made.to_str()


class TestFit:
    def test_starts_the_same_from_the_same_seed(self) -> None:
        one, other = (begun()[1] for _ in range(2))
        for a, b in zip(one.module.parameters(), other.module.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)

    def test_source_and_target_are_told_apart(self) -> None:
        network = begun()[1]
        ids, mask = rows(network, [("one red cats", "cats"), ("two", "a far longer target than that")])
        source, reads, target, writes = network.module.split(ids, mask)
        for row, (text, said) in enumerate([("one red cats", "cats"), ("two", "a far longer target than that")]):
            assert source[row][reads[row]].tolist() == network.encode([text])[0].tolist()
            assert target[row][writes[row]].tolist() == network.encode([said])[0].tolist()

    def test_neither_padding_nor_neighbours_count(self) -> None:
        network = begun()[1]
        network.module.eval()
        with torch.inference_mode():
            alone = network.tell(*rows(network, [PAIRS[0]]), frozenset())
            longer = ("a much longer source than the other one has", "and a much longer target than that one too")
            beside = network.tell(*rows(network, [PAIRS[0], longer]), frozenset())
        steps = alone["sequence"].shape[1]
        torch.testing.assert_close(beside["sequence"][:1, :steps], alone["sequence"], atol=1e-5, rtol=1e-5)
        assert beside["written"][0, steps:].eq(-1).all()

    def test_a_token_knows_those_before_it_and_none_behind(self) -> None:
        network = begun()[1]
        network.module.eval()
        with torch.inference_mode():
            one, other = (
                network.tell(*rows(network, [("one red cats", said)]), frozenset())["sequence"]
                for said in ("cats red one", "cats red songs")
            )
        torch.testing.assert_close(one[:, :3], other[:, :3])
        assert not torch.allclose(one[:, 3:4], other[:, 3:4])

    def test_every_weight_is_in_a_stratum_and_gets_a_gradient(self) -> None:
        network = begun()[1]
        held = [id(one) for part in network.strata() for one in part]
        assert len(held) == len(set(held))
        loss(network, PAIRS).backward()
        for name, weight in network.module.named_parameters():
            if weight.requires_grad:
                assert id(weight) in held, name
                assert weight.grad is not None, name

    def test_the_padding_stays_at_zero(self, taught: Writes) -> None:
        """The decoder starts from it, and CTranslate2 from zeros."""
        assert not taught.module.inner.model.shared.weight[-1].any()

    def test_what_it_learned_it_writes(self, taught: Writes) -> None:
        read, written = (list(one) for one in zip(*PAIRS, strict=True))
        assert generated(taught, read) == written

    def test_of_nothing_it_writes_nothing(self, taught: Writes) -> None:
        assert generated(taught, ["", "one red cats"])[0] == ""

    def test_a_text_is_answered_alike_whoever_stands_beside_it(self, taught: Writes) -> None:
        texts = [PAIRS[0][0], "one red cats " * 30, PAIRS[5][0]]
        assert generated(taught, texts)[::2] == [generated(taught, [text])[0] for text in texts[::2]]


class TestServed:
    def test_comes_back_the_same(self, taught: Writes, folder: Path) -> None:
        again: Any = plugins.build("students", SMALL).reopen(folder, task=TASK)
        texts = [text for text, _ in PAIRS] + ODD
        assert generated(again, texts) == generated(taught, texts)

    def test_transformers_loads_it(self, folder: Path) -> None:
        from transformers import AutoModelForSeq2SeqLM

        assert type(AutoModelForSeq2SeqLM.from_pretrained(folder)).__name__ == "MarianMTModel"

    @pytest.mark.parametrize("quantization", ["float32", "int8"])
    def test_ctranslate2_writes_what_torch_writes(
        self, quantization: str, taught: Writes, folder: Path, tmp_path: Path
    ) -> None:
        texts = [text for text, _ in PAIRS] + ODD
        (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
        form = plugins.build("formats", {"kind": "ctranslate2", "quantization": quantization})
        runner, files = form.write(taught, tmp_path)
        assert sorted(files) == sorted(
            str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()
        )
        said = runner.model_dump(mode="json", serialize_as_any=True)
        assert plugins.build("runtime.runners", said) == runner
        serve = runner.open(tmp_path, threads=1)
        found = serve(texts)
        expected = generated(taught, texts)
        same = [a == b for a, b in zip(found, expected, strict=True)]
        assert all(same[: len(PAIRS)])
        assert generated(taught, texts) == expected, "the student is as it was"
        assert np.mean(same) >= (1.0 if quantization == "float32" else 0.9)
        assert [serve([text])[0] for text in texts] == found.tolist(), "one by one as together"
        assert len(serve([])) == 0
        assert runner.open(tmp_path, threads=2)(texts).tolist() == found.tolist()

    def test_beams_are_no_worse_than_the_first_way(self, taught: Writes, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
        # The toy is all it knows: by the mean over tokens, a text without an end is as probable as any.
        form = plugins.build("formats", {"kind": "ctranslate2", "beams": 4, "length_penalty": 0.0})
        serve = form.write(taught, tmp_path)[0].open(tmp_path, threads=1)
        assert serve([text for text, _ in PAIRS]).tolist() == [said for _, said in PAIRS]

    @pytest.mark.parametrize("beams", [1, 2])
    def test_what_is_written_until_it_is_long_enough_begins_like_the_whole(
        self, beams: int, taught: Writes, folder: Path, tmp_path: Path
    ) -> None:
        untaught = begun()[1]  # which writes on and on
        untaught.module.eval()
        (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
        texts = [text for text, _ in PAIRS] + ODD
        for place, network in enumerate((taught, untaught)):
            form = plugins.build("formats", {"kind": "ctranslate2", "quantization": "float32", "beams": beams})
            network.save(tmp_path / str(place))
            serve: Any = form.write(network, tmp_path / str(place))[0].open(tmp_path / str(place), threads=1)
            whole = serve(texts)
            for lengths in ([1] * len(texts), [place % 5 + 1 for place in range(len(texts))]):
                found = serve.within(texts, lengths)
                for all_of_it, length, one in zip(whole, lengths, found, strict=True):
                    assert sentences.within(one, length) == sentences.within(all_of_it, length)
            mixed = serve.within(texts, [None, 1] * (len(texts) // 2) + [None] * (len(texts) % 2))
            assert mixed[::2].tolist() == whole[::2].tolist()

    def test_what_is_far_off_is_not_kept(self) -> None:
        from stillroom.formats import Checks

        form: Any = plugins.build("formats", "ctranslate2")
        assert form.objection(Checks(largest_difference=0.4, metric_loss=0.2, speed=9.0)) == ""
        assert "falls by 9.00 points" in form.objection(Checks(largest_difference=0.4, metric_loss=9.0, speed=9.0))
        assert form.objection(Checks(largest_difference=0.4, metric_loss=float("nan"), speed=9.0))


def test_a_width_that_can_not_be_shared_out_is_refused() -> None:
    with pytest.raises(RecipeError, match="heads"):
        plugins.build("students", {"kind": "seq2seq", "width": 30, "heads": 4})
