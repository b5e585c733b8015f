"""What every metric promises, held over every member that is found."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import objects, plugins, proofs, scored
from stillroom.core.judged import Judged
from stillroom.core.proofs import Mark
from stillroom.core.scored import Scored
from stillroom.core.tagging import Span
from stillroom.intervals import Resamples, Sample
from stillroom.metrics import Answers, Metric
from stillroom.metrics._corrections import Corrected
from stillroom.metrics._spans import Spans
from stillroom.metrics._texts import Written
from stillroom.metrics._tokens import Told
from stillroom.metrics._vectors import Embedded, Space
from tests.conftest import TAGGER

NAMES = plugins.names("metrics")


def labels(seed: int, *, rows: int = 400, classes: int = 4) -> Answers:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, rows)
    tables = []
    for noise in (0.8, 1.5):
        odds = np.exp(noise * rng.normal(size=(rows, classes)) + 1.5 * (gold[:, None] == np.arange(classes)))
        tables.append(odds / odds.sum(axis=1, keepdims=True))
    return Answers(gold=gold, probabilities=tables[0], teacher=tables[1])


def spans(seed: int, *, rows: int = 400, classes: int = 4) -> Spans:
    """Up to four spans a row; student and teacher lose, move and rename some."""
    rng = np.random.default_rng(seed)

    def some() -> tuple[Span, ...]:
        starts = np.flatnonzero(rng.random(4) < 0.5).tolist()
        return tuple(Span(10 * at, 10 * at + 5, str(rng.integers(classes))) for at in starts)

    def changed(gold: tuple[Span, ...]) -> tuple[Span, ...]:
        kept = [one for one in gold if rng.random() < 0.8]
        moved = [one if rng.random() < 0.7 else Span(one.start + 1, one.end + 1, one.label) for one in kept]
        return (*moved, Span(50, 55, "0")) if rng.random() < 0.1 else tuple(moved)

    # One row has a span on all sides, so that no figure is without a value.
    gold = [(Span(0, 5, "0"),), *(some() for _ in range(rows - 1))]
    said, teacher = ([gold[0], *(changed(one) for one in gold[1:])] for _ in range(2))
    return Spans(objects.array(gold), objects.array(said), objects.array(teacher))


def vectors(seed: int, *, rows: int = 400, classes: int = 4, searching: bool = False) -> Embedded:
    """As many judged texts as documents; a judged text has grades of three documents, near ones more often high."""
    rng = np.random.default_rng(seed)
    count = rows + max(rows, 12)
    true, *noisy = (rng.normal(size=(count, 6)) for _ in range(3))
    said, teacher = ((true + one) / np.linalg.norm(true + one, axis=1, keepdims=True) for one in noisy)
    ids = [f"{one:032x}" for one in range(count)]
    gold = np.empty(rows, dtype=np.object_)
    for row in range(rows):
        others = rng.choice(np.arange(rows, count), 3, replace=False).tolist()
        near = [float(true[row] @ true[one]) + 0.1 * rng.normal() for one in others]
        grades = [float(round(one)) for one in near] if not searching else [1.0, 2.0, 3.0]
        # Grades that are all the same rank nothing: a correlation would have no value.
        grades[0] += 1.0 if len(set(grades)) == 1 else 0.0
        gold[row] = Judged(tuple(zip((ids[one] for one in others), grades, strict=True)), "all" if searching else "")
    domains = [""] * rows + ["all"] * (count - rows)
    space = Space(said.astype(np.float32), teacher.astype(np.float32), np.arange(rows), gold, ids, domains)
    return Embedded(space, np.arange(rows))


def texts(seed: int, *, rows: int = 400, classes: int = 4) -> Written:
    """Texts that lose, double and change words of a reference, and have some of their source's."""
    rng = np.random.default_rng(seed)
    known = ["the", "old", "ship", "Oslo", "sails", "1999", "home", "again", "and", "sings", "Mira", "42"]

    def some() -> str:
        return " ".join(rng.choice(known, rng.integers(6, 12)))

    def changed(text: str) -> str:
        return " ".join(str(rng.choice(known)) if rng.random() < 0.3 else word for word in text.split())

    gold = np.empty(rows, dtype=np.object_)
    gold[:] = [(some(), some()) if rng.random() < 0.2 else (some(),) for _ in range(rows)]
    said, teacher, sources = (objects.array([changed(one[0]) for one in gold]) for _ in range(3))
    return Written(gold, said, teacher, sources)


