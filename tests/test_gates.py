import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom import comparison, gates
from stillroom.core import recipe
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers
from stillroom.table import SYSTEMS, Table


def figure(value: float, low: float, high: float, n: int = 400) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


SUMMARY: dict[str, Any] = {
    "name": "reviews",
    "seed": 7,
    "retention": {
        "accuracy": figure(0.96, 0.94, 0.98),
        "macro_f1": {**figure(0, 0, 0), "value": None, "reason": "few"},
    },
    "negative_flips": {**figure(0.03, 0.02, 0.045), "count": 12},
    "worst_slice": {"family": "class", "name": "a", "n": 120, "retention": figure(0.9, 0.84, 0.95, 120)},
    "speedup": 180.0,
    "student": {"cost": {"resident_mb": 90.5, "latency_ms": {"p50": 0.2}}, "scores": {"ece": figure(0.03, 0.02, 0.05)}},
    "stages": {"corpus": {"seconds": 3.0}},
    "slices": [{"n": 3}],
}


def judged(measure: str, summary: dict[str, Any] | None = None, **limit: Any) -> gates.Verdict:
    (verdict,) = gates.judge([recipe.Gate(measure=measure, **limit)], SUMMARY if summary is None else summary)
    return verdict


class TestStates:
    @pytest.mark.parametrize(
        ("measure", "limit", "state"),
        [
            ("retention.accuracy", {"at_least": 0.93}, "pass"),
            ("retention.accuracy", {"at_least": 0.94}, "pass"),
            ("retention.accuracy", {"at_least": 0.941}, "inconclusive"),
            ("retention.accuracy", {"at_least": 0.98}, "inconclusive"),
            ("retention.accuracy", {"at_least": 0.981}, "fail"),
            ("negative_flips", {"at_most": 0.045}, "pass"),
            ("negative_flips", {"at_most": 0.044}, "inconclusive"),
            ("negative_flips", {"at_most": 0.02}, "inconclusive"),
            ("negative_flips", {"at_most": 0.019}, "fail"),
            ("worst_slice.retention", {"at_least": 0.85}, "inconclusive"),
            ("student.scores.ece", {"at_most": 0.06}, "pass"),
        ],
    )
    def test_are_judged_on_the_bound(self, measure: str, limit: dict[str, Any], state: str) -> None:
        verdict = judged(measure, **limit)
        assert verdict.state == state
        assert verdict.reason
        assert bool(verdict.advice) == (state == "inconclusive")
        assert gates.passed([verdict]) == (state == "pass")

    @pytest.mark.parametrize(
        ("measure", "limit", "state"),
        [
            ("speedup", {"at_least": 150.0}, "pass"),
            ("speedup", {"at_least": 200.0}, "fail"),
            ("student.cost.resident_mb", {"at_most": 120.0}, "pass"),
            ("student.cost.latency_ms.p50", {"at_most": 0.1}, "fail"),
        ],
    )
    def test_a_plain_number_is_judged_on_the_point_and_says_so(
        self, measure: str, limit: dict[str, Any], state: str
    ) -> None:
        verdict = judged(measure, **limit)
        assert verdict.state == state
        assert "judged on the point" in verdict.reason
        assert (verdict.low, verdict.high) == (None, None)

    def test_a_null_is_not_measurable_for_its_own_reason(self) -> None:
        verdict = judged("retention.macro_f1", at_least=0.5)
        assert (verdict.state, verdict.reason) == ("not measurable", "few")
        assert not gates.passed([verdict])

    def test_an_interval_that_is_null_is_no_point(self) -> None:
        summary = {"agreement": {"value": 0.9, "low": None, "high": None, "n": 4}}
        assert judged("agreement", summary, at_least=0.1).state == "not measurable"

    def test_what_is_there_but_null_was_not_measured(self) -> None:
        verdict = judged("speedup", {"speedup": None}, at_least=1.0)
        assert (verdict.state, verdict.reason) == ("not measurable", "it was not measured")

    def test_a_number_that_is_not_finite_is_not_measurable(self) -> None:
        assert judged("speedup", {"speedup": float("inf")}, at_least=1.0).state == "not measurable"

    def test_a_missing_measure_names_the_nearest(self) -> None:
        verdict = judged("retention.acuracy", at_least=0.9)
        assert verdict.state == "not measurable"
        assert "`retention.accuracy`" in verdict.advice

    @pytest.mark.parametrize(
        "measure", ["retention.accuracy.value", "retention.accuracy.high", "retention", "seed", "stages.corpus.seconds"]
    )
    def test_a_part_of_a_figure_can_not_stand_for_it(self, measure: str) -> None:
        assert judged(measure, at_least=0.0).state == "not measurable"


