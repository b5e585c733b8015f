import json
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from stillroom import comparison, power
from stillroom.core import objects, plugins, recipe, scored
from stillroom.core.errors import InputError
from stillroom.core.probabilities import softmax
from stillroom.core.progress import Event
from stillroom.metrics import Answers
from stillroom.metrics._tokens import Told
from stillroom.table import Table
from tests.contracts.test_tasks import spoken

METRICS = ("accuracy", "macro_f1", "ece", "nll")
LABELS = ("a", "b", "c")
SETTINGS = recipe.Evaluate(resamples=400, min_slice_rows=50)
#: How much noise lies over what each system knows.
NOISE = {"teacher": 0.0, "student": 0.6, "undistilled": 1.6, "baseline": 3.0}


def table(*, test: int = 800, outside: int = 200, seed: int = 0, noise: dict[str, float] | None = None) -> Table:
    """Systems that know the same with more or less noise over it."""
    rng = np.random.default_rng(seed)
    rows = test + outside
    gold = rng.integers(0, 3, rows)
    known = rng.normal(size=(rows, 3)) + 2.5 * (gold[:, None] == np.arange(3))
    said = {
        system: softmax((known + strength * rng.normal(size=known.shape)).astype(np.float32))
        for system, strength in (NOISE if noise is None else noise).items()
    }
    return Table(
        ids=tuple(f"r{row}" for row in range(rows)),
        domain=("films",) * test + ("tweets",) * outside,
        outside=np.arange(rows) >= test,
        aspects={"length": rng.integers(5, 200, rows).astype(np.float64)},
        said={name: Answers(gold, one, said.get("teacher", one), labels=LABELS) for name, one in said.items()},
        columns={"year": tuple(str(2000 + row % 2) for row in range(rows))},
    )


def compare(table: Table, *, seed: int = 7, metrics: tuple[str, ...] = METRICS) -> dict[str, Any]:
    return comparison.compare(table, metrics=metrics, settings=SETTINGS, seed=seed)


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return compare(table())


def intervals_in(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, list):
        return [found for one in part for found in intervals_in(one)]
    if isinstance(part, dict):
        own = [part] if {"value", "low", "high"} <= part.keys() else []
        return own + [found for one in part.values() for found in intervals_in(one)]
    return []


