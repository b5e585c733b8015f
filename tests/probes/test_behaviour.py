"""What suites of cases find: known failures are counted, planted faults are seen, and bad files are told of."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from stillroom import fitness, pipeline
from stillroom.core import plugins, recipe
from stillroom.core.errors import MismatchError
from stillroom.core.tagging import Tagged
from stillroom.probes import Heard, Probe
from stillroom.probes.behaviour.cases import Direction, Invariance, Minimum
from stillroom.probes.behaviour.suites import Suite
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks.classification import Classification
from stillroom.tasks.token_labelling import TokenLabelling
from tests.probes import scenes

SHARED = Path(__file__).parents[3] / "shared" / "data" / "robustness"
CHECKLIST = SHARED / "checklist_sentiment" / "sentiment_suite.jsonl.gz"
GLUE = SHARED / "adversarial_glue_dev" / "dev.json"
here = pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data sets here")
TASK = scenes.TASK


def write(path: Path, cases: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(one) for one in cases) + "\n", encoding="utf-8")
    return path


def probe(*suites: Any, **settings: Any) -> Probe:
    tables = [str(one) if isinstance(one, Path) else one for one in suites]
    found: Probe = plugins.build("probes", {"kind": "behaviour", "suites": tables, **settings})
    return found


def case(
    kind: str, texts: list[str], *, test: str = "a test", capability: str = "Words", **more: Any
) -> dict[str, Any]:
    return {"test": test, "capability": capability, "type": kind, "texts": texts, **more}


def understands(text: str) -> float:
    """Reads negation."""
    good = ("good" in text) != ("not" in text.split())
    return 0.9 if good else 0.1


def skips_not(text: str) -> float:
    """Does not."""
    return 0.9 if "good" in text else 0.1


def negations(path: Path) -> Path:
    """Forty with a "not", and forty without."""
    nouns = [f"{what} {number}" for what in ("room", "crew") for number in range(10)]
    return write(
        path,
        [
            case("minimum", [f"the {noun} was {word}"], test="not", capability="Negation", labels=label)
            for noun in nouns for word, label in (("not good", "bad"), ("not poor", "good"))
        ] + [
            case("minimum", [f"the {noun} was {word}"], test="plain", capability="Vocabulary", labels=label)
            for noun in nouns for word, label in (("good", "good"), ("poor", "bad"))
        ],
    )  # fmt: skip


class TestFigures:
    def test_known_failures_are_counted(self, tmp_path: Path) -> None:
        """Of five cases the teacher fails one and the student three, two of which newly."""
        texts = [f"text {number}" for number in range(5)]
        suite = write(tmp_path / "s.jsonl", [case("minimum", [one], labels="good") for one in texts])
        wrong = {TEACHER: {"text 0"}, STUDENT: {"text 0", "text 1", "text 4"}}
        rules = {side: lambda text, own=own: 0.1 if text in own else 0.9 for side, own in wrong.items()}
        found = scenes.measured(probe(suite), rules)
        for name, hits in ((TEACHER, 1), (STUDENT, 3), ("newly_failing", 2)):
            exact = stats.binomtest(hits, 5).proportion_ci(0.95, method="exact")
            assert found[name]["value"] == pytest.approx(hits / 5)
            assert (found[name]["low"], found[name]["high"]) == pytest.approx((exact.low, exact.high), abs=1e-6)
            assert found[name]["n"] == 5
        assert found["mcnemar"]["p"] == pytest.approx(stats.binomtest(2, 2).pvalue)
        assert [one["case"] for one in found["listed"]] == ["line 2", "line 5"]
        assert found["by"]["words"]["tests"]["a_test"] == {
            name: one for name, one in found["by"]["words"].items() if name not in ("tests", "mcnemar")
        } | {"told": "a test", "mcnemar": found["mcnemar"]}

    def test_a_student_that_does_not_read_negation_fails_there_newly(self, tmp_path: Path) -> None:
        found = scenes.measured(probe(negations(tmp_path / "s.jsonl")), {TEACHER: understands, STUDENT: skips_not})
        negation, vocabulary = (found["by"][name] for name in ("negation", "vocabulary"))
        assert negation["newly_failing"]["value"] == 1.0
        assert negation["newly_failing"]["low"] > 0.9
        assert negation["mcnemar"]["p_bh"] < 1e-6
        assert vocabulary["newly_failing"]["value"] == 0.0
        assert vocabulary["mcnemar"]["p_bh"] == 1.0
        assert found["newly_failing"]["value"] == 0.5
        assert {one["capability"] for one in found["listed"]} == {"Negation"}

    def test_a_healthy_one_fails_nowhere(self, tmp_path: Path) -> None:
        found = scenes.measured(probe(negations(tmp_path / "s.jsonl")), {TEACHER: understands, STUDENT: understands})
        assert found["newly_failing"]["value"] == found["student"]["value"] == 0.0
        assert found["newly_failing"]["high"] < 0.05
        assert found["listed"] == []

    def test_what_the_teacher_fails_too_is_not_new(self, tmp_path: Path) -> None:
        found = scenes.measured(probe(negations(tmp_path / "s.jsonl")), {TEACHER: skips_not, STUDENT: skips_not})
        assert found["student"]["value"] == found["teacher"]["value"] == 0.5
        assert found["newly_failing"]["value"] == 0.0

    def test_without_a_teacher_the_student_is_measured_all_the_same(self, tmp_path: Path) -> None:
        found = scenes.measured(probe(negations(tmp_path / "s.jsonl")), {STUDENT: skips_not}, unasked="nobody paid")
        assert found["student"]["value"] == 0.5
        assert found["newly_failing"]["reason"] == found["teacher"]["reason"] == "nobody paid"
        assert found["listed"] == []

    def test_p_values_are_adjusted_over_capabilities(self, tmp_path: Path) -> None:
        """Of two capabilities one is lost: its p is doubled, for it is the smaller of two."""
        found = scenes.measured(probe(negations(tmp_path / "s.jsonl")), {TEACHER: understands, STUDENT: skips_not})
        told = found["by"]["negation"]["mcnemar"]
        assert told["p_bh"] == pytest.approx(min(1.0, 2 * told["p"]))

    def test_so_many_cases_of_each_test_are_drawn(self, tmp_path: Path) -> None:
        one = probe(negations(tmp_path / "s.jsonl"), cases=7)
        found = scenes.measured(one, {TEACHER: understands, STUDENT: skips_not})
        assert [found["by"][name]["cases"] for name in ("negation", "vocabulary")] == [7, 7]
        assert len(one.texts(scenes.sitting())) == 14

    def test_at_most_fifty_are_listed_and_every_test_among_them(self, tmp_path: Path) -> None:
        many = [case("minimum", [f"not good {n}"], test="many", labels="bad") for n in range(80)]
        few = [case("minimum", [f"hardly good {n}"], test="few", capability="Hedges", labels="bad") for n in range(3)]
        suite = write(tmp_path / "s.jsonl", many + few)
        found = scenes.measured(probe(suite), {TEACHER: lambda _: 0.1, STUDENT: skips_not})
        assert len(found["listed"]) == 50
        assert sum(one["test"] == "few" for one in found["listed"]) == 3

    def test_the_text_at_fault_is_shown_beside_the_first(self, tmp_path: Path) -> None:
        suite = write(tmp_path / "s.jsonl", [case("invariance", ["Mira is good", "Tarn is good", "Lund is fine"])])
        found = scenes.measured(probe(suite), {TEACHER: lambda _: 0.9, STUDENT: skips_not})
        assert found["listed"][0]["texts"] == ["Mira is good", "Lund is fine"]


class TestExpectations:
    def test_one_of_several_labels_is_enough(self) -> None:
        task = Classification(labels=("negative", "neutral", "positive"))
        said = np.eye(3, dtype=np.float32) * 5
        assert Minimum(((1, 2),) * 3).failing(task, said, named=False) == [0]
        assert Minimum(((0,), (1,), (2,))).failing(task, said, named=False) == []

    @pytest.mark.parametrize(("other", "fails"), [(0.45, []), (0.39, [1]), (0.05, [1]), (0.99, [])])
    def test_another_label_within_the_tolerance_is_let_pass(self, other: float, fails: list[int]) -> None:
        """From 0.5001; as sure of the same label as may be is no change."""
        said = scenes.logits(["one", "other"], {"one": 0.5001, "other": other}.__getitem__)
        assert Invariance(0.1).failing(TASK, said, named=False) == fails

    @pytest.mark.parametrize(
        ("rises", "other", "fails"),
        [(True, 0.75, []), (True, 0.65, [1]), (True, 0.99, []), (False, 0.85, []), (False, 0.95, [1])],
    )
    def test_a_probability_may_go_one_way(self, rises: bool, other: float, fails: list[int]) -> None:
        said = scenes.logits(["one", "other"], {"one": 0.8, "other": other}.__getitem__)
        expected = Direction(1, rises=rises, tolerance=0.1, unless=frozenset())
        assert expected.failing(TASK, said, named=False) == fails

    def test_of_no_label_it_is_the_first_ones(self) -> None:
        """Named for the first text is `bad`, at 0.8; of the second it has 0.5."""
        said = scenes.logits(["one", "other"], {"one": 0.2, "other": 0.5}.__getitem__)
        assert Direction(None, rises=True, tolerance=0.1, unless=frozenset()).failing(TASK, said, named=False) == [1]
        assert Direction(None, rises=False, tolerance=0.1, unless=frozenset()).failing(TASK, said, named=False) == []

    def test_there_may_be_nothing_to_expect(self) -> None:
        said = scenes.logits(["one", "other"], {"one": 0.2, "other": 0.5}.__getitem__)
        assert (
            Direction(None, rises=True, tolerance=0.1, unless=frozenset({0})).failing(TASK, said, named=False) is None
        )

    def test_who_only_names_labels_has_no_direction(self) -> None:
        said = np.array([[0.0, -1e4], [-1e4, 0.0]], dtype=np.float32)
        assert Direction(1, rises=True, tolerance=0.1, unless=frozenset()).failing(TASK, said, named=True) is None
        assert Invariance(0.1).failing(TASK, said, named=True) == [1]

    def test_a_teacher_that_only_names_labels_is_held_to_the_rest(self, tmp_path: Path) -> None:
        cases = [
            case("direction", ["good", "so good"], test="more", sense="at_least"),
            case("minimum", ["good"], labels="good"),
        ]
        suite = write(tmp_path / "s.jsonl", cases)
        found = scenes.measured(probe(suite), {TEACHER: skips_not, STUDENT: skips_not}, named=[TEACHER])
        assert (found["teacher"]["n"], found["student"]["n"], found["newly_failing"]["n"]) == (1, 2, 1)
        more = found["by"]["words"]["tests"]["more"]
        assert more["teacher"]["value"] is None
        assert more["student"]["value"] == 0.0

    def test_spans_keep_their_labels_where_names_are_exchanged(self, tmp_path: Path) -> None:
        """Of two names the student finds the second only; other words are no change, a lost span is one."""
        task = TokenLabelling(labels=("person",))
        texts = ["Mira left", "Maria Lund left", "Tarn left"]
        suite = write(tmp_path / "s.jsonl", [case("invariance", texts)])
        words = [[(0, 4), (5, 9)], [(0, 5), (6, 10), (11, 15)], [(0, 4), (5, 9)]]
        counts = np.array([2, 3, 2])
        tags = {TEACHER: [1, 0, 1, 2, 0, 1, 0], STUDENT: [1, 0, 1, 2, 0, 0, 0]}
        places = {text: place for place, text in enumerate(texts)}
        outputs = {
            side: Tagged(np.eye(3, dtype=np.float32)[some] * 9,
                         np.array([one for text in words for one in text], dtype=np.int32), counts)
            for side, some in tags.items()
        }  # fmt: skip
        one, about = probe(suite), scenes.sitting(task=task)
        assert not one.misfits(task, where="here")
        assert list(one.texts(about)) == texts
        found = one.measure(about, Heard(task, dict.fromkeys(outputs, places), outputs))
        assert (found["teacher"]["value"], found["student"]["value"], found["newly_failing"]["value"]) == (
            0.0,
            1.0,
            1.0,
        )

    def test_spans_are_a_minimum_too(self, tmp_path: Path) -> None:
        task = TokenLabelling(labels=("person",))
        span = {"start": 0, "end": 4, "label": "person"}
        suite = write(tmp_path / "s.jsonl", [case("minimum", ["Mira left"], labels=[[span]])])
        assert not probe(suite).misfits(task, where="here")
        found = Suite(file=str(suite)).read(task).cases[0].expected
        for tags, fails in (([1, 0], []), ([0, 0], [0])):
            said = Tagged(np.eye(3, dtype=np.float32)[tags], np.array([[0, 4], [5, 9]], dtype=np.int32), np.array([2]))
            assert found.failing(task, said, named=False) == fails


class TestLabels:
    CASES = (
        case("minimum", ["a"], labels=2),
        case("minimum", ["b"], labels=1),
        case("minimum", ["c"], labels={"any_of": [1, 2]}),
        case("direction", ["d", "e"], label=1, sense="at_least", test="way"),
    )

    def test_a_task_without_a_label_leaves_its_cases_out_and_counts_them(self, tmp_path: Path) -> None:
        suite = {"file": str(write(tmp_path / "s.jsonl", list(self.CASES))), "labels": {"1": "", "2": "good"}}
        found = scenes.measured(probe(suite), {TEACHER: lambda _: 0.9, STUDENT: lambda _: 0.9})
        assert (found["cases"], found["left_out"]) == (2, 2)
        assert found["student"]["value"] == 0.0
        way = found["by"]["words"]["tests"]["way"]
        assert (way["cases"], way["left_out"], way["student"]["value"]) == (0, 1, None)
        assert "labels that the task does not have" in way["student"]["reason"]

    def test_a_label_that_nobody_explains_is_told_once(self, tmp_path: Path) -> None:
        suite = write(tmp_path / "s.jsonl", list(self.CASES))
        told = [str(one) for one in probe(suite).misfits(TASK, where="here")]
        assert len(told) == 2
        assert all("Say under `labels`" in one for one in told)

    def test_a_wrong_name_for_a_label_is_told_with_the_nearest(self, tmp_path: Path) -> None:
        suite = {"file": str(write(tmp_path / "s.jsonl", [self.CASES[0]])), "labels": {"2": "godo"}}
        assert any("Did you mean `good`?" in one.todo for one in probe(suite).misfits(TASK, where="here"))


class TestBadFiles:
    def test_every_problem_is_told_at_once(self, tmp_path: Path) -> None:
        lines = [
            "no json",
            '["a list"]',
            json.dumps(case("minimum", ["a"], labels="nice")),
            json.dumps(case("minimum", ["a"])),
            json.dumps(case("invariance", ["a"])),
            json.dumps(case("direction", ["a", "b"])),
            json.dumps(case("minimum", ["a", "b"], labels=["good"])),
            json.dumps(case("minimum", ["a"], labels="good", sense="at_least")),
            json.dumps(case("minimum", [" "], labels="good")),
            json.dumps(case("minimum", ["\ud800"], labels="good")),
            json.dumps(case("minimum", ["a"], labels="good", expect=1)),
            json.dumps(case("minimal", ["a"], labels="good")),
            json.dumps(case("minimum", ["a"], labels="good", test="?!")),
            json.dumps(case("invariance", ["a", "b"], tolerance=3)),
        ]
        path = tmp_path / "s.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        told = [str(one) for one in probe(path).misfits(TASK, where="here")]
        assert [any(f"line {number}" in one for one in told) for number in range(1, 15)] == [True] * 14
        assert len(told) == 14

    def test_no_more_than_twenty_are_listed(self, tmp_path: Path) -> None:
        path = tmp_path / "s.jsonl"
        path.write_text("no json\n" * 50, encoding="utf-8")
        told = probe(path).misfits(TASK, where="here")
        assert len(told) == 21
        assert told[-1].found == "30 more problems like these"

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (None, "no such file"),
            (b"", "no case"),
            (b"\x1f\x8b\x08broken", "can't be read"),
            (b"\xff\xfe{", "can't be read"),
        ],
    )
    def test_a_file_that_is_none(self, tmp_path: Path, data: bytes | None, said: str) -> None:
        path = tmp_path / "s.jsonl"
        if data is not None:
            path.write_bytes(data)
        assert [said in one.found for one in probe(path).misfits(TASK, where="here")] == [True]

    def test_it_may_be_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "s.jsonl.gz"
        path.write_bytes(gzip.compress(json.dumps(case("minimum", ["a"], labels="good")).encode()))
        assert not probe(path).misfits(TASK, where="here")
        assert probe(path).texts(scenes.sitting()) == ["a"]

    def test_it_is_told_before_anything_dear_begins(self, tmp_path: Path, toy: dict[str, Any]) -> None:
        """And a gate on a figure of a suite that can't be read is not told of beside it."""
        suites = [str(tmp_path / "none.jsonl")]
        toy["audit"] = {"probes": [{"kind": "behaviour", "suites": suites}]}
        toy["gate"] = [{"measure": "behaviour.by.negation.newly_failing", "at_most": 0.1}]
        with pytest.raises(MismatchError) as error:
            fitness.check(recipe.parse(toy))
        assert [one.found for one in error.value.problems] == ["no such file"]

    def test_a_gate_may_name_a_capability(self, tmp_path: Path, toy: dict[str, Any]) -> None:
        suite = write(tmp_path / "s.jsonl", [case("minimum", ["a"], labels="positive", capability="Q & A")])
        toy["audit"] = {"probes": [{"kind": "behaviour", "suites": [str(suite)]}]}
        toy["gate"] = [{"measure": "behaviour.by.q_a.newly_failing", "at_most": 0.1}]
        fitness.check(recipe.parse(toy))
        toy["gate"][0]["measure"] = "behaviour.by.negation.newly_failing"
        with pytest.raises(MismatchError):
            fitness.check(recipe.parse(toy))

    def test_a_task_whose_answers_are_no_labels_is_told(self) -> None:
        task = plugins.build("tasks", {"kind": "text_to_text"})
        suite = Path(__file__).parent / "suite.jsonl"
        assert "no labels" in probe(suite).misfits(task, where="here")[0].found
        assert probe(suite).texts(scenes.sitting(task=task)) == []


