"""Calibration and divergence where each word of a row is an answer: beside those of words that are rows themselves."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon
from tests.contracts.test_tasks import about

from stillroom import comparison, divergence
from stillroom.core import plugins, proofs, recipe, rules
from stillroom.core.edits import chunks
from stillroom.core.probabilities import softmax
from stillroom.core.tagging import Tagged
from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Answers, Metric
from stillroom.metrics._spans import Spans
from stillroom.table import Table
from stillroom.tasks import Task

TASK: Any = plugins.build("tasks", {"kind": "token_labelling", "labels": ("person", "place")})
PROOFREADING: Any = plugins.build("tasks", {"kind": "proofreading"})
METRICS: list[Metric] = [plugins.build("metrics", one) for one in ("ece", "adaptive_ece", "aurc", "nll", "brier")]


def scene(*, rows: int = 400, seed: int = 0, sure: float = 1.0, task: Task = TASK) -> tuple[Any, Tagged, Tagged]:
    """Gold, and what student and teacher say of words of four letters; the student `sure` times as much as it should.

    Gold is drawn by what the teacher and the student think: at 1 both are as sure as they are right.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 9, rows)
    inside = np.concatenate([np.arange(one) for one in counts])
    places = np.stack([5 * inside, 5 * inside + 4], axis=1).astype(np.int32)
    tags = len(task.outputs)
    # Only tags that begin something or nothing: any of them may follow any other.
    allowed = np.where(np.arange(tags) % 2 == 0, np.where(np.arange(tags) == 0, 0.0, -30.0), 0.0)
    logits = 2 * rng.normal(size=(counts.sum(), tags)) + allowed
    chosen = np.array([rng.choice(tags, p=one) for one in softmax(logits)], dtype=np.int64)
    gold = task.named(Tagged(chosen, places, counts.astype(np.int64)))
    student, teacher = (Tagged((factor * logits).astype(np.float32), places, counts) for factor in (sure, 1.0))
    return gold, student, teacher


def flat(gold: Any, said: Tagged, teacher: Tagged) -> Answers:
    """The same words as so many rows."""
    tags = TASK.place(gold, TASK.form.words(said))
    return Answers(tags, softmax(said.values), softmax(teacher.values))


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.kind)
def test_each_word_is_one_answer(metric: Metric) -> None:
    gold, student, teacher = scene(sure=2.0)
    words = flat(gold, student, teacher)
    counted, rows = metric.statistics(TASK.answered(gold, student, teacher))
    assert float(metric.value(rows.sum(axis=0))) == pytest.approx(metric.score(words), abs=1e-9)
    assert counted.tolist() == np.flatnonzero(student.counts).tolist(), "a text without words says nothing"
    by_word = metric.rows(words)
    first = student.starts[counted[3]], student.starts[counted[3] + 1]
    assert rows[3] == pytest.approx(by_word[first[0] : first[1]].sum(axis=0))


def test_words_without_gold_are_left_out() -> None:
    gold, student, teacher = scene()
    some = gold.copy()
    some[::2] = None
    half, rows = TASK.answered(some, student, teacher).part("labels")
    every, _ = TASK.answered(gold, student, teacher).part("labels")
    assert set(rows.tolist()) == set(np.flatnonzero(student.counts)[np.flatnonzero(student.counts) % 2 == 1].tolist())
    assert half.given.tolist() == every.given[every.owners % 2 == 1].tolist()