class TestWhatIsTold:
    def test_is_json_and_each_figure_has_its_interval_and_rows(self, told: dict[str, Any]) -> None:
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        found = intervals_in(told)
        assert len(found) > 60
        assert all(one["low"] is not None and one["n"] > 0 for one in found if one["value"] is not None)
        assert all(one["reason"] for one in found if one["value"] is None)

    def test_the_headline_counts_test_rows_only(self, told: dict[str, Any]) -> None:
        whole = table()
        assert told["rows"] == {"test": 800, "outside": 200}
        for system, answers in whole.said.items():
            assert isinstance(answers, Answers)
            gold, said = answers.gold[:800], answers.probabilities[:800].argmax(axis=1)
            scores = told["systems"][system]["scores"]
            assert scores["accuracy"]["value"] == pytest.approx(accuracy_score(gold, said), rel=1e-6)
            assert scores["macro_f1"]["value"] == pytest.approx(f1_score(gold, said, average="macro"), rel=1e-6)
            assert scores["accuracy"]["n"] == 800

    def test_comparisons_are_of_the_scores(self, told: dict[str, Any]) -> None:
        value = {
            (system, name): score["value"]
            for system, part in told["systems"].items()
            for name, score in part["scores"].items()
        }
        for name, kept in told["retention"].items():
            assert kept["value"] == pytest.approx(value["student", name] / value["teacher", name], rel=1e-5)
        for pair, figures in told["difference"].items():
            other = pair.removeprefix("student_minus_")
            for name, one in figures.items():
                assert one["value"] == pytest.approx(value["student", name] - value[other, name], abs=1e-6)

    def test_retention_is_told_of_what_is_better_when_higher(self, told: dict[str, Any]) -> None:
        assert set(told["retention"]) == {"accuracy", "macro_f1"}

    def test_flips_and_mcnemar_count_the_same_rows(self, told: dict[str, Any]) -> None:
        against_teacher = told["mcnemar"]["teacher"]
        assert told["negative_flips"]["count"] == against_teacher["b"]
        assert told["positive_flips"]["count"] == against_teacher["c"]
        gained = told["positive_flips"]["value"] - told["negative_flips"]["value"]
        assert gained == pytest.approx(told["difference"]["student_minus_teacher"]["accuracy"]["value"], abs=1e-6)
        assert all(one["p"] <= one["p_holm"] <= 1 for one in told["mcnemar"].values())

    def test_pairing_makes_the_interval_of_a_difference_narrow(self, told: dict[str, Any]) -> None:
        def width(one: dict[str, Any]) -> float:
            return float(one["high"] - one["low"])

        difference = told["difference"]["student_minus_teacher"]["accuracy"]
        both = [told["systems"][system]["scores"]["accuracy"] for system in ("teacher", "student")]
        assert width(difference) < 0.8 * np.hypot(width(both[0]), width(both[1]))

    def test_slices_and_the_worst_of_them(self, told: dict[str, Any]) -> None:
        assert {one["family"] for one in told["slices"]} == {
            "class",
            "length",
            "domain",
            "teacher_confidence",
            "year",
        }
        lowest = min(one["retention"]["value"] for one in told["slices"])
        assert told["worst_slice"]["retention"]["value"] == lowest

    def test_reliability_holds_all_test_rows(self, told: dict[str, Any]) -> None:
        assert {system: sum(one["n"] for one in bins) for system, bins in told["reliability"].items()} == {
            "teacher": 800,
            "student": 800,
        }

    def test_the_same_seed_tells_the_same(self, told: dict[str, Any]) -> None:
        assert compare(table()) == told

    def test_another_seed_moves_ends_and_no_figure(self, told: dict[str, Any]) -> None:
        other = compare(table(), seed=8)
        assert other != told
        same = [{**one, "discovered": {}} for one in (other, told)]  # which half is searched hangs on the seed
        assert [one["value"] for one in intervals_in(same[0])] == [one["value"] for one in intervals_in(same[1])]

    def test_progress_is_reported(self) -> None:
        events: list[Event] = []
        comparison.compare(table(test=60, outside=0), metrics=METRICS, settings=SETTINGS, seed=7, report=events.append)
        assert [event.done for event in events] == [0, 1, 2, 3, 4, 5]
        assert all(event.total == 5 for event in events)


class TestVerdict:
    def test_a_teacher_that_helps(self, told: dict[str, Any]) -> None:
        verdict = told["verdict"]
        assert verdict["worth"] == "helps"
        assert verdict["floor"] == "above"
        assert verdict["difference"] == told["difference"]["student_minus_undistilled"]["accuracy"]
        assert verdict["sentence"].startswith("The teacher helps: accuracy ")
        assert f"{verdict['difference']['value']:+.3f}" in verdict["sentence"]

    def test_a_teacher_that_hurts_and_a_student_under_its_floor(self) -> None:
        noise = {"teacher": 0.0, "student": 2.5, "undistilled": 1.0, "baseline": 0.5}
        verdict = compare(table(noise=noise))["verdict"]
        assert (verdict["worth"], verdict["floor"]) == ("hurts", "under")
        assert "under its floor" in verdict["sentence"]
        assert "−0." in verdict["sentence"]

    def test_a_teacher_that_makes_no_difference(self) -> None:
        # Its twin errs a little more often: too little to be shown on so few rows.
        noise = {"teacher": 0.0, "student": 1.0, "undistilled": 1.1, "baseline": 1.0}
        verdict = compare(table(noise=noise, test=300))["verdict"]
        assert (verdict["worth"], verdict["floor"]) == ("no difference shown", "no difference shown")
        added = verdict["difference"]
        ends = (added["value"], added["low"], added["high"])
        more = power.to_show(*ends, size=abs(added["value"]), confidence=0.95, n=300)
        assert more
        assert f"About {more:,} more rows would show a difference of that size with 80 % power." in verdict["sentence"]

    def test_without_the_other_students_it_says_so(self) -> None:
        alone = compare(table(noise={"teacher": 0.0, "student": 1.0}))
        assert alone["verdict"]["worth"] == alone["verdict"]["floor"] == "not measured"
        assert alone["verdict"]["difference"] is None
        assert "not measured" in alone["verdict"]["sentence"]
        assert set(alone["systems"]) == {"teacher", "student"}
        assert set(alone["difference"]) == {"student_minus_teacher"}