def test_the_cases_in_the_docs_can_be_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "families" / "probes.md").read_text(encoding="utf-8")
    path = tmp_path / "s.jsonl"
    path.write_text("".join(re.findall(r"```jsonl\n(.*?)```", page, flags=re.S)), encoding="utf-8")
    found = Suite(file=str(path)).read(Classification(labels=("negative", "positive")))
    assert not found.problems
    assert [type(one.expected) for one in found.cases] == [Minimum, Invariance, Direction]


@pytest.mark.slow
@here
def test_a_real_student_of_a_real_teacher_is_put_to_checklist(toy: dict[str, Any], tmp_path: Path) -> None:
    """Tiny ones, that know ten words: the suite is asked through the journey, and a gate judges what was found."""
    suite = {"file": str(CHECKLIST), "form": "checklist_sentiment", "labels": {"neutral": ""}}
    toy["audit"] = {"probes": [{"kind": "behaviour", "cases": 20, "suites": [suite]}]}
    toy["gate"] = [{"measure": "behaviour.by.negation.newly_failing", "at_most": 0.99}]
    toy["student"]["epochs"] = 2
    built = recipe.parse(toy)
    run = pipeline.run(built, work=tmp_path / "work")
    found = run.summary["behaviour"]
    assert set(found["by"]) == {"vocabulary", "robustness", "ner", "temporal", "fairness", "negation", "srl"}
    assert found["teacher"]["n"] == found["student"]["n"] == found["cases"] > 400
    assert 0.0 < found["newly_failing"]["value"] < found["student"]["value"] < 1.0
    assert found["by"]["negation"]["tests"]["simple_negations_not_neutral_is_still_neutral"]["cases"] == 0
    assert [one["state"] for one in run.summary["gates"]] == ["pass"]
    report = (run.folder / "dossier" / "report.html").read_text(encoding="utf-8")
    assert "student fails, teacher does not" in report
    again = pipeline.run(built, work=tmp_path / "work")
    assert again.stages["audit"]["reused"]


