"""Long texts, passage by passage: every place is that of the text, a cut is told, and no more is held than is asked."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import stillroom
from stillroom.core.passages import Plan
from stillroom.runtime import Predictor, reading
from stillroom.tasks import Task
from stillroom.tasks.classification import Classification, LabelPrediction
from stillroom.tasks.proofreading import Correction, Proof, Proofreading
from stillroom.tasks.text_to_text import TextPrediction, TextToText
from stillroom.tasks.token_labelling import FoundSpan, SpanPrediction, TokenLabelling

SLIP = re.compile(r"\bteh\b")


class Reader:
    """A student by rule, which reads so many words of a text at once and keeps count of what it was asked."""

    def __init__(self, task: Task, *, words: int | None = None) -> None:
        self.task, self._words = task, words
        self.asked: list[int] = []
        self.characters = 0

    def reach(self, texts: Sequence[str]) -> list[int]:
        found = []
        for text in texts:
            words = list(re.finditer(r"\S+", text))
            cut = self._words is not None and len(words) > self._words
            found.append(words[cast("int", self._words) - 1].end() if cut else len(text))
        return found

    def check_length(self, length: int | None) -> None:
        assert length is None or self.task.within

    def predict(self, texts: Sequence[str], *, length: Sequence[int | None] | None = None) -> list[Any]:
        self.asked.append(len(texts))
        self.characters += sum(map(len, texts))
        said = [self._said(text[:end]) for text, end in zip(texts, self.reach(texts), strict=True)]
        within = cast("Callable[[Any, int], Any]", self.task.within)
        each = length or [None] * len(said)
        return [one if most is None else within(one, most) for one, most in zip(said, each, strict=True)]

    def _said(self, text: str) -> Any:
        if isinstance(self.task, Proofreading):
            found = [
                Correction(one.start(), one.end(), "teh", "the", "spelling", 0.9, "") for one in SLIP.finditer(text)
            ]
            return Proof(tuple(found), SLIP.sub("the", text))
        if isinstance(self.task, TextToText):
            return TextPrediction(text.upper() if self.task.goal == "translation" else self._summary(text))
        if isinstance(self.task, TokenLabelling):
            found = re.finditer(r"\bisland\b", text)
            return SpanPrediction(tuple(FoundSpan(one.start(), one.end(), one.group(), "place", 0.9) for one in found))
        return LabelPrediction(str(len(text.split())), 1.0, {})

    def _summary(self, text: str) -> str:
        return text.split(" ")[0]


class Halver(Reader):
    """A student that leaves out every other sentence."""

    def _summary(self, text: str) -> str:
        return " ".join(re.findall(r"\w[^.]*\.", text)[::2])


def reader(task: Task, *, words: int | None = None) -> Any:
    return Reader(task, words=words)


PROSE = st.lists(
    st.sampled_from(["teh", "the", "👍🏽", "naïve", "end.", "Teh", "\n", "\n\n", " ", " ", "\r\n", "Dr."]), max_size=80
).map("".join)


@given(text=PROSE, words=st.none() | st.integers(1, 5), at_once=st.integers(1, 4))
@example(text="teh\ntehteh", words=1, at_once=1)
def test_corrections_stand_where_they_stand_in_the_text(text: str, words: int | None, at_once: int) -> None:
    found = reading.read(reader(Proofreading(), words=words), text, at_once=at_once)
    assert [(one.start, one.end) for one in found.prediction.corrections] == [one.span() for one in SLIP.finditer(text)]
    assert all(text[one.start : one.end] == one.text for one in found.prediction.corrections)
    assert found.prediction.corrected == SLIP.sub("the", text)
    assert not any(one.why == reading.UNREAD for one in found.cuts), "parts are read one after the other"
    assert all(one.start == one.end for one in found.cuts)


@given(texts=st.lists(PROSE, max_size=6), words=st.none() | st.integers(1, 5), at_once=st.integers(1, 9))
def test_many_texts_are_read_as_each_alone(texts: list[str], words: int | None, at_once: int) -> None:
    student = reader(Proofreading(), words=words)
    assert list(reading.read_all(student, texts, at_once=at_once)) == [reading.read(student, text) for text in texts]


@given(text=PROSE, at_once=st.integers(1, 4))
def test_parts_come_one_by_one_and_join_to_the_whole(text: str, at_once: int) -> None:
    student = reader(Proofreading(), words=3)
    parts = list(reading.parts(student, text, at_once=at_once))
    assert "".join(text[one.passage.start : one.passage.end] for one in parts) == text
    assert reading.join(student, text, parts) == reading.read(student, text)
    for one in parts:
        assert one.prediction.corrected == SLIP.sub("the", text[one.passage.first : one.passage.last])
        assert one.as_dict()["start"] == one.passage.first


def test_a_label_is_of_what_was_read_and_the_rest_is_told() -> None:
    student = reader(Classification(labels=("a", "b")), words=4)
    text = "One two. Three\n\nfour five six  "
    found = reading.read(student, text)
    assert found.prediction.label == "4"
    assert found.cuts == (reading.Cut(text.index(" five"), len(text), reading.UNREAD),)
    assert found.as_dict()["cuts"][0]["end"] == len(text)
    assert reading.read(student, "One two.").cuts == ()


def test_a_translation_keeps_what_stands_between_sentences() -> None:
    text = "  One here.  Two there!\n\nAnd three\n"
    student = reader(TextToText(), words=2)
    found = reading.read(student, text)
    assert found.prediction.text == text.upper()
    assert (found.passages, found.cuts) == (3, ())


def test_a_summary_is_one_of_as_much_as_is_read_at_once() -> None:
    text = "\nOne here. Two there.\n\nThree here. Four. \n"
    short = reading.read(reader(TextToText(goal="summary")), text)
    assert (short.prediction.text, short.passages) == ("One", 1)
    long = reading.read(reader(TextToText(goal="summary"), words=4), text)
    assert (long.prediction.text, long.passages, long.cuts) == ("One\n\nThree", 2, ())


def test_a_summary_of_summaries_is_no_longer_than_wished() -> None:
    text = " ".join(f"Number {one} stands here." for one in range(10, 74))
    student: Any = Halver(TextToText(goal="summary"), words=16)
    whole = reading.read(student, text)
    assert len(whole.prediction.text.split()) == 128
    found = reading.read(student, text, length=9)
    # Every other one of each four, and of what is left again, until it is read at once.
    assert found.prediction == TextPrediction("Number 10 stands here. Number 42 stands here.")
    assert (found.passages, found.cuts) == (whole.passages, whole.cuts) == (16, ())
    assert reading.read(student, text, length=128) == whole
    (cut,) = reading.read_all(student, [text], length=3)
    assert cut.prediction == TextPrediction("Number 10 stands", cut_short=True)


def test_what_can_not_be_made_shorter_by_reading_it_again_ends_all_the_same() -> None:
    class Copier(Reader):
        def _summary(self, text: str) -> str:
            return text

    student: Any = Copier(TextToText(goal="summary"), words=4)
    found = reading.read(student, "One here. Two. Three there and here. Four.", length=4)
    assert found.prediction == TextPrediction("One here. Two.")


def test_a_sentence_without_end_is_parted_and_that_is_told() -> None:
    text = "teh word " * 50
    found = reading.read(reader(Proofreading(), words=8), text)
    assert len(found.prediction.corrections) == 50
    assert found.cuts
    assert {(one.why, one.start - one.end) for one in found.cuts} == {(reading.PARTED, 0)}


def test_what_can_not_be_read_at_all_is_told() -> None:
    class Blind(Reader):
        def reach(self, texts: Sequence[str]) -> list[int]:
            return [0] * len(texts)

    found = reading.read(cast("Predictor", Blind(Proofreading())), "ab")
    assert [(one.start, one.end, one.why) for one in found.cuts if one.why == reading.UNREAD] == [
        (0, 1, reading.UNREAD), (1, 2, reading.UNREAD)
    ]  # fmt: skip


@pytest.mark.parametrize("blank", ["", " \n\n "])
def test_a_blank_text_is_asked_as_it_is(blank: str) -> None:
    found = reading.read(reader(Proofreading()), blank)
    assert (found.prediction, found.cuts, found.passages) == (Proof((), blank), (), 1)


PAGE = "Teh ship sails when teh rain has gone. Nobody on board knows teh way to teh island yet. " * 34 + "\n\n"


@pytest.mark.parametrize("task", [Proofreading(), TokenLabelling(labels=("place",)), TextToText(goal="summary")])
def test_a_hundred_pages_take_a_hundred_times_the_work_and_a_bounded_number_at_a_time(task: Task) -> None:
    worked = {}
    for pages in (1, 100):
        student = reader(task, words=60)
        found = reading.read(student, PAGE * pages, at_once=16)
        if isinstance(task, Proofreading):
            assert len(found.prediction.corrections) == pages * 34 * 3
        elif isinstance(task, TokenLabelling):
            assert len(found.prediction.spans) == pages * 34
            assert {(PAGE * pages)[one.start : one.end] for one in found.prediction.spans} == {"island"}
        else:
            assert len(found.prediction.text.split()) == found.passages  # one word of each
        assert found.cuts == ()
        worked[pages] = student.characters, sum(student.asked)
        assert max(student.asked) <= 16 * 4, "a passage that is too long comes in parts"
    for one, hundred in zip(worked[1], worked[100], strict=True):
        assert hundred == pytest.approx(100 * one, rel=0.06)  # a page more or less fits together


def test_no_more_is_held_than_is_read_together() -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = number = 0
    for number, one in enumerate(reading.parts(reader(Proofreading()), PAGE * 100, at_once=16)):  # noqa: B007
        alive.add(one)
        most = max(most, len(alive))
    assert number > 500
    assert most <= 2 * 16


def test_texts_are_taken_as_they_are_needed() -> None:
    taken = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield "A line. And teh other."

    found = reading.read_all(reader(Proofreading()), texts(), at_once=8)
    assert len(next(found).prediction.corrections) == 1
    assert len(taken) < 20


def test_every_plan_has_a_size_or_asks_for_it() -> None:
    for task in (Proofreading(), TextToText(), TextToText(goal="summary")):
        assert isinstance(task.passages, Plan)
    assert Classification(labels=("a", "b")).passages is None


def test_a_real_student_reads_a_long_text(proofreader_folder: Path) -> None:
    """It reads 48 tokens at once, and a sentence here has more."""
    predictor = stillroom.load(proofreader_folder, verify=True)
    text = "👍🏽 We recieved teh letter. " + "A long list of words, " * 20 + "recieved.\n\n" + "Teh end is fine. " * 60
    found = reading.read(predictor, text)
    assert [one.text for one in found.prediction.corrections] == ["recieved", "teh", "recieved", *["Teh"] * 60]
    assert all(text[one.start : one.end] == one.text for one in found.prediction.corrections)
    assert "We received the letter." in found.prediction.corrected
    assert found.passages > 3
    assert found.cuts
    assert {one.why for one in found.cuts} == {reading.PARTED}
    (whole,) = predictor.predict([text])
    assert len(whole.corrections) < 10, "at once it is cut"
    assert predictor.reach([text])[0] < len(text)