class TestPlantedFaults:
    def test_a_student_that_is_its_teacher(self) -> None:
        told = compare(table(noise={"teacher": 0.0, "student": 0.0}))
        for kept in told["retention"].values():
            assert (kept["value"], kept["low"], kept["high"]) == (1.0, 1.0, 1.0)
        for minus in told["difference"]["student_minus_teacher"].values():
            assert (minus["value"], minus["low"], minus["high"]) == (0.0, 0.0, 0.0)
        assert told["agreement"]["value"] == 1.0
        assert told["agreement"]["low"] < 1.0
        assert told["negative_flips"]["count"] == told["positive_flips"]["count"] == 0
        assert told["negative_flips"]["high"] > 0.0
        assert told["mcnemar"]["teacher"]["p"] == 1.0
        assert told["worst_slice"]["retention"]["value"] == 1.0

    def test_gold_shuffled_in_a_domain_makes_it_the_worst_slice_for_a_student_that_learned_it(self) -> None:
        """The student fitted the shuffled labels of one domain, the teacher the true ones."""
        whole = table(noise={"teacher": 0.0, "student": 0.3})
        student = whole.said["student"]
        assert isinstance(student, Answers)
        student.probabilities[800:] = np.random.default_rng(1).permutation(student.probabilities[800:])
        told = compare(whole)
        assert (told["worst_slice"]["family"], told["worst_slice"]["name"]) == ("domain", "tweets")
        assert told["worst_slice"]["retention"]["high"] < told["retention"]["accuracy"]["low"]

    def test_few_rows_are_told_as_not_measurable(self) -> None:
        told = compare(table(test=100, outside=0))
        ece = told["systems"]["student"]["scores"]["ece"]
        assert ece["value"] is None
        assert ece["reason"] == "100 rows for ece; 300 are needed: 200 more"
        assert told["difference"]["student_minus_teacher"]["ece"]["value"] is None
        assert told["systems"]["student"]["scores"]["accuracy"]["value"] is not None

    def test_a_student_without_a_teacher_is_refused(self) -> None:
        with pytest.raises(InputError, match="no answers of the teacher"):
            compare(table(noise={"student": 1.0}))

    @pytest.mark.parametrize("metrics", [("ece",), ("agreement", "accuracy"), ()])
    def test_a_primary_metric_that_can_not_be_retained_is_refused(self, metrics: tuple[str, ...]) -> None:
        with pytest.raises(InputError, match="higher for better systems"):
            compare(table(test=60, outside=0), metrics=metrics)

    def test_metrics_against_the_teacher_say_nothing_of_it(self) -> None:
        told = compare(table(), metrics=("accuracy", "agreement", "negative_flips"))
        assert set(told["systems"]["teacher"]["scores"]) == {"accuracy"}
        assert told["systems"]["student"]["scores"]["agreement"] == told["agreement"]
        assert set(told["difference"]["student_minus_teacher"]) == {"accuracy"}
        assert set(told["difference"]["student_minus_baseline"]) == {"accuracy", "agreement", "negative_flips"}