def corrections(seed: int, *, rows: int = 400, classes: int = 4, clean: bool = False) -> Corrected:
    """Texts with up to three misspelt words; student and teacher find some, and mark some that are right."""
    rng = np.random.default_rng(seed)
    wrong, right = ["recieved", "beleived", "tecnology"], ["received", "believed", "technology"]

    def some(marks: tuple[Mark, ...], starts: list[int]) -> list[tuple[Mark, float]]:
        kept = [(one, 0.9) for one in marks if rng.random() < 0.8]
        free = [at for at in starts if at not in {one.at for one in marks} and rng.random() < 0.1]
        return kept + [(Mark(at, "delete"), 0.6) for at in free]

    texts, gold, said, teacher = [], [], [], []
    for row in range(rows):
        # Every fourth row has something wrong, so that no figure is without a value.
        bad = [] if clean else np.flatnonzero(rng.random(3) < 0.6).tolist() if row % 4 else [0]
        words = [wrong[at] if at in bad else right[at] for at in range(3)]
        words = ["she", words[0], "the", words[1], "old", words[2]]
        text = " ".join(words)
        starts = [text.index(word) for word in words]
        references = tuple(
            proofs.reference(text, one, is_word=right.__contains__)
            for one in (" ".join(["she", right[0], "the", right[1], "old", right[2]]), text)[: 1 + row % 2]
        )
        texts.append(text)
        gold.append(references)
        said.append(some(references[0].marks, starts))
        teacher.append(some(references[0].marks, starts))
    columns = (objects.array(one) for one in (gold, said, teacher, texts))
    return Corrected(*columns, pipeline=TAGGER)


