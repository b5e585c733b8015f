"""Texts that went astray, side by side, and no more of them than may be shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stillroom import flips
from stillroom.core import objects, plugins
from stillroom.core.proofs import Mark
from stillroom.core.redaction import redacted
from stillroom.core.tagging import Span
from stillroom.documents import Evidence, _flipped
from stillroom.metrics import Answers
from stillroom.metrics._corrections import Corrected
from stillroom.metrics._spans import Spans
from stillroom.table import STUDENT, TEACHER, Table
from stillroom.tasks import Task
from tests.conftest import Travelled
from tests.contracts.test_tasks import SETTINGS, about, outputs, toy
from tests.contracts.test_tasks import words as words_of

GOLD = np.array([0, 0, 1, 1, 0])
#: The student has the first wrong, hardly sure, and the third and fourth, of which the teacher has the third wrong too.
ITS = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.05, 0.95], [0.9, 0.1]])
OWN = np.array([[0.4, 0.6], [0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.6, 0.4]])
TEXTS = ["Ann wrote to ann@example.com", "b", "c", "we paid 300 for a bad room", "e"]


ACCURACY = [plugins.build("metrics", "accuracy")]


@pytest.fixture
def table() -> Table:
    said = {name: Answers(GOLD, one, ITS, labels=("bad", "good")) for name, one in
            ((TEACHER, ITS), (STUDENT, OWN))}  # fmt: skip
    return Table(tuple("vwxyz"), ("",) * 5, np.zeros(5, dtype=np.bool_), {}, said, {})


def test_by_hand(table: Table) -> None:
    found = flips.examples(table, TEXTS, metrics=ACCURACY, show_texts=True)["flipped"]
    assert [one["id"] for one in found] == ["y", "v"]
    assert found[0] == {"id": "y", "text": "we paid xxx for a bad room", "teacher": "good", "teacher_confidence": 0.95,
                        "student": "bad", "student_confidence": 0.8}  # fmt: skip
    assert found[1]["text"] == "xxx wrote to xxx@xxxxxxx.xxx"


def test_texts_are_put_out_unless_somebody_says_so(table: Table) -> None:
    found = flips.examples(table, TEXTS, metrics=ACCURACY, show_texts=False)
    told = [one["text"] for one in found["flipped"]]
    assert found["fallen_by"] is None
    assert told == ["xx xxxx xxx xxx x xxx xxxx", "xxx xxxxx xx xxx@xxxxxxx.xxx"]


def test_a_long_text_is_cut(table: Table) -> None:
    texts = ["a"] * 3 + ["word " * 100] + ["e"]
    (first, _) = flips.examples(table, texts, metrics=ACCURACY, show_texts=True)["flipped"]
    assert len(first["text"]) == 280
    assert first["text"].endswith("…")


def test_the_report_has_them_and_no_word_of_the_test(travelled: Travelled) -> None:
    page = (travelled.run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert "gets right and the student wrong" in page


def lost(task: Task, texts: Sequence[str], gold: Any, teacher: Any, student: Any, *, show: bool) -> dict[str, Any]:
    """What is laid side by side of a teacher and a student of a task."""
    here = about(list(texts))
    said = {name: task.answered(gold, one, teacher, rows=here) for name, one in
            ((TEACHER, teacher), (STUDENT, student))}  # fmt: skip
    count = len(gold)
    table = Table(tuple(map(str, range(count))), ("",) * count, np.zeros(count, dtype=np.bool_), {}, said, {})
    metrics = [plugins.build("metrics", one) for one in task.metrics]
    return flips.examples(table, texts, metrics=metrics, show_texts=show)


def certain(task: Task, texts: Sequence[str], gold: Any) -> Any:
    there = words_of(list(texts))
    return task.form.spread(9.0 * np.eye(len(task.outputs), dtype=np.float32)[task.place(gold, there)], there)


def test_spans_are_laid_side_by_side_with_their_labels() -> None:
    task: Task = plugins.build("tasks", {"kind": "token_labelling", "labels": ("person", "place")})
    texts = ["we met mira lin in Oslo", "nobody was here"]
    gold = task.golds([(Span(7, 15, "person"), Span(19, 23, "place")), ()])
    none = task.golds([(), ()])
    teacher, student = (certain(task, texts, one) for one in (gold, none))
    (only,) = lost(task, texts, gold, teacher, student, show=True)["flipped"]
    assert (only[TEACHER], only[STUDENT]) == ("mira lin: person; xxxx: place", "no span")
    assert only["teacher_confidence"] > 0.9
    (only,) = lost(task, texts, gold, teacher, student, show=False)["flipped"]
    assert only[TEACHER] == "xxxx xxx: person; xxxx: place"


def test_a_part_of_an_address_is_put_out_though_it_does_not_look_like_one() -> None:
    one = objects.array([(Span(0, 3, "person"),)])
    assert Spans(one, one, one, texts=["ann@example.com wrote"]).shown(0, masked=redacted) == "xxx: person"
    assert Spans(one, one, one).shown(0, masked=redacted) == "person"


def test_corrections_are_laid_side_by_side_as_what_becomes_of_which_words() -> None:
    task: Task = plugins.build("tasks", {"kind": "proofreading"})
    texts = ["he recieved a red hat", "she wanted no time"]
    gold = task.golds(
        [task.code(one, text) for one, text in zip(("he received a red hat", texts[1]), texts, strict=True)]
    )
    nothing = task.golds([task.code(text, text) for text in texts])
    teacher, student = (certain(task, texts, one) for one in (gold, nothing))
    (only,) = lost(task, texts, gold, teacher, student, show=True)["flipped"]
    assert (only[TEACHER], only[STUDENT]) == ("recieved → received", "no correction")
    (only,) = lost(task, texts, gold, teacher, student, show=False)["flipped"]
    assert only[TEACHER] == "xxxxxxxx → xxxxxxxx"


@pytest.mark.parametrize(
    ("text", "marks", "told"),
    [
        ("mail john.smtih@gmial.com", {10: "spell", 16: "spell"}, "xxxxx → xxxxx; xxxxx → xxxxx"),
        ("www.exmaple.org/privte", {4: "spell", 16: "spell"}, "xxxxxxx → xxxxxxx; xxxxxx → xxxxxxx"),
        ("we recieved some milk from paris", {3: "spell", 27: "capital"}, "recieved → received; paris → xxxxx"),
        ("so they recieved it", {0: "after:,", 8: "spell"}, "∅ → ,; recieved → received"),
    ],
)
def test_what_stands_in_an_address_afterwards_is_put_out_too(text: str, marks: dict[int, str], told: str) -> None:
    """Chunks end inside addresses: no part of one looks personal, before or after."""
    said = objects.array([[(Mark(at, tag), 0.9) for at, tag in marks.items()]])
    one = Corrected(objects.array([()]), said, said, texts=objects.array([text]))
    assert one.shown(0, masked=redacted) == told


def test_texts_that_are_written_are_laid_side_by_side_where_a_metric_falls_most() -> None:
    task: Task = plugins.build("tasks", {"kind": "text_to_text"})
    texts = ["one red cat", "two red ships", "three red songs", "four red stars"]
    references = ["cat red one", "ships red two", "songs red three", "stars red four"]
    gold = task.golds([[one] for one in references])
    # No side writes any reference to the letter, so that verbatim flips would show nothing at all.
    teacher = objects.array([f"{one} Lin" for one in references])
    student = objects.array(["cat red one Lin", "zzz", "songs red Lin", "stars red four Lin and more"])
    told = lost(task, texts, gold, teacher, student, show=True)
    found = told["flipped"]
    assert told["fallen_by"] == "chrf"
    assert [one["id"] for one in found] == ["1", "2", "3"], "the first did not fall"
    assert (found[0][TEACHER], found[0][STUDENT]) == ("ships red two xxx", "zzz")
    falls = [one["teacher_score"] - one["student_score"] for one in found]
    assert falls == sorted(falls, reverse=True)
    assert falls[-1] > 0
    assert found[0]["student_score"] == 0
    hidden = lost(task, texts, gold, teacher, student, show=False)["flipped"]
    assert hidden[0][TEACHER] == "xxxxx xxx xxx xxx"
    page = _flipped.table(Evidence({**told, "stages": {}}, []))
    assert page.caption == "Texts on which chrf falls most from teacher to student"
    assert page.rows[0][2].note == "chrf 0.000"


def test_vectors_are_laid_side_by_side_by_the_text_that_each_finds_nearest() -> None:
    """Of a pair alone ρ is nothing: the neighbours that it lost say where to look."""
    task: Task = plugins.build("tasks", {"kind": "embeddings", "dimensions": 8})
    rng = np.random.default_rng(1)
    texts = [f"word{number} stands here" for number in range(40)]
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    student = vectors.copy()
    student[5] = -student[5]
    ids = about(texts).ids
    gold = task.golds([{"among": "", "others": [{"id": ids[(row + 1) % 40], "grade": float(row % 3)}]}
                       for row in range(40)])  # fmt: skip
    told = lost(task, texts, gold, vectors, student, show=True)
    assert told["fallen_by"] == "neighbours"
    first = told["flipped"][0]
    assert first["id"] == "5"
    assert first["teacher_score"] == 1
    nearest = np.argsort(-(vectors @ vectors[5]))[1]
    assert first[TEACHER] == f"{vectors[5] @ vectors[nearest]:.2f}: xxxx{'x' * len(str(nearest))} stands here"
    assert re.fullmatch(r"0\.\d\d: xxxxx{1,2} stands here", first[STUDENT])
    assert first[STUDENT] != first[TEACHER]


@pytest.mark.parametrize("kind", plugins.names("tasks"))
def test_every_task_says_something_of_what_was_lost_and_no_word_of_it(kind: str) -> None:
    task: Task = plugins.build("tasks", {"kind": kind, **SETTINGS[kind]})
    texts, rows = toy(task)
    teacher, student = (outputs(task, texts, seed=seed) for seed in (1, 2))
    gold = task.gold(rows["label"]) if kind in ("embeddings", "generation") else task.named(teacher)
    found = lost(task, texts, gold, teacher, student, show=False)
    assert found["flipped"]
    own = {word for text in texts for word in text.split() if set(word) != {"x"}} - {"no"}
    for one in found["flipped"]:
        assert one[TEACHER]
        assert one[STUDENT]
        assert not own & set(re.findall(r"\w+", f"{one['text']} {one[TEACHER]} {one[STUDENT]}")) - set(task.names)
