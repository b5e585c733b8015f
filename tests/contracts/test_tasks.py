"""Every task, found by itself: what it says of its rows, its outputs and its judges holds together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import stillroom
from stillroom.core import objects, plugins, scored, signals
from stillroom.core.artifact import text_id
from stillroom.core.errors import MismatchError, RecipeError
from stillroom.core.passages import Passage, Told
from stillroom.core.scored import Scored
from stillroom.core.tagging import Tagged
from stillroom.core.words import Words
from stillroom.fits import Fits
from stillroom.floors import of as floor_of
from stillroom.tasks import Rows, Task

#: Settings that a task can't do without; a new one adds its line.
SETTINGS: dict[str, dict[str, Any]] = {
    "classification": {"labels": ("no", "perhaps", "yes")},
    "token_labelling": {"labels": ("person", "place")},
    "embeddings": {"dimensions": 12},
    "text_to_text": {},
    "proofreading": {},
    "generation": {"kept": 4, "writes": 2},
}
#: How well a floor does on the toy, where what can be reached is not everything: two grades alone tie most pairs.
REACHED = {"embeddings": 0.6, "text_to_text": 30, "generation": 0.5}
#: What is no gold for `TEXT`, and a word of why.
TEXT = "Mira saw Oslo"
WRONG: dict[str, list[tuple[Any, str]]] = {
    "classification": [("a label that nobody gave", "label"), (7, "label"), ([], "label")],
    "token_labelling": [
        ("Mira", "Mira"),
        ([{"start": 0, "end": 4}], "start"),
        ([{"start": 0, "end": 4, "label": "persn"}], "persn"),
        ([[0, 14, "person"]], "0 to 14"),
        ([[4, 4, "person"]], "4 to 4"),
        ([[0, 4, "person"], [3, 8, "place"]], "0 to 4 and from 3 to 8"),
        ([["0", 4, "person"]], "person"),
    ],
    "embeddings": [
        ("near", "near"),
        ({"other": "Oslo was seen"}, "score"),
        ({"other": "Oslo was seen", "score": "much"}, "much"),
        ({"other": "Oslo was seen", "score": float("nan")}, "no number"),
        ({"among": "documents", "relevant": {"a" * 32: 0}}, "nothing"),
        ({"among": "documents", "relevant": ["a" * 32]}, "documents"),
    ],
    "proofreading": [("", "corrected"), (" ", "corrected"), ([], "corrected"), (["fine", ""], "fine"), (7, "7")],
    "text_to_text": [("", "a text"), (" ", "a text"), ([], "a text"), (["fine", ""], "fine"), (7, "7")],
    "generation": [("another text", "another"), (7, "7"), ([], "no label")],
}
NAMES = plugins.names("tasks")


@pytest.fixture(params=NAMES)
def task(request: pytest.FixtureRequest) -> Task:
    assert request.param in SETTINGS, f"SETTINGS has no line for `{request.param}`"
    found: Task = plugins.build("tasks", {"kind": request.param, **SETTINGS[request.param]})
    return found


def words(texts: list[str]) -> Words:
    """Words between spaces, as who splits there reads them."""
    places, counts = [], []
    for text in texts:
        found = [(at, at + len(word)) for at, word in zip(_starts(text), text.split(), strict=True)]
        places += found
        counts.append(len(found))
    tokens = np.concatenate([np.arange(one) for one in counts])
    return Words(tokens, np.array(places, dtype=np.int32).reshape(-1, 2), np.array(counts, dtype=np.int64))


def _starts(text: str) -> list[int]:
    return [at for at in range(len(text)) if not text[at].isspace() and (at == 0 or text[at - 1].isspace())]


def outputs(task: Task, texts: list[str], *, seed: int = 0, scale: float = 4) -> Any:
    """Logits by chance, in the task's shape."""
    there = words(texts) if task.shape == "tokens" else None
    answers = len(texts) if there is None else len(there.tokens)
    if task.form.answer == "sequence":
        rng = np.random.default_rng(seed)
        return objects.array([" ".join(rng.choice(text.split(), 3)) for text in texts])
    if task.form.answer == "token_logprobs":
        return spoken(texts, seed=seed, scale=scale, kept=(len(task.outputs) - 3) // 2)
    logits = np.random.default_rng(seed).normal(size=(answers, len(task.outputs))).astype(np.float32) * scale
    return task.form.spread(logits, there)


def spoken(texts: list[str], *, seed: int = 0, scale: float = 4, kept: int = 4) -> Scored:
    """What is said by chance of the words of texts, as whoever tells each by those before it says it."""
    there = words(texts)
    logits = np.random.default_rng(seed).normal(size=(len(there.tokens), 30)) * scale
    values = scored.of_logits(logits, np.arange(len(there.tokens)) % 30, kept=kept)
    written = objects.array([text[:3] for text in texts])
    return Scored(values, there.places, there.counts, np.zeros(len(texts), dtype=np.int64), written)


def toy(task: Task) -> tuple[list[str], pa.Table]:
    rows = task.toy()
    labels = pa.array([task.code(row.label, row.text) for row in rows], type=task.gold_type())
    return [row.text for row in rows], pa.table({"text": [row.text for row in rows], "label": labels})


def about(texts: list[str]) -> Rows:
    """The rows of texts, all of one domain."""
    ids = [text_id(text) for text in texts]
    return Rows(texts, ids, [""] * len(texts), np.zeros(len(texts), dtype=np.bool_))


def test_there_are_members() -> None:
    assert {"classification", "token_labelling", "embeddings", "text_to_text", "generation"} <= set(NAMES)


def test_is_its_own_settings(task: Task) -> None:
    assert type(task).__doc__
    assert plugins.build("tasks", task.model_dump(mode="json")) == task
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("tasks", {**task.model_dump(mode="json"), "nonsense": 1})


def test_its_metrics_and_objectives_are_there_and_need_no_more_than_it_offers(task: Task) -> None:
    assert task.metrics
    for name in task.metrics:
        plugins.build("metrics", name)
    mixture = [plugins.build("objectives", dict(one)) for one in task.objectives()]
    assert sum(one.weight for one in mixture) > 0
    for one in mixture:
        assert one.needs <= signals.implied(task.signals) | {"gold"}


def test_a_hub_files_it_and_pages_have_a_view_of_it(task: Task) -> None:
    """As a new task's author is told in docs/extending.md: a name that the hub has, and files by the task's own."""
    known = {"text-classification", "token-classification", "feature-extraction", "summarization", "translation",
             "text-generation"}  # fmt: skip
    assert task.hub_task in known
    folder = Path(stillroom.__file__).parent
    assert (folder / "serve" / "page" / f"{task.kind}.js").is_file()
    there = {(folder / "web" / "page" / part / f"{task.kind}.js").is_file() for part in ("tasks", "views")}
    if there == {True}:
        assert task.in_browser().told["kind"] == task.kind
    else:
        assert there == {False}
        with pytest.raises(MismatchError, match="a task that the page has a view for"):
            task.in_browser()


def test_labels_and_outputs_are_one_code(task: Task) -> None:
    assert len(set(task.outputs)) == len(task.outputs) > (task.form.answer != "sequence")
    assert task.learns_gold or not task.names
    assert len(set(task.names)) == len(task.names)


def test_what_is_no_gold_is_refused_with_a_reason(task: Task) -> None:
    for label, word in WRONG[task.kind]:
        told = task.fault(label, TEXT)
        assert told is not None, label
        found, expected, todo = told
        assert word in f"{found} {expected}"
        assert expected
        assert todo


def test_its_toy_rows_are_rows_of_it(task: Task) -> None:
    rows = task.toy()
    assert all(task.fault(row.label, row.text) is None for row in rows)
    assert all(row.text.strip() for row in rows)
    assert len({row.text for row in rows}) == len(rows)
    assert rows == task.toy()
    _, table = toy(task)
    counts = task.tally(table["label"].combine_chunks())
    assert (counts > 0).all(), "every label occurs"


def test_gold_is_what_was_written(task: Task) -> None:
    """Through a file and laid on what a student answers, it is named again as it was."""
    texts, table = toy(task)
    gold = task.gold(table["label"])
    assert task.known(gold).all()
    assert task.golds(table["label"].to_pylist() if not task.learns_gold else gold).tolist() == gold.tolist()
    there = words(texts) if task.shape == "tokens" else None
    if not task.learns_gold:
        assert (task.place(gold, there) == -1).all()
        return
    placed = task.place(gold, there)
    assert placed.min() >= 0
    assert placed.max() < len(task.outputs)
    again = task.named(task.form.spread(placed, there))
    assert again.tolist() == gold.tolist()
    none = task.golds([None] * len(texts))
    assert not task.known(none).any()
    assert (task.place(none, there) == -1).all()


def test_who_names_gold_is_right_and_another_is_not(task: Task) -> None:
    if not task.learns_gold:
        pytest.skip("what it answers is no label: see its own metrics")
    texts, table = toy(task)
    gold = task.gold(table["label"])
    there = words(texts) if task.shape == "tokens" else None
    certain = 20.0 * np.eye(len(task.outputs), dtype=np.float32)[task.place(gold, there)]
    said = task.form.spread(certain, there)
    chance = outputs(task, texts, seed=3)
    answered, guessed = (task.answered(gold, one, said, rows=about(texts)) for one in (said, chance))
    assert len(answered) == len(texts)
    assert answered.right.all()
    assert answered.teacher_right.all()
    assert guessed.agrees.tolist() == guessed.right.tolist(), "the teacher is right"
    metric = plugins.build("metrics", task.metrics[0])
    assert metric.score(answered) == metric.high
    assert metric.score(guessed) < 0.7
    rows = np.array([3, 1])
    assert answered.take(rows).right.tolist() == [True, True]
    assert len(guessed.take(rows)) == 2
    assert {name: len(values) for name, values in answered.kinds().items()}


def _bare(annotated: str) -> str:
    """A text without what was written into it."""
    marks = (r"\{~~(.*?)~>.*?~~\}", r"\{--(.*?)--\}", r"\{\+\+()[^+]*\+\+\}", r"\[([^\]]*)\]\([a-z_]+\)")
    for one in marks:
        annotated = re.sub(one, r"\1", annotated)
    return annotated


def test_every_prediction_can_be_told(task: Task) -> None:
    texts, _ = toy(task)
    found = task.decode(outputs(task, texts), texts)
    assert len(found) == len(texts)
    for one, text in zip(found, texts, strict=True):
        assert json.loads(json.dumps(one.as_dict(), allow_nan=False)) == one.as_dict()
        assert one.as_line()
        assert _bare(one.annotated(text)).endswith(text)
    alone = [task.decode(task.form.take(outputs(task, texts), np.array([row])), [text])[0]
             for row, text in enumerate(texts)]  # fmt: skip
    assert [one.as_dict() for one in alone] == [one.as_dict() for one in found], "a prediction knows no neighbours"
    assert task.decode(task.form.join([], outputs=len(task.outputs)), []) == []


def test_it_says_how_sure_an_answer_is_or_why_nobody_can_tell(task: Task) -> None:
    texts, _ = toy(task)
    said = outputs(task, texts)
    if task.unsure:
        with pytest.raises(TypeError, match=re.escape(task.unsure)):
            task.sureness(said)
        return
    sure = task.sureness(said)
    assert sure.shape == (len(texts),)
    assert ((sure >= 0) & (sure <= 1)).all()
    surer = task.sureness(task.form.with_values(said, task.form.values(said) * 10))
    assert (surer >= sure - 1e-9).all()
    assert surer.mean() > sure.mean()
    assert task.same(said, said).all()
    assert task.sureness(task.form.take(said, np.arange(0))).shape == (0,)


def test_what_most_of_several_say_is_held_against_the_teacher(task: Task) -> None:
    texts, gold = toy(task)
    count = len(texts)
    columns = {"id": [text_id(text) for text in texts], "domain": [""] * count, "role": ["test"] * count}
    rows = gold.append_column("id", pa.array(columns["id"]))
    for name in ("domain", "role"):
        rows = rows.append_column(name, pa.array(columns[name]))
    teacher, other = (outputs(task, texts, seed=seed) for seed in (1, 2))

    def told(*students: Any) -> Fits:
        return Fits.of(students, [teacher], rows, task=task, named=frozenset())

    same = told(teacher, other, teacher)
    assert not same.forgotten.any()
    apart_ = ~same.said[1].agrees
    assert apart_.any()
    assert same.strength == pytest.approx(apart_ / 3)
    most = told(other, other, teacher)
    assert (most.forgotten == apart_).all()
    assert most.strength == pytest.approx(apart_ * 2 / 3)
    assert (most.alike == most.alike.transpose(1, 0, 2)).all()
    assert (task.form.alike(other, task.form.laid(teacher, other)) < 1).any()


def test_outputs_of_any_size_stay_numbers(task: Task) -> None:
    texts, _ = toy(task)
    for one in task.decode(outputs(task, texts, scale=6e4), texts):
        json.dumps(one.as_dict(), allow_nan=False)


def test_the_docs_say_which_checks_are_of_it(task: Task) -> None:
    texts, table = toy(task)
    said, gold = outputs(task, texts), task.gold(table["label"])
    answered = task.answered(gold, said, said, rows=about(texts))
    sure = task.calibration(outputs(task, 40 * texts), task.golds(40 * list(gold))) if task.learns_gold else None
    checks = (answered.right, answered.row_divergences(), answered.reliability(), sure)
    assert (answered.reliability() is None) == (answered.risk_coverage() is None)
    page = (Path(__file__).parents[2] / "docs" / "stages" / "evaluate.md").read_text(encoding="utf-8")
    told = " | ".join("no" if one is None else "yes" for one in checks)
    assert f"| `{task.kind}` | {told} |" in page


def test_its_floor_learns_the_toy(task: Task) -> None:
    texts, table = toy(task)
    said = floor_of(task).say(table, texts, task=task, seed=7)
    gold = task.gold(table["label"])
    assert task.form.finite(said).all()
    answered = task.answered(gold, said, said, rows=about(texts))
    assert plugins.build("metrics", task.metrics[0]).score(answered) > REACHED.get(task.kind, 0.9)


class TestPrompts:
    """Rows of `generation` that are prompts: their labels are references."""

    TASK: Any = plugins.build("tasks", {"kind": "generation", **SETTINGS["generation"], "learns": "written"})

    def test_references_are_read_in_every_way_that_texts_are(self) -> None:
        for label, references in (("by boat", ["by boat"]), (["a", "b"], ["a", "b"]), ('["a", "b"]', ["a", "b"])):
            assert self.TASK.fault(label, TEXT) is None
            assert self.TASK.code(label, TEXT) == references
        for label in ("", " ", [], ["fine", ""], 7):
            found, expected, todo = self.TASK.fault(label, TEXT)
            assert "goes on" not in found
            assert "may go on with" in expected
            assert todo

    def test_they_stand_beside_the_text_which_is_right_too(self) -> None:
        column = pa.chunked_array([pa.array([["a", "b"], None], type=self.TASK.gold_type())])
        gold = self.TASK.gold(column)
        assert gold.tolist() == [("a", "b"), ()]
        assert self.TASK.known(gold).all()
        other: Any = plugins.build("tasks", {"kind": "generation", **SETTINGS["generation"]})
        assert other.code(TEXT, TEXT) == []
        assert self.TASK.gold_made_with != other.gold_made_with, "the same rows are another corpus"


class TestLabels:
    def test_predictions_are_probabilities_in_order(self) -> None:
        task: Any = plugins.build("tasks", {"kind": "classification", **SETTINGS["classification"]})
        raw = outputs(task, ["a"] * 20)
        for row, one in zip(raw, task.decode(raw), strict=True):
            assert tuple(one.scores) == task.outputs
            assert sum(one.scores.values()) == pytest.approx(1, abs=1e-6)
            assert one.label == task.outputs[int(row.argmax())]
            assert one.score == max(one.scores.values()) == one.scores[one.label]
            assert task.decode(row[None] + 3)[0].label == one.label


class TestSpans:
    def test_predictions_are_spans_of_the_text_from_left_to_right(self) -> None:
        task: Any = plugins.build("tasks", {"kind": "token_labelling", **SETTINGS["token_labelling"]})
        texts = ["Mira saw Oslo and the sea again", "nothing", "one two three four five six"]
        for text, one in zip(texts, task.decode(outputs(task, texts), texts), strict=True):
            assert list(one.spans) == sorted(one.spans, key=lambda span: span.start)
            for span in one.spans:
                assert text[span.start : span.end] == span.text
                assert 0 <= span.score <= 1
            assert all(a.end <= b.start for a, b in zip(one.spans, one.spans[1:], strict=False))

    def test_tags_that_make_no_sense_alone_are_never_read(self) -> None:
        """The likeliest tag of the second word continues a person, the first word's begins a place."""
        task: Any = plugins.build("tasks", {"kind": "token_labelling", **SETTINGS["token_labelling"]})
        logits = np.full((1, 2, 5), -9.0, dtype=np.float32)
        logits[0, 0, 3], logits[0, 0, 1] = 2.0, 1.5  # B-place, then B-person
        logits[0, 1, 2], logits[0, 1, 4] = 3.0, 0.0  # I-person, then I-place
        said = Tagged(logits[0], np.array([[0, 4], [5, 8]], dtype=np.int32), np.array([2]))
        found = task.decode(said, ["Mira Lin"])[0]
        assert [(one.text, one.label) for one in found.spans] == [("Mira Lin", "person")]


def test_a_long_text_is_read_as_its_passages_are(task: Task) -> None:
    """What is said of a passage stands, in the prediction of the whole, at the characters that it was said of."""
    (text,) = {"Mira saw Oslo again"}
    around = f"Tarn was there.  {text}"
    start = around.index(text)
    said = outputs(task, [text])
    (own,) = task.decode(said, [text])
    placed = task.placed(own, start)
    told = placed.as_dict()
    for one in [*told.get("spans", []), *told.get("corrections", [])]:
        assert around[one["start"] : one["end"]] == one["text"]
    passage = Passage(start, len(around), start, len(around))
    whole = Passage(0, len(text), 0, len(text))
    assert str(task.joined(text, [Told(whole, own)]).as_dict()) == str(own.as_dict()), "of one passage nothing changes"
    if task.passages is None:
        return
    (before,) = task.decode(outputs(task, ["Tarn was there."], seed=1), ["Tarn was there."])
    both = task.joined(around, [Told(Passage(0, start, 0, 15), before), Told(passage, placed)])
    first, second = before.as_dict(), placed.as_dict()
    for part in ("spans", "corrections"):
        assert both.as_dict().get(part, []) == [*first.get(part, []), *second.get(part, [])]
    for part in ("corrected", "text"):
        if part in first:
            assert both.as_dict()[part] == f"{first[part]}  {second[part]}", "what stands between them stays"
