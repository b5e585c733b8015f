"""Several teachers as one: mixed, the surest heard, or those that agree with gold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom import corpus, cost, fitness, loop, pipeline, teach
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Store, text_id
from stillroom.core.errors import InputError, MismatchError, RecipeError
from stillroom.corpora.table import Table
from stillroom.shapes.pooled import Pooled
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk, LoadedTeacher, Teacher
from stillroom.teachers._choir import Choir
from stillroom.teachers.ensemble import Ensemble
from tests.conftest import LABELS, sentences, write_csv
from tests.teachers.endpoint.servers import PRICES, serving

TASK = Classification(labels=LABELS)


def recorded(path: Path, said: Mapping[str, Sequence[float]], **settings: Any) -> dict[str, Any]:
    lines = [json.dumps({"text": text, "logits": list(logits)}) for text, logits in said.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    return {"kind": "recorded", "outputs": str(path), **settings}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    folder = tmp_path_factory.mktemp("rows")
    path = write_csv(folder / "toy.csv", sentences())
    source = Table(labelled=str(path), dev_share=0.2, test_share=0.4)
    return corpus.load(source, task=TASK, store=Store(folder / "work"))


def always(value: Sequence[float]) -> dict[str, Sequence[float]]:
    return {text: value for text, _ in sentences()}


def opened(rows: corpus.Corpus, work: Path, members: list[dict[str, Any]], **settings: Any) -> LoadedTeacher:
    teacher = plugins.build("teachers", {"kind": "ensemble", "members": members, **settings})
    found = teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=1, store=Store(work))
    loaded: LoadedTeacher = teacher.open(found.folder, task=TASK)
    return loaded


def heard(loaded: LoadedTeacher, texts: Sequence[str]) -> np.ndarray[Any, Any]:
    return loaded.ask(texts, precision="fp32", tokens_per_batch=256)[0]["logits"]


def test_a_mixture_is_a_mixture_of_probabilities(rows: corpus.Corpus, tmp_path: Path) -> None:
    members = [recorded(tmp_path / "a", always((0.0, 3.0))), recorded(tmp_path / "b", always((2.0, 0.0)))]
    said = heard(opened(rows, tmp_path / "work", members, weights=(3.0, 1.0)), list(rows.test.texts())[:2])
    p, q = 1 / (1 + np.exp(3.0)), 1 / (1 + np.exp(-2.0))
    np.testing.assert_allclose(np.exp(said[:, 0]), 0.75 * p + 0.25 * q, rtol=1e-5)
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1.0, rtol=1e-5)


def otherwise_read(folder: Path) -> dict[str, Any]:
    """A small classifier that reads pieces of bytes, where the one of the fixture reads words."""
    import torch
    from tokenizers import ByteLevelBPETokenizer, processors
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator((text for text, _ in sentences()), 300, show_progress=False, special_tokens=special)
    tokenizer._tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    torch.manual_seed(5)
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, pad_token_id=1,
                        num_attention_heads=2, intermediate_size=32, max_position_embeddings=128,
                        initializer_range=0.5, id2label=dict(enumerate(LABELS)),
                        label2id={one: k for k, one in enumerate(LABELS)})  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return {"kind": "huggingface", "model": str(folder)}


def test_members_may_read_otherwise(rows: corpus.Corpus, classifier_folder: Path, tmp_path: Path) -> None:
    """Each is asked with its own tokenizer: a mixture of two is what comes of asking each alone."""
    members = [{"kind": "huggingface", "model": str(classifier_folder)}, otherwise_read(tmp_path / "bytes")]
    texts = list(rows.test.texts())[:9]
    told = []
    for number, member in enumerate(members):
        alone = plugins.build("teachers", member)
        found = teach.prepare(alone, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=1,
                              store=Store(tmp_path / str(number)))  # fmt: skip
        logits = heard(alone.open(found.folder, task=TASK), texts)
        told.append(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    assert np.abs(told[0] - told[1]).max() > 0.01
    said = heard(opened(rows, tmp_path / "both", members), texts)
    np.testing.assert_allclose(np.exp(said), np.mean(told, axis=0), atol=1e-5)


def test_the_surest_is_heard_alone_whatever_the_scale_of_its_logits(rows: corpus.Corpus, tmp_path: Path) -> None:
    texts = list(rows.test.texts())[:2]
    loud = {**always((100.0, 100.1)), texts[1]: (0.0, 9.0)}
    members = [recorded(tmp_path / "a", loud), recorded(tmp_path / "b", always((2.0, 0.0)))]
    said = heard(opened(rows, tmp_path / "work", members, select="confidence"), texts)
    assert said.argmax(axis=1).tolist() == [0, 1]
    assert said[0, 0] - said[0, 1] == pytest.approx(2.0, abs=1e-5)


def test_gold_counts_on_training_rows_and_nowhere_else(rows: corpus.Corpus, tmp_path: Path) -> None:
    gold = dict(sentences())
    right = {text: (3.0, 0.0) if label == LABELS[0] else (0.0, 3.0) for text, label in sentences()}
    wrong = {text: logits[::-1] for text, logits in right.items()}
    members = [recorded(tmp_path / "a", right), recorded(tmp_path / "b", wrong)]
    loaded = opened(rows, tmp_path / "work", members, select="gold", weights=(1.0, 9.0))
    train, test, dev = (list(part.texts())[:30] for part in (rows.train, rows.test, rows.dev))
    codes = np.array([LABELS.index(gold[text]) for text in train])
    assert (heard(loaded, train).argmax(axis=1) == codes).all()
    for held in (test, dev):  # the heavier member is wrong everywhere, and nothing tells the ensemble
        assert (heard(loaded, held).argmax(axis=1) != [LABELS.index(gold[text]) for text in held]).all()
    assert isinstance(loaded, Choir)
    assert set(loaded._gold) == {text_id(text) for text in rows.train.texts()}


def test_where_nobody_agrees_with_gold_everybody_counts(rows: corpus.Corpus, tmp_path: Path) -> None:
    wrong = {text: (0.0, 3.0) if label == LABELS[0] else (3.0, 0.0) for text, label in sentences()}
    fainter = {text: (one / 2, other / 2) for text, (one, other) in wrong.items()}
    members = [recorded(tmp_path / "a", wrong), recorded(tmp_path / "b", fainter)]
    texts = list(rows.train.texts())[:9]
    by_gold = heard(opened(rows, tmp_path / "one", members, select="gold"), texts)
    np.testing.assert_allclose(by_gold, heard(opened(rows, tmp_path / "two", members), texts))


@given(st.integers(0, 500), st.sampled_from(["average", "gold", "confidence"]))
@settings(max_examples=30, deadline=None)
def test_equal_members_say_what_each_says(seed: int, select: Any) -> None:
    class One:
        precisions, layers = ("fp32",), 0

        def ask(self, texts: Sequence[str], **_: Any) -> Any:
            return {"logits": np.random.default_rng(seed).normal(size=(len(texts), 4), scale=30).astype(np.float32)}, 1

    members: list[Any] = [One(), One()]
    choir = Choir(members, weights=np.array([0.3, 0.7]), select=select, lead=None, form=Pooled(), outputs=4)
    choir.__dict__["_gold"] = {}
    said = heard(choir, ["a", "b"])
    logits = One().ask(["a", "b"])[0]["logits"].astype(np.float64)
    shifted = logits - logits.max(axis=1, keepdims=True)
    expected = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(said, expected, atol=1e-4)
    assert heard(choir, []).shape == (0, 4)


def test_insides_and_network_come_from_the_lead(rows: corpus.Corpus, classifier_folder: Path, tmp_path: Path) -> None:
    own = {"kind": "huggingface", "model": str(classifier_folder), "licence": "MIT", "price_per_million_texts": 2.0}
    heard_elsewhere = recorded(tmp_path / "a", always((0.0, 1.0)), licence="CC0-1.0", price_per_million_texts=3.0)
    teacher: Ensemble = plugins.build("teachers", {"kind": "ensemble", "members": [heard_elsewhere, own]})
    assert teacher.lead == 1
    assert teacher.shows_network
    assert not teacher.answers_any_text
    assert not teacher.computes
    assert {"embedding", "hidden"} < teacher.signals
    loaded = opened(rows, tmp_path / "work", [heard_elsewhere, own])
    known = loaded.identify()
    assert known.licence == "CC0-1.0 AND MIT"
    assert known.price_per_million_texts == 5.0
    alone = plugins.build("teachers", own).open(tmp_path, task=TASK)
    assert known.tokenizer == alone.identify().tokenizer
    texts = list(rows.test.texts())[:3]
    wanted = frozenset({"logits", "embedding", "hidden.1"})
    said, tokens = loaded.ask(texts, precision="fp32", tokens_per_batch=256, wanted=wanted)
    expected, _ = alone.ask(texts, precision="fp32", tokens_per_batch=256, wanted=wanted)
    assert tokens > 0
    for name in ("embedding", "hidden.1", "tokens"):
        np.testing.assert_array_equal(said[name], expected[name])
    assert not np.allclose(said["logits"], expected["logits"])


def test_another_member_is_another_teacher(rows: corpus.Corpus, tmp_path: Path) -> None:
    one, two = recorded(tmp_path / "a", always((0.0, 1.0))), recorded(tmp_path / "b", always((0.0, 1.5)))
    digests = {
        opened(rows, tmp_path / f"work{n}", members, **more).identify().weights
        for n, (members, more) in enumerate(
            [
                ([one, one], {}),
                ([one, two], {}),
                ([two, one], {}),
                ([one, two], {"weights": (1, 2)}),
                ([one, two], {"select": "gold"}),
            ]
        )
    }
    assert len(digests) == 5


def test_every_problem_of_every_member_is_told_by_key(toy: dict[str, Any]) -> None:
    toy["teacher"] = {"kind": "ensemble", "selekt": "gold",
                      "members": [{"kind": "finetuned", "bas": "x"}, {"kind": "huggingfac"}, {}]}  # fmt: skip
    with pytest.raises(RecipeError) as caught:
        recipe.parse(toy)
    where = [problem.where.removeprefix("recipe: ") for problem in caught.value.problems]
    assert sorted(where) == ["teacher.members[0].bas", "teacher.members[0].base", "teacher.members[1].kind",
                             "teacher.members[2]", "teacher.selekt"]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{"weights": [1.0]}, {"weights": [1.0, 0.0]}, {"weights": [1.0, 1.0], "select": "confidence"}, {"members": []}],
)
def test_weights_fit_the_members(settings: dict[str, Any]) -> None:
    members = [{"kind": "recorded", "outputs": name} for name in "ab"]
    with pytest.raises(RecipeError):
        plugins.build("teachers", {"kind": "ensemble", "members": members, **settings})


def test_what_is_not_there_is_told_of_all_members(rows: corpus.Corpus, tmp_path: Path) -> None:
    members = [
        {"kind": "recorded", "outputs": str(tmp_path / "no")},
        {"kind": "finetuned", "base": str(tmp_path / "nor")},
    ]
    with pytest.raises(InputError) as caught:
        opened(rows, tmp_path / "work", members)
    assert [one.where for one in caught.value.problems] == ["teacher.members[0].outputs", "teacher.members[1].base"]


@pytest.mark.slow
def test_the_journey_with_an_ensemble(toy: dict[str, Any], classifier_folder: Path, tmp_path: Path) -> None:
    members = [{**toy["teacher"], "epochs": 2}, {"kind": "huggingface", "model": str(classifier_folder)}]
    toy["teacher"] = {"kind": "ensemble", "members": members, "select": "gold"}
    toy["student"]["epochs"] = 1
    run = pipeline.run(recipe.parse(toy), work=tmp_path / "work", until="evaluate")
    assert run.artifacts["transfer"].manifest["facts"]["teacher"]["name"].startswith("ensemble (gold) of")


@pytest.mark.slow
def test_a_killed_run_makes_no_member_ready_twice(rows: corpus.Corpus, encoder_folder: Path, tmp_path: Path) -> None:
    member = {"kind": "finetuned", "base": str(encoder_folder), "learning_rates": [1e-3], "epochs": 1}
    teacher = plugins.build("teachers", {"kind": "ensemble", "members": [member, {**member, "epochs": 2}]})
    fitted: list[int] = []

    def fit(*args: Any, **settings: Any) -> Any:
        if len(fitted) == 1:
            fitted.append(-1)
            raise KeyboardInterrupt
        fitted.append(settings["plan"].epochs)
        return loop.fit(*args, **settings)

    def prepare() -> Any:
        return teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=fit, seed=1, store=Store(tmp_path))

    with pytest.raises(KeyboardInterrupt):
        prepare()
    found = prepare()
    assert fitted == [1, -1, 2]
    assert [one["learning_rate"] for one in found.manifest["facts"]["members"]] == [1e-3, 1e-3]


def test_its_size_is_not_taken_for_its_leads(rows: corpus.Corpus, classifier_folder: Path, tmp_path: Path) -> None:
    members = [{"kind": "huggingface", "model": str(classifier_folder)}] * 2
    teacher = plugins.build("teachers", {"kind": "ensemble", "members": members})
    found = teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=loop.fit, seed=1, store=Store(tmp_path))
    for one, known in ((teacher, False), (teacher.members[0], True)):
        parameters = cost._teacher_facts(one, one.open(found.folder, task=TASK))["parameters"]
        assert (parameters is not None and parameters > 0) is known


def test_a_student_that_needs_a_network_no_member_shows_is_refused(toy: dict[str, Any], tmp_path: Path) -> None:
    members = [recorded(tmp_path / name, always((0.0, 1.0))) for name in "ab"]
    toy["teacher"] = {"kind": "ensemble", "members": members}
    with pytest.raises(MismatchError, match="network can't be seen"):
        fitness.check(recipe.parse(toy))


def test_members_that_do_not_go_with_the_task_are_refused_before_any_is_made(toy: dict[str, Any]) -> None:
    fitted = {"kind": "finetuned", "base": "nowhere"}
    toy["teacher"] = {"kind": "ensemble", "members": [{**fitted, "candidates": 3}, {**fitted, "file": "model.gguf"}]}
    with pytest.raises(MismatchError) as caught:
        fitness.check(recipe.parse(toy))
    wrong = {"teacher.members[0].candidates", "teacher.members[1].file"}
    assert wrong <= {problem.where for problem in caught.value.problems}


def test_a_member_that_bills_and_has_no_answer_for_a_text(tmp_path: Path) -> None:
    """What one of them says nothing of has no answer from all; what one bills for is added to the others' prices."""
    member = {"kind": "endpoint", "model": "tiny", "max_spend": 1.0, "concurrency": 1, **PRICES}
    with serving(lambda number: "refusal" if number == 1 else "") as first, serving() as second:
        members = [{**member, "base_url": one.url} for one in (first, second)]
        teacher: Teacher = plugins.build("teachers", {"kind": "ensemble", "members": members})
        loaded: Any = teacher.open(tmp_path, task=TASK, desk=Desk(tmp_path / "books"))
        said, tokens = loaded.ask(["a warm film", "a dull film"], precision="fp32", tokens_per_batch=1)
    forecasts = loaded.forecasts(iter(["a warm film", "a film", "a dark film"]), further=4)
    assert [(one.paid, one.due) for one in forecasts] == [(2, 6)] * 2, "an account each"
    assert [float(one.spent) for one in forecasts] == [float(one.billed) for one in (first, second)]
    assert said["unanswered"].tolist() == ["", "refusal"]
    assert said["price"].sum() == pytest.approx(float(first.billed + second.billed))
    assert loaded.identify().price_per_million_texts is None
    assert teacher.packages == ("httpx",)
    assert tokens > 0