def test_several_gates_keep_their_order_and_one_can_say_no() -> None:
    asked = [recipe.Gate(measure="speedup", at_least=150), recipe.Gate(measure="retention.accuracy", at_least=0.99)]
    verdicts = gates.judge(asked, SUMMARY)
    assert [verdict.measure for verdict in verdicts] == ["speedup", "retention.accuracy"]
    assert not gates.passed(verdicts)
    assert gates.passed(verdicts[:1])
    assert gates.passed([])
    assert json.loads(json.dumps([verdict.as_dict() for verdict in verdicts]))[1]["state"] == "fail"


class TestAdvice:
    def test_tells_how_many_more_rows_would_settle_it(self) -> None:
        """0.96 lies 0.01 above the limit and its lower half is 0.02 wide: four times the rows halve it."""
        assert (
            "About 1,200 more rows would settle it; it would then pass"
            in judged("retention.accuracy", at_least=0.95).advice
        )

    def test_names_the_slice_that_the_rows_are_to_be_of(self) -> None:
        retention = {"value": 0.93, "low": 0.88, "high": 0.98, "n": 100}
        summary = {
            **SUMMARY,
            "worst_slice": {"family": "negation", "name": "2 or more", "n": 100, "retention": retention},
        }
        (verdict,) = gates.judge([recipe.Gate(measure="worst_slice.retention", at_least=0.9)], summary)
        assert verdict.state == "inconclusive"
        assert "About 178 more rows of negation “2 or more” would settle it" in verdict.advice

    def test_from_the_other_side_it_would_fail(self) -> None:
        assert "it would then fail" in judged("retention.accuracy", at_least=0.97).advice
        assert "it would then fail" in judged("negative_flips", at_most=0.025).advice

    def test_does_not_promise_what_rows_can_not_do(self) -> None:
        assert "hardly" in judged("retention.accuracy", at_least=0.96).advice
        assert "hardly" in judged("retention.accuracy", at_least=0.9599).advice

    def test_without_a_number_of_rows_tells_how_many_times(self) -> None:
        summary = {"speedup": {"value": 160.0, "low": 140.0, "high": 180.0}}
        assert judged("speedup", summary, at_least=150.0).advice.startswith("About 4.0 times the rows")

    @given(
        value=st.floats(0.05, 0.95),
        below=st.floats(0.001, 0.3),
        above=st.floats(0.001, 0.3),
        limit=st.floats(0, 1),
        sense=st.sampled_from(["at_least", "at_most"]),
    )
    def test_states_are_one_of_three_and_mirror(
        self, value: float, below: float, above: float, limit: float, sense: str
    ) -> None:
        summary = {"agreement": figure(value, value - below, value + above)}
        turned = {"agreement": figure(-value, -value - above, -value + below)}
        other = "at_most" if sense == "at_least" else "at_least"
        verdict = judged("agreement", summary, **{sense: limit})
        assert verdict.state in ("pass", "fail", "inconclusive")
        assert judged("agreement", turned, **{other: -limit}).state == verdict.state


