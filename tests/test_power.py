"""What these rows can't tell says how many more would: swept over everything that can be not measurable or open."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from stillroom import comparison, discovery, gap, gates, generalisation, intervals, power, slices
from stillroom.core import recipe
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers, Floats, ratio
from stillroom.table import SYSTEMS, Table
from stillroom.tasks.classification import Classification

MORE = re.compile(r"\d more\b")
SETTINGS = recipe.Evaluate(resamples=200, min_slice_rows=50)
METRICS = ("accuracy", "macro_f1", "nll", "ece", "aurc", "agreement", "negative_flips")
#: Why there is no figure, where no number of rows would make one.
UNSETTLED = (
    "one seed",
    "not looked at",
    "one teacher; ",
    "nothing was forgotten",
    "answers are texts",
)


def table(rows: int, *, seed: int = 0, apart: float = 0.0, right: float = 2.5) -> Table:
    """Four systems, of which the student is nearer to gold than the others by so much."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 3, rows)
    shown = rng.normal(size=(rows, 3)) + right * np.eye(3)[gold]
    teacher = softmax(shown)
    said = {}
    for name in SYSTEMS:
        own = apart if name == "student" else 0.0
        said[name] = softmax(shown + rng.normal(size=(rows, 3)) + own * np.eye(3)[gold])
    return Table(
        ids=tuple(f"r{row}" for row in range(rows)),
        domain=("films",) * rows,
        outside=np.zeros(rows, dtype=np.bool_),
        aspects={"length": rng.integers(5, 200, rows).astype(np.float64)},
        said={name: Answers(gold, one, teacher, ("a", "b", "c")) for name, one in said.items()},
        columns={"year": tuple(str(2000 + row % 3) for row in range(rows))},
    )


def compared(rows: int, **more: Any) -> dict[str, Any]:
    return comparison.compare(table(rows, **more), metrics=METRICS, settings=SETTINGS, seed=1)


def reasons(part: Any) -> Iterator[str]:
    """Every reason for which a figure is none, wherever it stands."""
    if isinstance(part, Mapping):
        if part.get("value", "") is None:
            yield str(part["reason"])
        for one in part.values():
            yield from reasons(one)
    elif isinstance(part, list | tuple):
        for one in part:
            yield from reasons(one)


def unsettled(part: Any) -> set[str]:
    """Reasons without a number of rows, for which rows are wanting."""
    return {one for one in reasons(part) if not MORE.search(one) and not one.startswith(UNSETTLED)}


class TestEveryReason:
    @pytest.mark.parametrize("rows", [2, 5, 12, 29, 60, 400])
    def test_of_an_evaluation(self, rows: int) -> None:
        found = compared(rows)
        assert found["worst_slice"]["retention"]["value"] is not None or rows < 400
        assert not unsettled(found)

    def test_of_a_teacher_that_is_never_right(self) -> None:
        told = compared(200, right=-20.0)
        assert told["retention"]["accuracy"]["value"] is None
        assert not unsettled(told)

    def test_of_slices_that_are_all_too_small(self) -> None:
        worst = compared(90)["worst_slice"]["retention"]
        count, more = map(int, re.findall(r"largest: (\d+) rows; .*: (\d+) more of", worst["reason"])[0])
        assert count + more == SETTINGS.min_slice_rows
        assert slices.worst([], confidence=0.95)["retention"]["reason"] == "the rows make no slices"

    def test_of_what_is_held_against_what_was_learned_or_made(self) -> None:
        task = Classification(labels=("no", "yes"))
        few = gap.Side(["a", "b"], ["one", "two"], np.zeros((2, 2)), np.zeros((2, 2)))
        assert not unsettled(generalisation.compare(few, few, task=task, confidence=0.95))
        assert not unsettled(gap.measure(few, few, names_labels_only=False, settings=SETTINGS, seed=0))
        assert not unsettled(discovery.discover(table(40), confidence=0.95, seed=0))

    def test_of_shares_quantiles_and_deviations(self) -> None:
        found = [
            intervals.clopper_pearson(0, 0, 0.95),
            intervals.quantile(np.zeros(0), 0.5, 0.95),
            intervals.quantile(np.zeros(7), 0.99, 0.95),
            intervals.deviation(np.zeros(1), 0.95),
        ]
        assert all(MORE.search(one.reason) for one in found)


