"""Outputs that somebody recorded: every line is checked, and every fault is told at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom import corpus, fitness, pipeline, runtime, teach, transfer_set
from stillroom.core import artifact, plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import CorpusError, InputError, MismatchError, StillroomError
from stillroom.corpora.table import Table
from stillroom.tasks.classification import Classification
from stillroom.teachers.recorded import Recorded
from tests.conftest import LABELS, sentences, write_csv

TASK = Classification(labels=LABELS)
ROWS = [("a warm film", "positive"), ("a dull film", "negative"), ("so bright", "positive"), ("so weak", "negative")]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> corpus.Corpus:
    """Four rows: two to train on, one for dev, one for the test."""
    folder = tmp_path_factory.mktemp("recorded")
    parts = {"train": ROWS[:2], "dev": ROWS[2:3], "test": ROWS[3:]}
    paths = {name: str(write_csv(folder / f"{name}.csv", part)) for name, part in parts.items()}
    return corpus.load(Table(**paths), task=TASK, store=Store(folder / "work"))


def write(path: Path, lines: Sequence[object]) -> Path:
    """Lines of JSON; bytes and strings as they are."""
    coded = [one if isinstance(one, bytes) else (one if isinstance(one, str) else json.dumps(one)).encode()
             for one in lines]  # fmt: skip
    path.write_bytes(b"\n".join(coded) + b"\n")
    return path


def said(text: str, *, by: str = "logits") -> dict[str, Any]:
    """What a teacher says of a text, as a table by label and not in the task's order."""
    values = {"logits": (2.0, -1.0), "probabilities": (0.75, 0.25)}[by]
    right = dict(ROWS).get(text, "positive")
    other = next(label for label in LABELS if label != right)
    return {"text": text, by: {right: values[0], other: values[1]}}


def prepared(path: Path, rows: corpus.Corpus, work: Path, **settings: Any) -> Artifact:
    teacher = Recorded(outputs=str(path), **settings)
    nothing: Any = None
    return teach.prepare(teacher, task=TASK, corpus=rows.learnable, fit=nothing, seed=1, store=Store(work))


def refusal(error: type[StillroomError], path: Path, rows: corpus.Corpus, work: Path) -> list[str]:
    """What is told of a file that can't be used: a sentence a problem."""
    with pytest.raises(error) as caught:
        prepared(path, rows, work)
    assert caught.value.exit_code == 2
    for problem in caught.value.problems:
        assert all((problem.where, problem.found, problem.expected, problem.todo)), problem
    assert not list(work.glob("teacher/[!.]*"))
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("by", ["logits", "probabilities"])
@pytest.mark.parametrize("form", ["table", "list", "list under a header"])
def test_every_form_says_the_same(tmp_path: Path, rows: corpus.Corpus, by: str, form: str) -> None:
    lines: list[Any] = [said(text, by=by) for text, _ in ROWS]
    if form != "table":
        lines = [{**line, by: [line[by][label] for label in LABELS]} for line in lines]
    if form == "list under a header":
        lines.insert(0, {"labels": list(LABELS), "teacher": "the old one", "licence": "CC-BY-4.0"})
    found = prepared(write(tmp_path / "said.jsonl", lines), rows, tmp_path / "work")
    loaded = Recorded(outputs=str(tmp_path / "said.jsonl")).open(found.folder, task=TASK)
    texts = [text for text, _ in reversed(ROWS)]
    answers, tokens = loaded.ask(texts, precision="fp32", tokens_per_batch=1)
    expected = [[2.0, -1.0], [0.75, 0.25]][by == "probabilities"]
    for text, row in zip(texts, answers["logits"], strict=True):
        shown = np.exp(row) if by == "probabilities" else row
        in_order = expected if dict(ROWS)[text] == LABELS[0] else expected[::-1]
        np.testing.assert_allclose(shown, in_order, rtol=1e-6)
    assert tokens == 0
    assert loaded.precisions == ("fp32",)


def test_who_it_is(tmp_path: Path, rows: corpus.Corpus) -> None:
    """The header's word, or else the file's name without the place where somebody keeps it; a recipe's goes first."""
    lines = [said(text) for text, _ in ROWS]
    header = {"teacher": "the old one", "licence": "CC-BY-4.0"}
    for name, content, settings, expected in (
        ("bare", lines, {}, ("bare.jsonl", "")),
        ("headed", [header, *lines], {}, ("the old one", "CC-BY-4.0")),
        ("stated", [header, *lines], {"licence": "MIT", "price_per_million_texts": 3.0}, ("the old one", "MIT")),
    ):
        path = write(tmp_path / f"{name}.jsonl", content)
        found = prepared(path, rows, tmp_path / "work", **settings)
        known = Recorded(outputs=str(path), **settings).open(found.folder, task=TASK).identify()
        assert (known.name, known.licence) == expected
        assert known.labels == LABELS
        assert known.tokenizer is None
    assert known.price_per_million_texts == 3.0