class TestMeasures:
    def test_are_the_figures_as_a_whole(self) -> None:
        assert gates.measures(SUMMARY) == [
            "negative_flips",
            "retention.accuracy",
            "retention.macro_f1",
            "speedup",
            "student.cost.latency_ms.p50",
            "student.cost.resident_mb",
            "student.scores.ece",
            "worst_slice.n",
            "worst_slice.retention",
        ]

    def test_the_vocabulary_is_what_a_finished_run_has(self) -> None:
        metrics = ("accuracy", "macro_f1", "ece", "agreement")
        told = compared(metrics=metrics)
        summary = {**told, **told.pop("systems"), "speedup": 3.0}
        words = set(gates.vocabulary(metrics))
        measured = set(gates.measures(summary))
        without_cost = {
            word
            for word in words
            if ".cost." not in word and not word.startswith(("gap.", "generalisation.", "contamination."))
        }
        assert without_cost <= measured
        headline = ("retention.", "difference.", "teacher.", "student.", "undistilled.", "baseline.")
        assert {path for path in measured if path.startswith(headline)} <= words
        assert {"teacher.cost.latency_ms.p99", "student.cost.parameters"} <= words
        assert {"retention.ece", "retention.agreement", "teacher.scores.agreement"}.isdisjoint(words)


def compared(*, metrics: tuple[str, ...] = ("accuracy",), forget: float = 0.0, rows: int = 900) -> dict[str, Any]:
    """A student that is its teacher, but answers at random on a share of the rows of one class."""
    rng = np.random.default_rng(3)
    gold = rng.integers(0, 3, rows)
    teacher = rng.normal(size=(rows, 3)) + 3.0 * (gold[:, None] == np.arange(3))
    forgotten = (gold == 1) & (rng.random(rows) < forget)
    student = np.where(forgotten[:, None], rng.permuted(teacher, axis=1), teacher)
    table = Table(
        ids=tuple(map(str, range(rows))),
        domain=("films",) * rows,
        outside=np.zeros(rows, dtype=np.bool_),
        aspects={"length": rng.integers(5, 99, rows).astype(np.float64)},
        said={
            system: Answers(gold, softmax(one), softmax(teacher), labels=("a", "b", "c"))
            for system, one in [("teacher", teacher), *((name, student) for name in SYSTEMS[1:])]
        },
        columns={},
    )
    settings = recipe.Evaluate(resamples=300, min_slice_rows=100)
    return comparison.compare(table, metrics=metrics, settings=settings, seed=7)


class TestPlantedFaults:
    """A gate that never failed proves nothing: the right one must fail, and only that one."""

    ASKED = (
        recipe.Gate(measure="retention.accuracy", at_least=0.85),
        recipe.Gate(measure="worst_slice.retention", at_least=0.85),
        recipe.Gate(measure="negative_flips", at_most=0.2),
    )

    def test_nothing_forgotten_passes(self) -> None:
        assert gates.passed(gates.judge(self.ASKED, compared()))

    def test_one_class_forgotten_fails_the_gate_on_the_worst_slice(self) -> None:
        verdicts = gates.judge(self.ASKED, compared(forget=0.5))
        assert [verdict.state for verdict in verdicts] == ["pass", "fail", "pass"]

    def test_a_limit_just_inside_the_interval_is_inconclusive(self) -> None:
        summary = compared(forget=0.3)
        kept = summary["retention"]["accuracy"]
        low, high = kept["low"], kept["high"]
        for limit, state in [
            (low, "pass"),
            (low + 1e-4, "inconclusive"),
            (high, "inconclusive"),
            (high + 1e-4, "fail"),
        ]:
            assert judged("retention.accuracy", summary, at_least=limit).state == state

    def test_too_few_rows_do_not_pass(self) -> None:
        verdicts = gates.judge(self.ASKED, compared(rows=20))
        assert [verdict.state for verdict in verdicts][:2] == ["not measurable", "not measurable"]
        assert "20 rows for accuracy; 30 are needed: 10 more" in verdicts[0].reason
