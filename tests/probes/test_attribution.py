"""Whether both go by the same words: held to what is known of linear bags of words, with planted faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from stillroom.core import plugins
from stillroom.core.edits import applied
from stillroom.core.tagging import Tagged
from stillroom.probes import SECOND, Heard, Sitting, _reasons, attribution
from stillroom.probes._reasons import Parted
from stillroom.probes.attribution import Attribution
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows, Task
from stillroom.tasks.classification import Classification
from stillroom.tasks.embeddings import Embeddings
from stillroom.tasks.text_to_text import TextToText
from stillroom.tasks.token_labelling import TokenLabelling

TASK = Classification(labels=("bad", "good"))
WORDS = ("superb", "fine", "dull", "awful", "plot", "cast", "music", "never", "again", "Paris", "really", "script")
WEIGHTS = dict(zip(WORDS, (3.0, 2.0, -2.0, -3.0, 0.4, 0.3, 0.2, -0.7, -0.1, 0.15, 0.6, -0.25), strict=True))
Says = Callable[[Sequence[str]], Any]


def texts(count: int = 60, *, end: str = "!") -> list[str]:
    rng = np.random.default_rng(3)
    every = [" ".join(WORDS[at] for at in rng.permutation(len(WORDS))[:8]) for _ in range(count)]
    return [f"{one}{end if number % 2 else ''}" for number, one in enumerate(every)]


def bag(weights: Mapping[str, float]) -> Says:
    """A linear bag of words: the logit of `good` is the sum of its words' weights."""

    def say(some: Sequence[str]) -> NDArray[np.float32]:
        sums = [sum(weights.get(word, 0.0) for word in re.findall(r"\w+|[^\w\s]", text)) for text in some]
        return np.array([[0.0, one] for one in sums], dtype=np.float32).reshape(-1, 2)

    return say


def sat(rows: list[str], teacher: Says, student: Says, *, task: Task = TASK, named: Sequence[str] = ()) -> Sitting:
    about = Rows(rows, [f"id{row}" for row in range(len(rows))], [""] * len(rows), np.zeros(len(rows), dtype=np.bool_))
    said = {TEACHER: teacher(rows), STUDENT: student(rows)}
    return Sitting(task, about, np.zeros(len(rows), np.int64), np.arange(len(rows)), said,
                   plugins.build("metrics", "accuracy"), frozenset(named), {}, confidence=0.95, resamples=400,
                   min_rows=100, seed=5)  # fmt: skip


def found(sitting: Sitting, teacher: Says, student: Says, probe: Attribution | None = None) -> dict[str, Any]:
    probe = probe or Attribution()
    asked = list(dict.fromkeys(probe.texts(sitting)))
    places = {text: place for place, text in enumerate(asked)}
    outputs = {TEACHER: teacher(asked), STUDENT: student(asked)}
    return probe.measure(sitting, Heard(sitting.task, dict.fromkeys(outputs, places), outputs))


def of(teacher: Says, student: Says, rows: list[str] | None = None, **settings: Any) -> dict[str, Any]:
    return found(sat(rows or texts(), teacher, student), teacher, student, Attribution(**settings))


def weighed(rows: list[str], say: Says, *, task: Task = TASK) -> tuple[list[Parted], list[NDArray[np.float64]]]:
    """The rows in parts, and what each weighs where it is left out."""
    asked = [Parted(row, text, tuple(_reasons.parts(text, 40))) for row, text in enumerate(rows)]
    edits = [attribution._without(one) for one in asked]
    every = [applied(one.text, [edit]) for one, some in zip(asked, edits, strict=True) for edit in some]
    heard = Heard(task, {STUDENT: {text: place for place, text in enumerate(every)}}, {STUDENT: say(every)})
    return asked, attribution.weights_of(sat(rows, say, say, task=task), heard, STUDENT, asked, edits)


def test_a_word_weighs_what_it_weighs() -> None:
    """Of a linear bag of words, what is lost without a word is its weight; of `bad`, the same with the other sign."""
    rows, say = texts(), bag(WEIGHTS)
    for one, own, logits in zip(*weighed(rows, say), say(rows), strict=True):
        sign = 1 if logits[1] > 0 else -1
        expected = [sign * WEIGHTS.get(one.text[start:end], 0.0) for start, end in one.parts]
        np.testing.assert_allclose(own, expected, atol=1e-6)


def test_a_student_that_is_its_teacher_goes_by_the_same_words() -> None:
    told = of(bag(WEIGHTS), bag(WEIGHTS))
    for name in ("spearman", "spearman_median", "top_k", "sign"):
        assert told[name]["value"] == pytest.approx(1.0)
    assert told["negative"]["value"] == told["other_reasons"]["value"] == 0.0
    assert told["named_same"] == told["rows"] == 60
    assert told["over_ceiling"]["value"] == pytest.approx(1.0)
    assert told["examples"] == []