def test_every_fault_is_told_at_once(tmp_path: Path, rows: corpus.Corpus) -> None:
    good = [said(text) for text, _ in ROWS[:2]]
    faults: dict[object, str] = {
        "{not json": "no JSON",
        '["a", "list"]': "of type list",
        b'{"text": "caf\xe9", "logits": [1, 2]}': "no JSON",
        '{"logits": [1, 2]}': "keys logits",
        '{"text": 7, "logits": [1, 2]}': "keys logits, text",
        '{"text": "t1"}': "keys text",
        '{"text": "t2", "logits": {"bad": 1, "good": 2}}': "bad, good",
        '{"text": "t3", "logits": [1, 2, 3]}': "3 values",
        '{"text": "t4", "logits": 5}': "of type int",
        '{"text": "t5", "logits": null}': "of type NoneType",
        '{"text": "t6", "logits": ["1", "2"]}': "2 values",
        '{"text": "t7", "logits": [true, false]}': "2 values",
        '{"text": "t8", "logits": [NaN, 1]}': "not finite",
        '{"text": "t9", "logits": [1e39, 1]}': "not finite",
        f'{{"text": "t10", "logits": [1{"0" * 400}, 1]}}': "not finite",
        '{"text": "t11", "probabilities": [0.5, 0.2]}': "sum to 0.700",
        '{"text": "t12", "probabilities": [1.2, -0.2]}': "-0.2",
        '{"text": "a warm film", "logits": [5, 5]}': "another output further up",
    }
    path = write(tmp_path / "said.jsonl", [*good, *faults])
    told = refusal(CorpusError, path, rows, tmp_path / "work")
    assert len(told) == len(faults) + 1
    for number, (sentence, found) in enumerate(zip(told, faults.values(), strict=False), start=3):
        assert f"line {number}" in sentence
        assert found in sentence
    assert "texts without an output: 1 of dev, 1 of test" in told[-1]


def test_many_faults_are_counted_and_not_all_shown(tmp_path: Path, rows: corpus.Corpus) -> None:
    told = refusal(CorpusError, write(tmp_path / "said.jsonl", ["{"] * 500), rows, tmp_path / "work")
    assert len(told) == 21
    assert "481 more problems" in told[-1]


def test_a_text_may_stand_there_twice_if_it_says_the_same(tmp_path: Path, rows: corpus.Corpus) -> None:
    lines = [said(text) for text, _ in ROWS]
    twice = prepared(write(tmp_path / "twice.jsonl", lines * 2), rows, tmp_path / "work")
    once = prepared(write(tmp_path / "once.jsonl", lines), rows, tmp_path / "work")
    assert twice.file_digest("recorded.parquet") == once.file_digest("recorded.parquet")


def test_labels_of_a_header_are_held_to_the_tasks(tmp_path: Path, rows: corpus.Corpus) -> None:
    lines = [said(text) for text, _ in ROWS]
    path = write(tmp_path / "said.jsonl", [{"labels": list(LABELS[::-1])}, *lines])
    assert "another order" in refusal(MismatchError, path, rows, tmp_path / "work")[0]
    path = write(tmp_path / "said.jsonl", [{"labels": "negative, positive"}, *lines])
    assert "a list of labels" in refusal(CorpusError, path, rows, tmp_path / "work")[0]


def test_an_empty_file_says_nothing_of_any_text(tmp_path: Path, rows: corpus.Corpus) -> None:
    (told,) = refusal(CorpusError, write(tmp_path / "said.jsonl", []), rows, tmp_path / "work")
    assert "2 of train, 1 of dev, 1 of test" in told


def test_no_file_is_told(tmp_path: Path, rows: corpus.Corpus) -> None:
    (told,) = refusal(InputError, tmp_path / "absent.jsonl", rows, tmp_path / "work")
    assert "Check the path" in told


def test_another_corpus_is_checked_anew(tmp_path: Path, rows: corpus.Corpus) -> None:
    path = write(tmp_path / "said.jsonl", [said(text) for text, _ in ROWS])
    prepared(path, rows, tmp_path / "work")
    parts = {name: str(write_csv(tmp_path / f"{name}.csv", part)) for name, part in
             (("train", [*ROWS[:2], ("never heard", "positive")]), ("dev", ROWS[2:3]), ("test", ROWS[3:]))}  # fmt: skip
    other = corpus.load(Table(**parts), task=TASK, store=Store(tmp_path / "work"))
    with pytest.raises(CorpusError, match="1 of train"):
        prepared(path, other, tmp_path / "work")