def test_intervals_are_of_rows_not_of_words() -> None:
    """Where the words of a row stand and fall together, there are as many observations as rows."""
    rng = np.random.default_rng(3)
    rows, size = 300, 20
    counts = np.full(rows, size, dtype=np.int64)
    inside = np.tile(np.arange(size), rows)
    places = np.stack([5 * inside, 5 * inside + 4], axis=1).astype(np.int32)
    logits = np.repeat(2 * rng.normal(size=(rows, 5)) * [1, 1, 0, 1, 0] - [0, 0, 30, 0, 30], size, axis=0)
    tags = np.repeat(np.where(rng.random(rows) < 0.7, logits[::size].argmax(axis=1), 0), size)
    said = Tagged(logits.astype(np.float32), places, counts)
    gold = TASK.named(Tagged(tags, places, counts))
    nll = METRICS[3]
    widths = {}
    for name, answers in (("rows", TASK.answered(gold, said, said)), ("words", flat(gold, said, said))):
        counted, statistics = nll.statistics(answers)
        drawn = Resamples(len(answers), count=400, rng=np.random.default_rng(0))
        found = drawn.estimate({"it": Sample(statistics, nll.value, counted)})["it"].interval(0.95)
        widths[name] = found.high - found.low
    assert widths["rows"] / widths["words"] == pytest.approx(np.sqrt(size), rel=0.3)


def test_the_divergence_of_a_row_is_the_mean_over_its_words() -> None:
    gold, student, teacher = scene(sure=1.7)
    found = TASK.answered(gold, student, teacher).row_divergences()
    p, q = softmax(teacher.values), softmax(student.values)
    by_word = {
        "forward_kl": stats.entropy(p, q, axis=1),
        "reverse_kl": stats.entropy(q, p, axis=1),
        "jensen_shannon": jensenshannon(p, q, axis=1) ** 2,
    }
    empty = student.counts == 0
    assert empty.any()
    for kind, each in by_word.items():
        sums = np.bincount(student.owners, weights=each, minlength=len(gold))
        assert found[kind][~empty] == pytest.approx((sums / np.maximum(student.counts, 1))[~empty], abs=1e-7)
        assert np.isnan(found[kind][empty]).all()


def test_a_teacher_s_own_words_are_laid_on_the_student_s() -> None:
    """The teacher reads each word and the one behind it as one: what it says of these is of the first."""
    gold, student, teacher = scene(rows=60)
    wide = Tagged(teacher.values[student.starts[:-1][student.counts > 1]],
                  np.tile(np.array([[0, 9]], dtype=np.int32), ((student.counts > 1).sum(), 1)),
                  (student.counts > 1).astype(np.int64))  # fmt: skip
    found = TASK.answered(gold, student, wide).row_divergences()["forward_kl"]
    known = np.flatnonzero(student.counts > 1)
    assert np.isnan(found[student.counts < 2]).all()
    assert np.isfinite(found[known]).all()
    first = student.starts[known[0]]
    # Of the first word both say the same; of the second the teacher says what goes on with its tag.
    both = (TASK.form.laid(wide, student).values[first : first + 2], student.values[first : first + 2])
    p, q = (np.clip(softmax(one), 1e-12, None) for one in both)
    assert stats.entropy(p[0], q[0]) == pytest.approx(0, abs=1e-9)
    assert stats.entropy(p[1], q[1]) > 1
    assert found[known[0]] == pytest.approx(stats.entropy(p, q, axis=1).mean(), abs=1e-5)


def compared(task: Any, gold: Any, student: Tagged, teacher: Tagged, *, named: bool = False) -> dict[str, Any]:
    said = {"teacher": task.answered(gold, teacher, teacher, named=named),
            "student": task.answered(gold, student, teacher)}  # fmt: skip
    count = len(gold)
    table = Table(tuple(map(str, range(count))), ("",) * count, np.zeros(count, dtype=np.bool_), {}, said, {})
    names = ("span_f1", "ece", "nll", "aurc")
    return comparison.compare(table, metrics=names, settings=recipe.Evaluate(resamples=200), seed=1)


