"""Groups beside each other: hand-worked rates, other libraries' figures, planted faults, and healthy students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from stillroom import fitness, gates
from stillroom.core import plugins, recipe
from stillroom.metrics import Metric
from stillroom.probes import Heard, Probe, Sitting
from stillroom.probes.groups import _more
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows
from stillroom.tasks.classification import Classification
from stillroom.tasks.token_labelling import TokenLabelling
from tests.conftest import make_toy

TASK = Classification(labels=("no", "yes"))
Codes = NDArray[np.int64]


def logits(said: Codes, sure: Any = 0.8) -> NDArray[np.float32]:
    """Answers that name these labels, so sure of them."""
    chance = np.where(said == 1, sure, 1 - np.asarray(sure))
    return np.log(np.stack([1 - chance, chance], axis=1)).astype(np.float32)


def seated(
    gold: Codes,
    teacher: NDArray[np.float32],
    student: NDArray[np.float32],
    groups: Codes,
    *,
    named: frozenset[str] = frozenset(),
    min_rows: int = 50,
    resamples: int = 300,
) -> Sitting:
    count = len(gold)
    about = Rows([f"text {row}" for row in range(count)], [f"id{row}" for row in range(count)], [""] * count,
                 np.zeros(count, dtype=np.bool_))  # fmt: skip
    metric: Metric = plugins.build("metrics", "accuracy")
    columns = {"who": ["" if one < 0 else f"g{one}" for one in groups.tolist()]}
    return Sitting(TASK, about, gold, np.arange(count), {TEACHER: teacher, STUDENT: student}, metric, named, columns,
                   confidence=0.95, resamples=resamples, min_rows=min_rows, seed=0)  # fmt: skip


def found(sitting: Sitting) -> dict[str, Any]:
    probe: Probe = plugins.build("probes", {"kind": "groups", "columns": ["who"], "favourable": ["yes"]})
    return probe.measure(sitting, Heard(TASK, {}, {}))


def group(told: dict[str, Any], name: str) -> dict[str, Any]:
    return {one["group"]: one["figures"] for one in told["by"]["who"]["groups"]}[name]


def people(
    seed: int, *, rows: int = 1500, groups: int = 3, teacher: float = 0.9, student: float = 0.85, less: float = 0.0,
    both: float = 0.0, resamples: int = 300,
) -> Sitting:  # fmt: skip
    """A student that is right as often as this in every group; `less` of the first group it never selects.

    `both`: of how much of the first group neither side selects any.
    """
    rng = np.random.default_rng(seed)
    gold, who = rng.integers(0, 2, rows), rng.integers(0, groups, rows)
    unseen = (who == 0) & (rng.random(rows) < both)
    said = []
    for right, hurt in ((teacher, 0.0), (student, less)):
        named = np.where(rng.random(rows) < right, gold, 1 - gold)
        named[unseen | ((who == 0) & (rng.random(rows) < hurt))] = 0
        said.append(logits(named, rng.uniform(0.6, 0.99, rows)))
    return seated(gold, *said, who, resamples=resamples)


def test_hand_worked() -> None:
    # Ten rows a group, five of each gold. Teacher: all right. Student: in g0 it finds 2 of 5, and errs on 1 of 5.
    gold = np.array([1] * 5 + [0] * 5 + [1] * 5 + [0] * 5)
    student = np.array([1, 1, 0, 0, 0] + [1, 0, 0, 0, 0] + [1] * 5 + [0] * 5)
    told = found(seated(gold, logits(gold), logits(student), np.repeat([0, 1], 10), min_rows=5))
    first = group(told, "g0")
    assert {name: first[name]["student"]["value"] for name in ("selection_rate", "tpr", "fpr")} == {
        "selection_rate": 0.3, "tpr": 0.4, "fpr": 0.2,
    }  # fmt: skip
    assert first["overconfidence"]["student"]["value"] == pytest.approx(0.8 - 0.6, abs=1e-6)
    assert first["tpr"]["student_gap"]["value"] == pytest.approx(-0.6)
    assert first["tpr"]["teacher_gap"]["value"] == 0.0
    assert first["tpr"]["growth"]["value"] == pytest.approx(-0.6)
    assert first["fpr"]["growth"]["value"] == pytest.approx(0.2)
    # The same seen from the other group, with the other sign.
    assert group(told, "g1")["tpr"]["growth"]["value"] == pytest.approx(0.6)
    assert group(told, "g1")["tpr"]["growth"]["p"] == first["tpr"]["growth"]["p"]
    assert told["by"]["who"]["tpr"]["gap_growth"]["value"] == pytest.approx(0.6)


def test_rates_are_those_of_a_confusion_matrix() -> None:
    sitting = people(5, less=0.2)
    told = found(sitting)
    who = np.array(sitting.columns["who"])
    for side in (TEACHER, STUDENT):
        named = sitting.said[side].argmax(axis=1)
        for name in ("g0", "g1", "g2"):
            inside = who == name
            (tn, fp), (fn, tp) = confusion_matrix(sitting.gold[inside], named[inside])
            part = group(told, name)
            assert part["tpr"][side]["value"] == pytest.approx(tp / (tp + fn))
            assert part["fpr"][side]["value"] == pytest.approx(fp / (fp + tn))
            assert part["selection_rate"][side]["value"] == pytest.approx((tp + fp) / inside.sum())
            assert part["score"][side]["value"] == pytest.approx((tp + tn) / inside.sum())


def test_a_student_that_overlooks_a_group_is_found_and_the_gate_fails() -> None:
    told = found(people(1, less=0.4))
    grown = told["gap_growth"]
    assert grown["low"] > 0.05
    assert grown["p_holm"] < 0.05
    assert grown["group"] == "g0"
    assert grown["figure"] == "tpr"
    verdict = gates.judge([recipe.Gate(measure="groups.gap_growth", at_most=0.05)], {"groups": told})[0]
    assert verdict.state == "fail"
    # The sign says who: fewer of g0 are selected than of the rest.
    assert group(told, "g0")["tpr"]["growth"]["high"] < 0


def test_a_fault_in_one_group_is_not_hidden_by_the_teachers_own_in_another() -> None:
    rng = np.random.default_rng(3)
    gold, who = rng.integers(0, 2, 2000), rng.integers(0, 3, 2000)
    unseen = (who == 0) & (rng.random(2000) < 0.5)
    teacher = np.where(unseen, 0, gold)
    student = np.where((who == 1) & (rng.random(2000) < 0.3), 0, teacher)
    told = found(seated(gold, logits(teacher), logits(student), who))
    assert told["gap_growth"]["low"] > 0
    assert told["gap_growth"]["group"] in ("g1", "g2")


def alarms(seeds: int, **settings: Any) -> tuple[int, int]:
    """How often the interval of the growth is above zero, and how often p is at most 0.05, where nothing grew."""
    told = [found(people(seed, resamples=200, **settings))["gap_growth"] for seed in range(seeds)]
    return sum(one["low"] > 0 for one in told), sum(one["p_holm"] <= 0.05 for one in told)


def test_healthy_students_are_let_alone() -> None:
    interval, p = alarms(20, rows=600, teacher=0.95, student=0.75)
    assert interval <= 1
    assert p <= 3


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"teacher": 0.95, "student": 0.75}, {"both": 0.3}, {"groups": 2}])
def test_healthy_students_are_let_alone_as_often_as_is_said(settings: dict[str, Any]) -> None:
    interval, p = alarms(100, rows=900, **settings)
    assert interval <= 10
    assert p <= 10


def test_the_students_share_of_a_gap_that_both_have_is_no_growth() -> None:
    gold, who = np.arange(1200) % 2, np.arange(1200) % 3
    said = logits(np.where((who == 0) & (np.arange(1200) % 4 == 0), 0, gold))
    told = found(seated(gold, said, said, who))
    assert told["gap_growth"] | {"value": 0.0, "low": 0.0, "high": 0.0} == told["gap_growth"]


def test_a_gap_that_the_student_closes_is_shown_with_its_sign() -> None:
    rng = np.random.default_rng(4)
    gold, who = rng.integers(0, 2, 1500), rng.integers(0, 2, 1500)
    teacher = np.where((who == 0) & (rng.random(1500) < 0.5), 0, gold)
    told = found(seated(gold, logits(teacher), logits(gold), who))
    assert group(told, "g0")["tpr"]["growth"]["low"] > 0.3
    assert told["by"]["who"]["tpr"]["gap_growth"]["high"] < -0.3


def test_too_few_rows_say_how_many_more() -> None:
    gold = np.arange(130) % 2
    who = np.array([0] * 100 + [1] * 30)
    told = found(seated(gold, logits(gold), logits(gold), who, min_rows=40))
    assert group(told, "g1")["selection_rate"]["student"]["reason"] == ("30 rows; 40 are needed: 10 more of who “g1”")
    assert "whose gold is favourable" in group(told, "g1")["tpr"]["student"]["reason"]
    assert group(told, "g0")["selection_rate"]["student"]["value"] == 0.5
    assert "30 rows of all others" in group(told, "g0")["selection_rate"]["growth"]["reason"]
    assert told["gap_growth"]["value"] is None


def test_rows_without_a_group_are_in_none() -> None:
    gold = np.arange(300) % 2
    who = np.arange(300) % 3 - 1
    told = found(seated(gold, logits(gold), logits(gold), who))
    assert [one["rows"] for one in told["by"]["who"]["groups"]] == [100, 100]


def test_a_column_that_the_corpus_lacks_says_so() -> None:
    gold = np.arange(120) % 2
    probe: Probe = plugins.build("probes", {"kind": "groups", "columns": ["whom"]})
    told = probe.measure(seated(gold, logits(gold), logits(gold), gold), Heard(TASK, {}, {}))
    assert "no such column" in told["by"]["whom"]["tpr"]["gap_growth"]["reason"]
    assert [one.caption for one in probe.exhibits(told)] == ["Growth of the largest gap"]


def test_a_side_that_only_names_has_rates_and_no_calibration() -> None:
    gold = np.arange(300) % 2
    told = found(seated(gold, logits(gold), logits(gold), gold, named=frozenset({TEACHER})))
    assert group(told, "g0")["selection_rate"]["growth"]["value"] == 0.0
    assert "does not say how sure" in group(told, "g0")["overconfidence"]["student"]["reason"]


def test_spans_have_the_gap_of_their_score() -> None:
    task = TokenLabelling(labels=("PER",))
    probe: Probe = plugins.build("probes", {"kind": "groups", "columns": ["who"]})
    gold = task.golds([()] * 8)
    about = Rows(["a b"] * 8, [f"id{row}" for row in range(8)], [""] * 8, np.zeros(8, dtype=np.bool_))
    from stillroom.core.tagging import Tagged

    words = np.tile(np.array([[0, 1], [2, 3]], dtype=np.int32), (8, 1))
    said = Tagged(np.zeros(16, dtype=np.int64), words, np.full(8, 2))
    metric: Metric = plugins.build("metrics", "span_f1")
    sitting = Sitting(task, about, gold, np.arange(8), {TEACHER: said, STUDENT: said}, metric, frozenset({TEACHER}),
                      {"who": list("aaaabbbb")}, confidence=0.95, resamples=200, min_rows=4, seed=0)  # fmt: skip
    told = probe.measure(sitting, Heard(task, {}, {}))
    reason = {one["group"]: one["figures"] for one in told["by"]["who"]["groups"]}["a"]["tpr"]["student"]["reason"]
    assert reason == "it names more or less than one label a row"
    assert told["favourable"] == []


@pytest.mark.parametrize(("one", "other"), [(0.3, 0.1), (-0.3, 0.1), (0.1, -0.4), (-0.2, -0.2), (0.0, 0.5), (0.2, 0.0)])
def test_how_much_larger_in_size_from_sum_and_difference(one: float, other: float) -> None:
    assert _more(one + other, one - other) == pytest.approx(abs(one) - abs(other))


def test_an_unknown_label_is_told_before_anything_is_done() -> None:
    probe = {"kind": "groups", "columns": ["who"], "favourable": ["postive"]}
    built = recipe.parse({**make_toy(Path("toy.csv"), Path("encoder")), "audit": {"probes": [probe]}})
    problem = fitness.misfits(built)[0]
    assert problem.where == "audit.probes, `groups`, favourable"
    assert "positive" in problem.todo