def with_second(teacher: Says, student: Says, second: Says) -> dict[str, Any]:
    """The same beside a second teacher."""
    rows, probe = texts(120), Attribution(rows=120)
    here = sat(rows, teacher, student)
    here = replace(here, said={**here.said, SECOND: second(rows)})
    asked = list(dict.fromkeys(probe.texts(here)))
    outputs = {TEACHER: teacher(asked), STUDENT: student(asked), SECOND: second(asked)}
    places = {text: place for place, text in enumerate(asked)}
    return probe.measure(here, Heard(TASK, dict.fromkeys(outputs, places), outputs))


def test_two_teachers_are_the_ceiling() -> None:
    """Planted: teachers that go by words of their own half the way; a student that copies the first is above both."""
    rng = np.random.default_rng(2)
    other = {word: weight + float(rng.normal(0, 2)) for word, weight in WEIGHTS.items()}
    twin = with_second(bag(WEIGHTS), bag(WEIGHTS), bag(WEIGHTS))
    assert twin["teachers"]["spearman"]["value"] == pytest.approx(1.0)
    assert twin["over_teachers"]["value"] == pytest.approx(1.0)
    apart = with_second(bag(WEIGHTS), bag(WEIGHTS), bag(other))
    here = sat(texts(120), bag(WEIGHTS), bag(other))
    same = TASK.same(here.said[TEACHER], here.said[STUDENT])
    _, one = weighed(texts(120), bag(WEIGHTS))
    _, two = weighed(texts(120), bag(other))
    expected = [stats.spearmanr(one[at], two[at]).statistic for at in np.flatnonzero(same).tolist()]
    assert 0 < len(expected) < 120
    assert apart["teachers"]["spearman"]["n"] == len(expected)
    assert apart["teachers"]["spearman"]["value"] == pytest.approx(np.mean(expected))
    assert apart["teachers"]["spearman"]["high"] < 0.95
    assert apart["over_teachers"]["low"] > 1
    assert apart["spearman"] == twin["spearman"], "what student and teacher share does not hang on a third"


def test_one_teacher_has_no_such_ceiling_and_says_what_would_give_it() -> None:
    told = of(bag(WEIGHTS), bag(WEIGHTS))
    assert told["over_teachers"]["value"] is told["teachers"]["spearman"]["value"] is None
    assert "evaluate.teachers = 2" in told["teachers"]["spearman"]["reason"]
    note = Attribution.exhibits(told)[1].note
    assert "Two teachers" in note


def test_chance_is_near_nothing() -> None:
    told = of(bag(WEIGHTS), bag(WEIGHTS))["floor"]
    assert abs(told["spearman"]["value"]) < 0.05
    assert told["spearman"]["low"] < 0 < told["spearman"]["high"]
    assert told["top_k"]["value"] < 0.4
    assert 0.3 < told["sign"]["value"] < 0.7


def test_a_student_that_goes_by_a_sign_is_found() -> None:
    """Planted: it says what its teacher says, but by the mark at the end alone."""
    rows = [one for one in texts(200) if (bag(WEIGHTS)([one])[0, 1] > 0) == one.endswith("!")]
    teacher, student = bag(WEIGHTS), bag({"!": 4.0} | {word: -0.2 - 0.01 * at for at, word in enumerate(WORDS)})
    told = of(teacher, student, rows)
    assert told["named_same"] == told["rows"]
    assert told["spearman"]["high"] < 0.5
    assert told["other_reasons"]["low"] > 0.1
    assert told["ceiling"]["spearman"]["student"]["value"] > 0.9
    example = next(one for one in told["examples"] if one["told"] == "They agree for different reasons")
    heaviest = {one["side"]: example["parts"][int(np.argmax(np.abs(one["weights"])))] for one in example["readings"]}
    assert "!" not in heaviest[TEACHER]
    ends = [one for one in told["examples"] if one["parts"][-1] == "!"]
    assert all(one["readings"][1]["weights"][-1] == 1.0 for one in ends)


def test_where_they_disagree_each_has_its_own_label_and_words() -> None:
    teacher, student = bag(WEIGHTS), bag({**WEIGHTS, "plot": -9.0})
    told = of(teacher, student)
    assert 0 < told["named_same"] < told["rows"]
    disagree = [one for one in told["examples"] if one["told"] == "They disagree"]
    assert len(disagree) == 3
    for one in disagree:
        named = {reading["side"]: reading["named"] for reading in one["readings"]}
        assert named == {TEACHER: "good", STUDENT: "bad"}
        student_reads = next(reading for reading in one["readings"] if reading["side"] == STUDENT)
        assert one["parts"][int(np.argmax(student_reads["weights"]))].strip("x ") == ""


def test_no_word_is_shown_unless_that_is_asked_for() -> None:
    rows, teacher, student = texts(), bag(WEIGHTS), bag({**WEIGHTS, "plot": -9.0})
    hidden = "".join("".join(one["parts"]) for one in of(teacher, student, rows)["examples"])
    assert set(hidden) <= set("x !")
    shown = ["".join(one["parts"]) for one in of(teacher, student, rows, show_texts=True)["examples"]]
    assert shown
    assert all("plot" in one and "Paris" not in one for one in shown)
    assert all(one.replace("xxxxx", "Paris") in rows for one in shown)


