"""How far apart two systems are, item by item, beside scipy and cases worked by hand."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from stillroom import divergence, intervals
from stillroom.core.probabilities import softmax
from stillroom.metrics import Answers


def answers(seed: int = 0, *, rows: int = 400, same: bool = False, named: bool = False) -> Answers:
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 4, rows)
    teacher, student = (softmax(rng.normal(size=(rows, 4)) + 2 * np.eye(4)[gold]) for _ in range(2))
    return Answers(gold, teacher if same else student, teacher, labels=("a", "b", "c", "d"), named=named)


def measure(said: Answers, *, teacher_named: bool = False) -> dict[str, dict[str, dict[str, float]]]:
    teacher = Answers(said.gold, said.teacher, said.teacher, labels=said.labels, named=teacher_named)
    rng = np.random.default_rng(1)
    return divergence.measure(said, teacher, resamples=300, confidence=0.95, rng=rng)


def test_figures_are_those_of_scipy() -> None:
    said = answers()
    told = measure(said)
    expected = {
        "forward_kl": stats.entropy(said.teacher, said.probabilities, axis=1),
        "reverse_kl": stats.entropy(said.probabilities, said.teacher, axis=1),
        "jensen_shannon": jensenshannon(said.teacher, said.probabilities, axis=1) ** 2,
    }
    for kind, rows in expected.items():
        assert told[kind]["mean"]["value"] == pytest.approx(rows.mean(), rel=1e-5)
        assert told[kind]["max"]["value"] == pytest.approx(rows.max(), rel=1e-5)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            if told[kind][name]["value"] is not None:
                ranked = np.quantile(rows, share, method="inverted_cdf")
                assert told[kind][name]["value"] == pytest.approx(ranked, rel=1e-5)


def test_a_student_that_is_its_teacher_is_nowhere_apart() -> None:
    told = measure(answers(same=True))
    for kind in divergence.KINDS:
        assert told[kind]["mean"]["value"] == told[kind]["max"]["value"] == 0
    assert told["churn"]["value"] == told["wrong_flips"]["value"] == 0


def test_flips_of_every_sort_add_up() -> None:
    """Rows that both name otherwise are lost, gained, or wrong in another way."""
    said = answers()
    lost = (said.teacher_right & ~said.right).mean()
    gained = (said.right & ~said.teacher_right).mean()
    told = measure(said)
    assert told["churn"]["value"] == pytest.approx(lost + gained + told["wrong_flips"]["value"], rel=1e-6)
    assert told["wrong_flips"]["value"] > 0


def test_jensen_shannon_is_bounded_and_a_sharp_wrong_student_is_far_and_finite() -> None:
    gold = np.zeros(200, dtype=np.int64)
    teacher, student = np.tile([1.0, 0.0], (200, 1)), np.tile([0.0, 1.0], (200, 1))
    told = measure(Answers(gold, student, teacher, labels=("a", "b")))
    assert told["jensen_shannon"]["max"]["value"] == pytest.approx(math.log(2), rel=1e-6)
    assert 20 < told["forward_kl"]["max"]["value"] < 30


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_of_labels_alone_only_flips_are_told(who: str) -> None:
    told = measure(answers(named=who == "student"), teacher_named=who == "teacher")
    assert told["forward_kl"]["p95"]["value"] is None
    assert "how probable" in str(told["forward_kl"]["p95"]["reason"])
    assert told["churn"]["value"] is not None


def test_every_path_that_gates_know_is_there() -> None:
    for told in (measure(answers()), divergence.nothing("no row")):
        for path in divergence.paths():
            part = {"divergence": told}
            for name in path.split("."):
                part = part[name]
            assert "value" in part


@given(share=st.sampled_from([0.5, 0.9, 0.95]), seed=st.integers(0, 2**20))
@settings(max_examples=40, deadline=None)
def test_a_quantile_lies_in_its_interval_and_few_rows_have_none(share: float, seed: int) -> None:
    values = np.random.default_rng(seed).exponential(size=200)
    found = intervals.quantile(values, share, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low <= found.value <= found.high
    assert intervals.quantile(values[:20], 0.99, 0.95).value is None


def test_the_interval_of_a_quantile_holds_as_often_as_it_says() -> None:
    true = stats.expon.ppf(0.9)
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(600):
        found = intervals.quantile(rng.exponential(size=150), 0.9, 0.95)
        held += found.low is not None and found.high is not None and found.low <= true <= found.high
    assert held / 600 >= 0.93  # 95 % or more, less two standard errors


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_so_many_more_rows_as_it_says_have_one_and_one_less_has_none(share: float, confidence: float) -> None:
    few = intervals.quantile(np.arange(3.0), share, confidence)
    assert few.value is None
    told = re.search(r"; (\d+) are needed: (\d+) more", few.reason)
    assert told is not None
    needed, more = map(int, told.groups())
    assert needed == 3 + more
    assert intervals.quantile(np.arange(float(needed)), share, confidence).value is not None
    assert intervals.quantile(np.arange(needed - 1.0), share, confidence).value is None