@here
class TestSuitesOfOthers:
    def test_checklist_is_read_as_it_describes_itself(self) -> None:
        """As many cases as it has; those with neutral gold are left out where the task has no such label."""
        about = json.loads((CHECKLIST.parent / "PROVENANCE.json").read_text(encoding="utf-8"))
        for labels, called in ((("negative", "neutral", "positive"), {}), (("negative", "positive"), {"neutral": ""})):
            suite = Suite(file=str(CHECKLIST), form="checklist_sentiment", labels=called)
            found = suite.read(Classification(labels=labels))
            assert not found.problems
            assert len(found.cases) + found.left_out.total() == about["files"][0]["rows"]
            assert {test for _, test in found.tests} == {one["test"] for one in about["tests"]}
            kinds = {
                one["test"]: {"MFT": Minimum, "INV": Invariance, "DIR": Direction}[one["type"]]
                for one in about["tests"]
            }
            assert all(isinstance(one.expected, kinds[one.test]) for one in found.cases)
            assert (found.left_out.total() > 0) == ("neutral" in called)
            left = {test for _, test in found.left_out}
            assert all("neutral" in one or one == "Q & A: no" for one in left)

    def test_who_knows_words_and_no_negation_passes_the_words_and_fails_the_negations(self) -> None:
        suite = Suite(file=str(CHECKLIST), form="checklist_sentiment", labels={"neutral": ""})
        task = Classification(labels=("negative", "positive"))
        polar = {"good": 0.9, "great": 0.9, "awful": 0.1, "bad": 0.1}

        def knows(text: str) -> float:
            return next((one for word, one in polar.items() if word in text.lower().strip(".").split()), 0.5)

        fails: dict[str, list[bool]] = {}
        for one in suite.read(task).cases:
            if all(knows(text) != 0.5 for text in one.texts):
                found = one.expected.failing(task, scenes.logits(one.texts, knows), named=False)
                fails.setdefault(one.test, []).append(bool(found))
        assert fails["single positive words"] == [False, False]
        assert fails["single negative words"] == [False, False]
        assert len(fails["simple negations: negative"]) > 10
        assert all(fails["simple negations: negative"])
        assert all(fails["simple negations: not negative"])
        assert not any(fails["intensifiers"])

    def test_adversarial_glue_is_read(self) -> None:
        found = Suite(file=str(GLUE), form="adversarial_glue").read(Classification(labels=("negative", "positive")))
        assert not found.problems
        assert len(found.cases) == 148
        assert found.cases[-1].expected == Minimum(((0,),))
        assert found.cases[-1].texts[0].startswith("I can't say")

    def test_the_wrong_form_is_told(self) -> None:
        task = Classification(labels=("negative", "positive"))
        for file, form in ((GLUE, "checklist_sentiment"), (CHECKLIST, "adversarial_glue"), (CHECKLIST, "cases")):
            assert Suite(file=str(file), form=form).read(task).problems