def test_a_student_that_is_too_sure_of_words_is_found_and_one_that_is_not_is_not() -> None:
    gold, student, teacher = scene(sure=4.0)
    told = compared(TASK, gold, student, teacher)
    assert told["calibrated_by"] == "words"
    apart = told["difference"]["student_minus_teacher"]
    assert apart["ece"]["low"] > 0.1
    assert apart["nll"]["low"] > 0.1
    assert told["systems"]["teacher"]["scores"]["ece"]["value"] < 0.05
    assert told["systems"]["student"]["scores"]["ece"]["n"] == (student.counts > 0).sum()
    for system in ("teacher", "student"):
        assert sum(one["n"] for one in told["reliability"][system]) == student.counts.sum()
        assert told["risk_coverage"][system][-1]["coverage"] == 1
    assert told["divergence"]["forward_kl"]["mean"]["low"] > 0.05
    assert told["divergence"]["forward_kl"]["mean"]["n"] == (student.counts > 0).sum()
    same = compared(TASK, gold, teacher, teacher)
    assert same["difference"]["student_minus_teacher"]["ece"]["value"] == 0
    assert same["divergence"]["jensen_shannon"]["max"]["value"] == 0
    # What dev would divide by mends it.
    by = TASK.calibration(student, gold)
    assert by.value == pytest.approx(4, rel=0.2)
    mended = compared(TASK, gold, TASK.form.with_values(student, student.values / by.value), teacher)
    assert mended["systems"]["student"]["scores"]["ece"]["value"] < 0.05


def test_of_a_teacher_that_only_names_nothing_of_the_kind_is_measured() -> None:
    gold, student, teacher = scene()
    for its, named in ((teacher, True), (Tagged(teacher.values.argmax(axis=1), teacher.words, teacher.counts), False)):
        told = compared(TASK, gold, student, its, named=named)
        assert "does not say how sure" in told["systems"]["teacher"]["scores"]["ece"]["reason"]
        assert told["systems"]["student"]["scores"]["ece"]["value"] is not None
        assert set(told["reliability"]) == {"student"}
        assert told["divergence"]["forward_kl"]["mean"]["value"] is None


def test_where_no_row_has_a_word_the_reason_is_told() -> None:
    nothing = Tagged(np.zeros((0, 5), np.float32), np.zeros((0, 2), np.int32), np.zeros(40, np.int64))
    said = TASK.answered(TASK.golds([()] * 40), nothing, nothing)
    told = divergence.measure(said, said, resamples=50, confidence=0.95, rng=np.random.default_rng(0))
    assert "no row has a word" in told["forward_kl"]["mean"]["reason"]
    counted, rows = METRICS[3].statistics(said)
    assert len(counted) == len(rows) == 0


def test_without_posteriors_spans_are_still_spans() -> None:
    gold, student, _ = scene()
    named = TASK.named(student)
    said = Spans(gold, named, named)
    assert said.reliability() is said.risk_coverage() is said.row_divergences() is said.part("labels") is None


def test_corrections_are_calibrated_by_the_tag_of_each_word() -> None:
    texts = ["he recieved a red hat", "she wanted no time"] * 30
    right = ["he received a red hat", "she wanted no time"] * 30
    gold = PROOFREADING.golds([PROOFREADING.code(one, text) for one, text in zip(right, texts, strict=True)])
    words = [[(at, at + len(one)) for one in text.split() if (at := text.index(one)) >= 0] for text in texts]
    counts = np.array([len(one) for one in words], dtype=np.int64)
    places = np.array([place for one in words for place in one], dtype=np.int32)
    tags = PROOFREADING.place(gold, PROOFREADING.form.words(Tagged(np.zeros(len(places)), places, counts)))
    assert (tags > 0).sum() == 30
    logits = (6.0 * np.eye(len(PROOFREADING.outputs))[tags]).astype(np.float32)
    said = Tagged(logits, places, counts)
    answered = PROOFREADING.answered(gold, said, said)
    found, rows = answered.part("labels")
    assert len(found) == len(places)
    assert rows.tolist() == list(range(60))
    assert found.right.all()
    assert found.highest == pytest.approx(softmax(logits).max(axis=1))
    assert answered.calibrated_by == "words"
    assert answered.take(np.array([1, 0])).part("labels")[0].right.sum() == counts[:2].sum()