def tokens(seed: int, *, rows: int = 400, classes: int = 4) -> Told:
    """Texts of a few tokens, of which student and teacher say much the same, and what the student wrote behind them."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, rows)
    ends = np.concatenate([np.arange(1, count + 1) for count in counts])
    places = np.stack([4 * (ends - 1), 4 * ends], axis=1).astype(np.int32)
    came, true = rng.integers(0, 12, counts.sum()), rng.normal(size=(counts.sum(), 12))
    written = objects.array([" ".join(rng.choice(["so", "it", "goes"], 3 + rng.integers(4))) for _ in range(rows)])
    said, teacher = (
        Scored(scored.of_logits(true + rng.normal(size=true.shape), came, kept=classes), places, counts,
               np.zeros(rows, dtype=np.int64), written)
        for _ in range(2)
    )  # fmt: skip
    return Told.of(said, teacher)


MAKERS: dict[str, Callable[..., Any]] = {
    "labels": labels,
    "spans": spans,
    "vectors": vectors,
    "texts": texts,
    "tokens": tokens,
    "corrections": corrections,
}


def answers(metric: Metric, seed: int, **sizes: int) -> Any:
    """Answers of the kind that a metric is of."""
    more = {"searching": metric.kind == "ndcg"} if metric.answers == "vectors" else {}
    more |= {"clean": metric.kind == "false_flags"} if metric.answers == "corrections" else {}
    return MAKERS[metric.answers](seed, **sizes, **more)


def as_its_teacher(said: Any) -> Any:
    """The same student, who says what the teacher says."""
    if isinstance(said, Embedded):
        return replace(said, space=replace(said.space, vectors=said.space.teacher))
    return replace(said, **{"probabilities" if isinstance(said, Answers) else "said": said.teacher})


def with_another_teacher(said: Any) -> Any:
    """The same student, beside a teacher that says something else."""
    if isinstance(said, Told):
        return replace(said, teacher=replace(said.teacher, values=np.roll(said.teacher.values, 1, axis=0)))
    if isinstance(said, Embedded):
        return replace(said, space=replace(said.space, teacher=np.roll(said.space.teacher, 1, axis=0)))
    return replace(said, teacher=np.roll(said.teacher, 1, axis=0))


@pytest.fixture(params=NAMES)
def metric(request: pytest.FixtureRequest) -> Metric:
    built: Metric = plugins.build("metrics", request.param)
    return built


def test_there_are_members() -> None:
    assert {"accuracy", "macro_f1", "ece", "nll", "brier", "agreement", "negative_flips", "positive_flips"} <= set(
        NAMES
    )


def test_says_what_it_is(metric: Metric) -> None:
    assert metric.low < metric.high
    assert metric.min_rows >= 1
    assert metric.formula
    assert metric.reference
    assert type(metric).__doc__


def test_is_in_the_docs_as_it_is(metric: Metric) -> None:
    if type(metric).__module__.startswith("stillroom."):
        page = Path(__file__).parents[2] / "docs" / "stages" / "evaluate.md"
        better = "higher" if metric.higher_is_better else "lower"
        formula = metric.formula.replace("|", r"\|")
        assert f"| `{metric.kind}` | {better} | {formula} | {metric.min_rows} |" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), classes=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_stays_in_range(name: str, seed: int, rows: int, classes: int) -> None:
    metric = plugins.build("metrics", name)
    value = metric.score(answers(metric, seed, rows=rows, classes=classes))
    assert metric.low - 1e-12 <= value <= metric.high + 1e-12


def test_the_order_of_rows_does_not_matter(metric: Metric) -> None:
    said = answers(metric, 1)
    order = np.random.default_rng(2).permutation(len(said))
    assert metric.score(said.take(order)) == pytest.approx(metric.score(said), rel=1e-12)


def test_is_a_function_of_sums(metric: Metric) -> None:
    said = answers(metric, 3)
    rows = metric.rows(said)
    assert rows.shape[0] == len(said)
    assert rows.dtype == np.float64
    halves = rows[:150].sum(axis=0) + rows[150:].sum(axis=0)
    assert float(metric.value(halves)) == pytest.approx(metric.score(said), rel=1e-12)


def test_rows_may_count_more_than_once(metric: Metric) -> None:
    """Weights on rows do what rows repeated do: so a resample is scored as if it were a table."""
    count = 120 if metric.exact else 4 * metric.min_rows
    said = answers(metric, 4, rows=count)
    weights = np.random.default_rng(5).integers(0, 4, count)
    twice = np.repeat(np.arange(count), weights)
    expected = pytest.approx(metric.score(said.take(twice)), **({"rel": 1e-12} if metric.exact else {"abs": 0.02}))
    assert float(metric.value(weights @ metric.rows(said))) == expected


def test_all_ones_are_the_plain_metric(metric: Metric) -> None:
    said = answers(metric, 6)
    rows = metric.rows(said)
    assert float(metric.value(np.ones(len(rows)) @ rows)) == pytest.approx(metric.score(said), rel=1e-12)


def test_values_are_vectorised_over_leading_axes(metric: Metric) -> None:
    rows = metric.rows(answers(metric, 7, rows=60))
    sums = np.random.default_rng(8).integers(0, 3, (2, 5, 60)) @ rows
    together = metric.value(sums)
    assert together.shape == (2, 5)
    one_by_one = [[float(metric.value(sums[a, b])) for b in range(5)] for a in range(2)]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-12)


def test_no_rows_have_no_value(metric: Metric) -> None:
    rows = metric.rows(answers(metric, 9))
    assert math.isnan(float(metric.value(np.zeros(rows.shape[1]))))


def test_can_be_resampled(metric: Metric) -> None:
    said = answers(metric, 10)
    drawn = Resamples(400, count=300, rng=np.random.default_rng(11))
    estimate = drawn.estimate({"figure": Sample(metric.rows(said), metric.value)})["figure"]
    assert estimate.value == pytest.approx(metric.score(said), rel=1e-12)
    interval = estimate.interval(0.95, within=(metric.low, metric.high))
    assert interval.low is not None
    assert interval.high is not None
    assert metric.low <= interval.low < interval.high <= metric.high


def test_a_student_that_is_its_teacher(metric: Metric) -> None:
    said = answers(metric, 12)
    same = as_its_teacher(said)
    perfect: dict[str, Any] = {"agreement": 1.0, "negative_flips": 0.0, "positive_flips": 0.0}
    if metric.against_teacher:
        assert metric.score(same) == perfect.get(metric.kind, metric.high if metric.higher_is_better else metric.low)
    else:
        # Whoever the teacher is says nothing about a metric against gold.
        assert metric.score(with_another_teacher(said)) == metric.score(said)


def test_a_share_of_rows_has_hits_and_rows(metric: Metric) -> None:
    rows = metric.rows(answers(metric, 13))
    if metric.share_of_rows:
        assert rows.shape[1] == 2
        assert set(np.unique(rows[:, 0])) <= {0.0, 1.0}
        assert (rows[:, 1] == 1.0).all()
        assert float(metric.value(rows.sum(axis=0))) == rows[:, 0].mean()
    else:
        assert not np.isin(rows, (0.0, 1.0)).all() or rows.shape[1] != 2