class TestEveryVerdict:
    def test_neither_what_the_teacher_adds_nor_the_floor_is_left_open_without_a_number(self) -> None:
        verdict = compared(400)["verdict"]
        assert (verdict["worth"], verdict["floor"]) == ("no difference shown",) * 2
        assert len(MORE.findall(verdict["sentence"].replace("more rows", "more"))) == 2

    def test_the_floor_alone(self) -> None:
        told = compared(400)
        one = told["difference"]["student_minus_baseline"]["accuracy"]
        more = power.difference(one["value"], one["low"], one["high"], confidence=0.95, n=one["n"])
        assert told["verdict"]["sentence"].endswith(more)

    def test_a_gate_at_its_limit(self) -> None:
        summary = {"worst_slice": {"family": "year", "name": "2001", "n": 100, "retention":
                                   {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}}}  # fmt: skip
        for limit in (0.9, 0.85, 0.92):
            (verdict,) = gates.judge([recipe.Gate(measure="worst_slice.retention", at_least=limit)], summary)
            assert verdict.state == "inconclusive"
            assert re.search(r"[\d,]+ more rows of year “2001”", verdict.advice)

    def test_made_and_real_texts_that_differ_by_nothing_that_shows(self) -> None:
        rng = np.random.default_rng(0)
        sides = [gap.Side([f"{name}{row}" for row in range(200)], [f"word{row % 7} and {row}" for row in range(200)],
                          rng.normal(size=(200, 2)), rng.normal(size=(200, 2))) for name in "ab"]  # fmt: skip
        sentence = gap.measure(*sides, names_labels_only=False, settings=SETTINGS, seed=0)["sentence"]
        assert "No difference is shown" in sentence
        assert re.search(r"[\d,]+ more texts on each side would", sentence)


@pytest.mark.parametrize(("share", "rows"), [(0.01, 100), (0.02, 60), (0.03, 100)])
def test_so_many_more_rows_define_a_figure_that_is_often_divided_by_zero(share: float, rows: int) -> None:
    """A ratio to what so few rows have: with what is advised it is defined in 99 of 100 resamples, with less not."""
    unknown = (1 - share) ** rows
    assert unknown > power.UNDEFINED
    told = power.undefined(unknown, n=rows)
    more = int(re.findall(r"about ([\d,]+) more", told)[0].replace(",", ""))
    assert (1 - share) ** (rows + more) <= power.UNDEFINED
    assert (1 - share) ** (rows + more - 2) > power.UNDEFINED


def test_what_one_row_alone_holds_up_needs_some_four_times_as_many_more() -> None:
    statistics = np.zeros((40, 2))
    statistics[0, 1] = 1

    def value(sums: Floats) -> Floats:
        return ratio(sums[..., 0], sums[..., 1])

    found = intervals.bca(statistics, value, resamples=2000, confidence=0.95, rng=np.random.default_rng(0))
    more = int(re.findall(r"about ([\d,]+) more", found.reason)[0].replace(",", ""))
    assert 130 <= more <= 160


@given(value=st.floats(-0.2, 0.2), half=st.floats(0.001, 0.5), size=st.floats(0.001, 0.5), n=st.integers(30, 5000))
@settings(max_examples=100, deadline=None)
def test_so_many_more_rows_show_a_difference_of_a_size(value: float, half: float, size: float, n: int) -> None:
    more = power.to_show(value, value - half, value + half, size=size, confidence=0.95, n=n)
    allowed = size * 1.959964 / (1.959964 + 0.841621)
    if more is None:
        assert half > 9.9 * allowed
        return
    assert half * math.sqrt(n / (n + more)) <= allowed * (1 + 1e-6)
    if more > 1:
        assert half * math.sqrt(n / (n + more - 1)) > allowed * (1 - 1e-6)


@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.9996])
def test_so_many_rows_show_a_difference_of_a_size_in_four_samples_of_five(confidence: float) -> None:
    """Means of normal figures whose true one is the size, each judged by its interval at the level."""
    rng, size, n = np.random.default_rng(0), 0.1, 200
    z = stats.norm.ppf((1 + confidence) / 2)
    more = power.to_show(0.0, -z / math.sqrt(n), z / math.sqrt(n), size=size, confidence=confidence, n=n)
    assert more
    means = rng.normal(size, 1 / math.sqrt(n + more), 20_000)
    shown = np.mean(means - z / math.sqrt(n + more) > 0)
    assert shown == pytest.approx(power.POWER, abs=0.01)
    half = z / math.sqrt(n + more)
    assert power.to_show(0.0, -half, half, size=size, confidence=confidence, n=n + more) == 0


def test_a_limit_outside_the_interval_needs_no_more_rows() -> None:
    assert power.to_settle(0.01, 0.001, 0.02, limit=0.0, n=400) == 0
    assert power.to_settle(-0.01, -0.02, -0.001, limit=0.0, n=400) == 0
    assert power.to_settle(0.01, 0.0, 0.02, limit=0.0, n=400) == 1


def test_what_no_rows_would_show_says_so_with_a_number() -> None:
    nothing = "It is next to nothing: 4,950 more rows would hardly show it."
    assert power.difference(0.0, -0.1, 0.1, confidence=0.95, n=50) == nothing
    assert power.difference(0.0, 0.0, 0.0, confidence=0.95, n=50) == nothing
    told = power.difference(0.05, -0.05, 0.15, confidence=0.95, n=50)
    assert told == "About 359 more rows would show a difference of that size with 80 % power."