class TestATeacherThatOnlyWrites:
    """It says nothing of tokens; the student does."""

    METRICS: ClassVar = plugins.build("tasks", {"kind": "generation", "learns": "written"}).metrics
    TEXTS: ClassVar = [f"text {row} {'long ' * (row % 5)}" for row in range(60)]

    def told(self, *, references: bool) -> dict[str, Any]:
        gold = objects.array([(text[:3], text[1:4]) if references else () for text in self.TEXTS])
        student = spoken(self.TEXTS)
        teacher = scored.unscored(objects.array([text[1:4] for text in self.TEXTS]), np.ones(60, np.bool_), kept=4)
        said = {"teacher": teacher, "student": student}
        rows = Table(
            ids=tuple(f"r{row}" for row in range(60)),
            domain=("films",) * 60,
            outside=np.zeros(60, np.bool_),
            aspects={"length": np.array([float(len(text)) for text in self.TEXTS])},
            said={name: Told.of(one, teacher, gold) for name, one in said.items()},
            columns={"half": tuple("ab"[row % 2] for row in range(60))},
        )
        quick = recipe.Evaluate(resamples=200, min_slice_rows=20)
        return comparison.compare(rows, metrics=self.METRICS, settings=quick, seed=1)

    def test_what_is_kept_is_what_is_written(self) -> None:
        told = self.told(references=True)
        assert next(iter(told["retention"])) == "chrf"
        assert told["retention"]["chrf"]["value"] == pytest.approx(1.0)
        halves = [one for one in told["slices"] if one["family"] == "half"]
        assert [one["retention"]["n"] for one in halves] == [30, 30]
        assert all(one["retention"]["value"] == pytest.approx(1.0) for one in halves)
        assert told["systems"]["student"]["scores"]["bits_per_byte"]["value"] > 0

    @pytest.mark.parametrize("references", [True, False])
    def test_what_nobody_said_is_not_measurable_and_says_why(self, references: bool) -> None:
        told = self.told(references=references)
        why = "the teacher does not say how probable tokens are"
        systems = told["systems"]
        unknown = [systems["teacher"]["scores"]["bits_per_byte"], systems["student"]["scores"]["kl_mean"],
                   systems["student"]["scores"]["perplexity"], told["retention"]["byte_probability"],
                   told["difference"]["student_minus_teacher"]["byte_probability"]]  # fmt: skip
        assert [(one["value"], one["n"], one["reason"]) for one in unknown] == [(None, 60, why)] * 5
        assert "kl_mean" not in systems["teacher"]["scores"]
        unnamed = "teacher and student name nothing that could be the same"
        for one in (told["agreement"], told["divergence"]["churn"], told["divergence"]["wrong_flips"],
                    told["forgotten"]["rate"], told["ceiling"]["student_student"]):  # fmt: skip
            assert (one["value"], one["reason"]) == (None, unnamed)
        assert ("chrf" in systems["student"]["scores"]) == references
        if not references:
            assert {one["reason"] for one in told["slices"]} == {why}
            assert told["worst_slice"]["retention"]["value"] is None


@given(seed=st.integers(0, 2**16), test=st.integers(2, 60), outside=st.integers(0, 20), noise=st.floats(0, 4))
@settings(max_examples=15, deadline=None)
def test_no_table_is_too_small_or_too_strange(seed: int, test: int, outside: int, noise: float) -> None:
    small = table(test=test, outside=outside, seed=seed, noise={**NOISE, "student": noise})
    quick = recipe.Evaluate(resamples=200, min_slice_rows=2)
    told = comparison.compare(small, metrics=METRICS, settings=quick, seed=seed)
    json.dumps(told, allow_nan=False)
    for one in intervals_in(told):
        assert (one["value"] is None) == (one["low"] is None) == (one["high"] is None)
        assert one["value"] is None or one["low"] <= one["high"]