def test_it_shows_no_network_and_no_tokenizer(tmp_path: Path, rows: corpus.Corpus) -> None:
    path = write(tmp_path / "said.jsonl", [said(text) for text, _ in ROWS])
    loaded = Recorded(outputs=str(path)).open(prepared(path, rows, tmp_path / "work").folder, task=TASK)
    for look in (loaded.network, loaded.tokenizer_json):
        with pytest.raises(MismatchError, match="bag"):
            look()


# --- the journey with one -----------------------------------------------------------------------------------------


@pytest.fixture
def heard(tmp_path: Path, toy: dict[str, Any]) -> dict[str, Any]:
    """The toy recipe with recorded outputs, and the student that needs no more."""
    lines = [{"text": text, "probabilities": {label: 0.9, next(one for one in LABELS if one != label): 0.1}}
             for text, label in sentences()]  # fmt: skip
    toy["teacher"] = {"kind": "recorded", "outputs": str(write(tmp_path / "said.jsonl", lines))}
    toy["student"] = {"kind": "bag", "features": {"kind": "ngrams", "bits": 12}, "epochs": 8, "batch_size": 8}
    return toy


@pytest.mark.slow
def test_a_bag_student_learns_from_it_and_is_exported(heard: dict[str, Any], tmp_path: Path) -> None:
    run = pipeline.run(recipe.parse(heard), work=tmp_path / "work", until="export")
    assert run.artifacts["transfer"].manifest["facts"]["teacher"]["name"] == "said.jsonl"
    predictor = runtime.load(run.folder, verify=True)
    texts = [text for text, _ in sentences()]
    found = predictor.predict(texts)
    right = np.mean([one.label == label for one, (_, label) in zip(found, sentences(), strict=True)])
    assert right > 0.95
    assert 0.75 < np.mean([one.score for one in found]) < 0.98, "it learned how sure its teacher was"


def test_phrases_it_can_not_be_asked_about_are_refused_up_front(heard: dict[str, Any], tmp_path: Path) -> None:
    heard["transfer"]["augment"] = [{"kind": "masking"}]
    with pytest.raises(MismatchError, match=r"transfer.augment\[0\]"):
        pipeline.run(recipe.parse(heard), work=tmp_path / "work")
    assert not (tmp_path / "work").exists()


# --- labels alone, and the most probable ones ---------------------------------------------------------------------


def named(path: Path, wrong: int = 0) -> dict[str, Any]:
    """A teacher that names the right label, except for every so many-th text."""
    lines = []
    for number, (text, label) in enumerate(sentences()):
        other = next(one for one in LABELS if one != label)
        lines.append({"text": text, "label": other if wrong and number % wrong == 0 else label})
    return {"kind": "recorded", "outputs": str(write(path, lines))}


@pytest.mark.slow
def test_a_teacher_that_names_labels_never_looks_as_if_it_had_probabilities(
    heard: dict[str, Any], tmp_path: Path
) -> None:
    heard["teacher"] = named(tmp_path / "named.jsonl", wrong=7)
    built = recipe.parse(heard)
    assert built.teacher.signals == {"label"}
    told = fitness.describe(built)
    assert told["objectives"] == ["pseudo_label", "hard_label"]
    assert told["possible"]["pseudo_label"] == "possible"
    assert told["possible"]["forward_kl"] == "not possible: it needs logits"
    run = pipeline.run(built, work=tmp_path / "work", until="evaluate")
    said = run.artifacts["transfer"]
    assert set(said.manifest["facts"]["signals"]) == {"label"}
    assert said.circumstances["objectives"]["logit_mse"] == "not possible: it needs logits"
    import pyarrow.parquet as pq

    for shard in said.folder.glob("*.parquet"):
        assert "logits" not in pq.read_schema(shard).names
    judged = run.artifacts["evaluate"]
    assert {"label.teacher", "probabilities.student"} < set(pq.read_schema(judged.folder / "table.parquet").names)
    assert "probabilities.teacher" not in pq.read_schema(judged.folder / "table.parquet").names
    found = judged.read_json("evaluation.json")
    scores = found["systems"]["teacher"]["scores"]
    rows = [one for number, one in enumerate(sentences()) if number % 7]
    tests = set(pq.read_table(judged.folder / "table.parquet")["id"].to_pylist())
    right = [artifact.text_id(text) for text, _ in rows if artifact.text_id(text) in tests]
    assert scores["accuracy"]["value"] == pytest.approx(len(right) / len(tests), abs=1e-6)
    for metric in ("ece", "nll"):
        assert scores[metric]["value"] is None
        assert "how sure" in scores[metric]["reason"]
        assert found["difference"]["student_minus_teacher"][metric]["value"] is None
    assert found["systems"]["student"]["scores"]["nll"]["value"] is not None
    assert found["agreement"]["value"] > 0.5
    assert found["negative_flips"]["value"] is not None
    assert found["retention"]["accuracy"]["value"] > 0.5
    assert set(found["reliability"]) == {"student"}
    assert not [one for one in found["slices"] if one["family"] == "teacher_confidence"]