def test_a_second_opinion_counts_as_it_does_where_corrections_are_made() -> None:
    task: Any = plugins.build("tasks", {"kind": "proofreading", "seconded": 0.4})
    texts = ["She have a dog.", "There is an cat here."]
    words = [chunks(text) for text in texts]
    places = np.array([(one.start, one.end) for some in words for one in some], dtype=np.int32)
    counts = np.array([len(some) for some in words], dtype=np.int64)
    logits = np.random.default_rng(0).normal(size=(len(places), len(task.outputs))).astype(np.float32)
    said = Tagged(logits, places, counts)
    gold = task.golds([task.code(text, text) for text in texts])
    alone, both = (task.answered(gold, said, said, rows=one).part("labels")[0].highest for one in (None, about(texts)))
    assert alone == pytest.approx(softmax(logits).max(axis=1))
    marks = [rules.marks(text, needed_by="task.seconded") for text in texts]
    shares = 0.6 * softmax(logits)
    shares[np.arange(len(shares)), proofs.on_words(marks, places, counts)] += 0.4
    assert both == pytest.approx(shares.max(axis=1))
    assert task.answered(gold, said, said, rows=about(texts)).confidence == pytest.approx(
        [some.mean() for some in np.split(shares.max(axis=1), np.cumsum(counts)[:-1])]
    )


@pytest.mark.parametrize(("sure", "made"), [(0.6, False), (0.8, True)])
def test_what_is_named_without_the_texts_is_what_is_made_where_the_rules_say_nothing(sure: float, made: bool) -> None:
    task: Any = plugins.build("tasks", {"kind": "proofreading", "seconded": 0.3})
    text = "The old man sat."
    assert not rules.marks(text, needed_by="task.seconded")
    places = np.array([(one.start, one.end) for one in chunks(text)], dtype=np.int32)
    logits = np.zeros((len(places), len(task.outputs)), dtype=np.float32)
    logits[:, 0] = 30.0
    logits[1, :] = -30.0
    logits[1, [0, task.outputs.index("delete")]] = np.log([1 - sure, sure])
    said = Tagged(logits, places, np.array([len(places)], dtype=np.int64))
    assert (task.decode(said, [text])[0].corrected != text) == made
    assert (task.named(said)[0][0].marks != ()) == made
    silent = Tagged(np.where(np.arange(len(task.outputs)) == 0, 30.0, 0.0) + 0 * logits, said.words, said.counts)
    assert task.same(said, silent).tolist() == [not made]


@pytest.mark.parametrize("rows", [[], [7, 3, 3, 250, 0], list(range(1, 300, 3))])
def test_words_of_some_rows_are_those_of_who_was_asked_about_them_alone(rows: list[int]) -> None:
    gold, student, teacher = scene(sure=1.7)
    gold[::5] = None
    some = np.array(rows, dtype=np.int64)
    every = TASK.answered(gold, student, teacher)
    taken = every.take(np.arange(len(gold))[::-1]).take(len(gold) - 1 - some)
    alone = TASK.answered(gold[some], student.take(some), teacher.take(some))
    for name in ("owners", "rows", "highest", "given", "distance", "right"):
        assert getattr(taken.part("labels")[0], name).tolist() == getattr(alone.part("labels")[0], name).tolist(), name
    for kind, each in alone.row_divergences().items():
        assert taken.row_divergences()[kind] == pytest.approx(each, abs=1e-12, nan_ok=True)


def test_slices_copy_no_probabilities() -> None:
    gold, student, _ = scene(rows=300, task=PROOFREADING)
    answered = PROOFREADING.answered(gold, student, student)
    metric = plugins.build("metrics", "edit_f05")
    tracemalloc.start()
    try:
        taken = [answered.take(np.arange(start, 300)) for start in range(3)]
        assert all(metric.score(one) is not None for one in taken)
        assert tracemalloc.get_traced_memory()[1] < student.values.nbytes / 4
    finally:
        tracemalloc.stop()