def test_too_few_rows_and_short_texts_give_no_number() -> None:
    say = bag(WEIGHTS)
    told = of(say, say, texts(20))
    assert told["spearman"]["value"] is None
    assert "30 are needed" in told["spearman"]["reason"]
    short = of(say, say, ["superb plot"] * 40)
    assert short["rows"] == 0
    assert short["texts"] == 0
    assert short["negative"]["value"] is None


def test_who_only_names_labels_is_not_asked() -> None:
    say, probe = bag(WEIGHTS), Attribution()
    sitting = sat(texts(), say, say, named=(TEACHER,))
    assert probe.texts(sitting) == []
    told = found(sitting, say, say)
    assert "names labels" in told["spearman"]["reason"]


def test_a_task_whose_answers_are_texts_says_that_it_has_no_such_number() -> None:
    def say(some: Sequence[str]) -> NDArray[np.object_]:
        return np.array([*some, None], dtype=object)[:-1]

    sitting = sat(texts(), say, say, task=TextToText())
    assert Attribution().texts(sitting) == []
    assert "no number" in found(sitting, say, say)["spearman"]["reason"]


def test_vectors_turn_by_the_words_that_are_left_out() -> None:
    table = np.random.default_rng(1).normal(size=(len(WORDS), 16)) * np.linspace(0.2, 3, len(WORDS))[:, None]

    def say(some: Sequence[str]) -> NDArray[np.float32]:
        sums = np.array([sum((table[WORDS.index(word)] for word in re.findall(r"\w\w+", one)), np.full(16, 1e-3))
                         for one in some])  # fmt: skip
        unit: NDArray[np.float32] = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
        return unit

    sitting = sat(texts(), say, say, task=Embeddings(dimensions=16))
    told = found(sitting, say, say)
    assert told["spearman"]["value"] == pytest.approx(1.0)
    assert told["named_same"] == told["rows"] == 60


def test_of_labelled_words_those_that_are_left_are_asked_for_theirs() -> None:
    """`A` after `Mr` is a name: without `Mr` the tag of the word behind it falls, and that of no other word."""
    task = TokenLabelling(labels=("name",))

    def say(some: Sequence[str]) -> Tagged:
        values, words, counts = [], [], []
        for text in some:
            spots = [one.span() for one in re.finditer(r"\w+", text)]
            counts.append(len(spots))
            for number, (start, end) in enumerate(spots):
                after = number and text[slice(*spots[number - 1])] == "Mr" and text[start].isupper()
                values.append([0.0, 4.0, -4.0] if after else [1.0, 0.0, -4.0])
                words.append((start, end))
        return Tagged(np.array(values, np.float32).reshape(-1, 3), np.array(words, np.int32).reshape(-1, 2),
                      np.array(counts))  # fmt: skip

    rows = ["we saw Mr Lund there", "today Mr Ohm was in"]
    _, weights = weighed(rows, say, task=task)
    assert [int(np.argmax(one)) for one in weights] == [2, 1]
    assert task.shown(say(rows)) == ["name", "name"]


def test_ranks_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, other = rng.integers(0, 5, 9).astype(float), rng.normal(size=9)
        assert _reasons.spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert np.isnan(_reasons.spearman(np.ones(5), rng.normal(size=5)))


def test_measures_by_hand() -> None:
    one, other = np.array([3.0, -2.0, 1.0, 0.0, 0.5]), np.array([-3.0, -2.0, 0.1, 1.0, 0.0])
    rho, shared, sign = _reasons.alike(one, other, k=3)
    assert shared == pytest.approx(2 / 4)  # {0, 1, 2} and {0, 1, 3}
    assert sign == pytest.approx(2 / 4)  # of 0, 1, 2, 3: the second and the third
    assert rho == pytest.approx(stats.spearmanr(one, other).statistic)
    assert _reasons.top(np.array([0.0, 0.0, 1.0]), 3) == [2]


def test_what_is_left_out_takes_its_blank_along() -> None:
    text = "Oh, it's a well-known U.S film"
    one = Parted(0, text, tuple(_reasons.parts(text, 40)))
    assert [applied(text, [edit]) for edit in attribution._without(one)] == [
        ", it's a well-known U.S film",
        "Oh it's a well-known U.S film",
        "Oh, a well-known U.S film",
        "Oh, it's well-known U.S film",
        "Oh, it's a U.S film",
        "Oh, it's a well-known.S film",
        "Oh, it's a well-known U S film",
        "Oh, it's a well-known U. film",
        "Oh, it's a well-known U.S",
    ]
    replaced = [applied(text, [edit]) for edit in attribution._replaced(one)]
    assert replaced[6] == "Oh, it's a well-known U _ S film"
    assert replaced[2] == "Oh, _ a well-known U.S film"
    assert [text[slice(*part)] for part in _reasons.parts(text, 5)] == [
        "Oh,",
        "it's a",
        "well-known",
        "U.",
        "S film",
    ]