@pytest.mark.slow
def test_the_whole_journey_of_labels_ends_in_documents(heard: dict[str, Any], tmp_path: Path) -> None:
    heard["teacher"] = named(tmp_path / "named.jsonl")
    run = pipeline.run(recipe.parse(heard), work=tmp_path / "work")
    assert run.documents


@pytest.mark.parametrize(
    ("part", "change", "where"),
    [
        ("objective", [{"kind": "forward_kl"}], "objective[0]"),
        ("train", {"curriculum": 0.5}, "train.curriculum"),
    ],
)
def test_what_needs_probabilities_is_refused_up_front(
    heard: dict[str, Any], tmp_path: Path, part: str, change: Any, where: str
) -> None:
    heard["teacher"] = named(tmp_path / "named.jsonl")
    heard[part] = change
    with pytest.raises(MismatchError) as caught:
        fitness.check(recipe.parse(heard))
    assert [one.where for one in caught.value.problems] == [where]


def test_a_fit_that_asks_for_more_than_was_recorded_is_refused(heard: dict[str, Any], tmp_path: Path) -> None:
    heard["teacher"] = named(tmp_path / "named.jsonl")
    said = pipeline.run(recipe.parse(heard), work=tmp_path / "work", until="transfer").artifacts["transfer"]
    forward, mse = (plugins.build("objectives", kind) for kind in ("forward_kl", "logit_mse"))
    with pytest.raises(MismatchError) as caught:
        transfer_set.refuse_unsaid(transfer_set.TransferSet(said), [forward, mse])
    assert len(caught.value.problems) == 2
    transfer_set.refuse_unsaid(transfer_set.TransferSet(said), [plugins.build("objectives", "pseudo_label")])


THREE = Classification(labels=("a", "b", "c"))


def three(tmp_path: Path, lines: list[Any]) -> tuple[Any, dict[str, Any]]:
    parts = {
        name: str(write_csv(tmp_path / f"{name}.csv", [(f"{name} text", "a")])) for name in ("train", "dev", "test")
    }
    rows = corpus.load(Table(**parts), task=THREE, store=Store(tmp_path / "work"))
    teacher = Recorded(outputs=str(write(tmp_path / "said.jsonl", lines)))
    nothing: Any = None
    found = teach.prepare(
        teacher, task=THREE, corpus=rows.learnable, fit=nothing, seed=1, store=Store(tmp_path / "work")
    )
    said, _ = teacher.open(found.folder, task=THREE).ask(["train text"], precision="fp32", tokens_per_batch=9)
    return said["logits"], dict(found.manifest["facts"])


def test_what_the_most_probable_labels_leave_is_spread_evenly_and_stated(tmp_path: Path) -> None:
    lines = [{"text": f"{name} text", "top": {"b": 0.7}} for name in ("train", "dev")]
    logits, facts = three(tmp_path, [*lines, {"text": "test text", "top": {"b": 0.7, "a": 0.2, "c": 0.1}}])
    np.testing.assert_allclose(np.exp(logits[0]), [0.15, 0.7, 0.15], rtol=1e-5)
    assert facts["spread"] == {"texts": 3, "mean_mass": pytest.approx(0.2)}
    assert "spread evenly" in facts["warning"]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"top": {"b": 0.3}}, "more for each than the least"),
        ({"top": {"b": 0.7, "a": 0.6}}, "sum to 1.300"),
        ({"top": {"b": 0.5, "a": 0.2, "c": 0.1}}, "sum to 0.800"),
        ({"top": {"d": 0.9}}, "d"),
        ({"top": {"b": "0.9"}}, "no probability"),
        ({"top": [0.9]}, "type list"),
        ({"label": "b"}, "after lines with `top`"),
        ({"logits": [1, 2, 3]}, "after lines with `top`"),
    ],
)
def test_a_line_that_names_the_most_probable_labels_wrongly_is_told(
    tmp_path: Path, line: dict[str, Any], found: str
) -> None:
    lines = [{"text": f"{name} text", "top": {"b": 0.7}} for name in ("train", "dev")]
    with pytest.raises(CorpusError) as caught:
        three(tmp_path, [*lines, {"text": "test text", **line}])
    assert found in str(caught.value.problems[0])


@pytest.mark.parametrize("line", [{"label": "d"}, {"label": 1}, {"label": None}, {"logits": [1, 2, 3]}])
def test_a_line_that_names_no_label_is_told(tmp_path: Path, line: dict[str, Any]) -> None:
    lines = [{"text": f"{name} text", "label": "b"} for name in ("train", "dev")]
    with pytest.raises(CorpusError, match="line 3"):
        three(tmp_path, [*lines, {"text": "test text", **line}])
