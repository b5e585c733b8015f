"""What was forgotten: the modal answer is the statisticians', and seeds alone make no find more often than stated."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from stillroom import comparison, forgotten, gates, slices
from stillroom.core import plugins, recipe
from stillroom.core.tagging import Tagged
from stillroom.fits import Fits, apart
from stillroom.metrics import Answers, Metric
from stillroom.table import Table

LABELS = ("a", "b", "c", "d")
SETTINGS = recipe.Evaluate(resamples=400, min_slice_rows=50)
ACCURACY: Metric = plugins.build("metrics", "accuracy")


def alike(people: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Who names the same as whom, from labels `[people, rows]`."""
    return np.asarray(people[:, None] == people[None])


def fits(students: NDArray[np.int64], teacher: NDArray[np.int64], gold: NDArray[np.int64]) -> Fits:
    """Students that are certain of a label a row, `[students, rows]`."""
    sure = np.eye(len(LABELS))
    said = [Answers(gold, sure[one], sure[teacher], labels=LABELS) for one in students]
    return Fits(said, alike(np.concatenate([students, teacher[None]])))


def scene(students: NDArray[np.int64], teacher: NDArray[np.int64], *, years: int = 6, sure: float = 0.97) -> Any:
    """A table of these rows, with the first student as the one that ships, and the fits."""
    rows = len(teacher)
    gold = teacher
    rest = (1 - sure) / (len(LABELS) - 1)
    its = np.where(np.eye(len(LABELS), dtype=bool)[teacher], sure, rest)
    own = np.eye(len(LABELS))[students[0]]
    table = Table(
        ids=tuple(f"r{row:05d}" for row in range(rows)),
        domain=("films",) * rows,
        outside=np.zeros(rows, dtype=np.bool_),
        aspects={},
        said={"teacher": Answers(gold, its, its, labels=LABELS), "student": Answers(gold, own, its, labels=LABELS)},
        columns={"year": tuple(str(2000 + row % years) for row in range(rows))},
    )
    return table, fits(students, teacher, gold)


def measure(table: Table, some: Fits | None, *, seed: int = 7) -> dict[str, Any]:
    cut = slices.cut(table)
    return forgotten.measure(table, cut, some, metric=ACCURACY, settings=SETTINGS, seed=seed)


def strays(rows: int, *, people: int, seed: int, often: float = 0.15) -> NDArray[np.int64]:
    """People who know the same, and each of whom errs by chance: nobody is anybody's teacher."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, len(LABELS), rows)
    hard = np.where(rng.random(rows) < 0.3, 2 * often, often / 2)
    errs = rng.random((people, rows)) < hard
    return np.where(errs, (known + rng.integers(1, len(LABELS), (people, rows))) % len(LABELS), known)


class TestTheModalAnswer:
    @given(st.integers(1, 7), st.integers(0, 10_000))
    @settings(max_examples=60)
    def test_is_that_of_scipy_where_one_leads(self, count: int, seed: int) -> None:
        people = np.random.default_rng(seed).integers(0, 3, (count + 1, 40))
        found = apart(alike(people), range(count), [count])
        votes = np.stack([(people[:-1] == label).sum(axis=0) for label in range(3)])
        leads = (votes == votes.max(axis=0)).sum(axis=0) == 1
        modal = stats.mode(people[:-1], axis=0).mode
        assert (found[leads] == (modal != people[-1])[leads]).all()
        ties = votes[people[-1], np.arange(40)] == votes.max(axis=0)
        assert (found[~leads] == ~ties[~leads]).all()

    def test_by_hand(self) -> None:
        """Two against one; a tie with the teacher on one side; a tie without; groups whose ties share an answer."""
        students = np.array([[0, 0, 1, 0], [0, 1, 2, 0], [1, 2, 3, 1], [1, 1, 3, 1]])
        teacher = np.array([[1, 0, 0, 1]])
        square = alike(np.concatenate([students, teacher]))
        assert apart(square, [0, 1, 2], [4]).tolist() == [True, False, True, True]
        assert apart(square, [0, 1, 2, 3], [4]).tolist() == [False, True, True, False]
        assert apart(square, [0, 1], [2, 3]).tolist() == [True, False, True, True]

    def test_of_any_order_of_people(self) -> None:
        people = strays(200, people=5, seed=1)
        one = apart(alike(people), [0, 1, 2, 3], [4])
        other = apart(alike(people[[3, 1, 0, 2, 4]]), [0, 1, 2, 3], [4])
        assert (one == other).all()
        assert (one == apart(alike(people), [4], [3, 2, 1, 0])).all()


class TestWhatIsTold:
    def test_a_student_that_is_its_teacher_forgot_nothing(self) -> None:
        teacher = strays(400, people=1, seed=2)[0]
        told = measure(*scene(np.stack([teacher] * 3), teacher))
        assert told["rate"]["value"] == told["null"]["value"] == told["excess"]["value"] == 0.0
        assert told["rate"]["high"] > 0  # what 400 rows could still hide
        assert told["top"] == []
        assert not any(one["more"] for one in told["slices"])
        assert told["sure"]["reason"] == "nothing was forgotten"
        assert told["spread"]["value"] == 0.0

    def test_shuffled_answers_in_a_slice_are_found_there_and_nowhere_else(self) -> None:
        people = strays(1500, people=4, seed=3, often=0.05)
        students, teacher = people[:3], people[3]
        planted = np.flatnonzero(np.arange(1500) % 6 == 4)
        wrong = np.random.default_rng(0).permuted(teacher[planted])
        students[:, planted] = wrong  # all three say the same nonsense: no noise of seeds
        told = measure(*scene(students, teacher))
        worse = [(one["family"], one["name"]) for one in told["slices"] if one["more"]]
        assert worse == [("year", "2004")]
        first = told["slices"][0]
        assert first["lift"]["low"] > 3
        assert first["rate"]["count"] == int((wrong != teacher[planted]).sum())
        assert told["excess"]["low"] > 0
        assert told["excess"]["value"] == pytest.approx(np.mean([
            apart(alike(people), [j for j in range(3) if j != i], [3]).mean()
            - apart(alike(people), [j for j in range(3) if j != i], [i]).mean() for i in range(3)
        ]), abs=1e-6)  # fmt: skip

    def test_the_most_forgotten_come_first_and_of_those_the_ones_the_teacher_was_sure_of(self) -> None:
        teacher = np.zeros(60, dtype=np.int64)
        students = np.zeros((3, 60), dtype=np.int64)
        students[:, :2] = 1
        students[:2, 2] = [2, 2]
        students[:1, 3] = 1  # one alone: not forgotten
        table, some = scene(students, teacher)
        its = np.array(table.said["teacher"].probabilities)  # type: ignore[attr-defined]  # labels have them
        its[0] = [0.4, 0.2, 0.2, 0.2]
        table.said["teacher"].__dict__["probabilities"] = its
        told = measure(table, some)
        assert [one["id"] for one in told["top"]] == ["r00001", "r00000", "r00002"]
        assert [one["sure"] for one in told["top"]] == [True, False, True]
        assert [one["strength"] for one in told["top"]] == [1.0, 1.0, pytest.approx(2 / 3)]
        assert told["top"][2] | {"teacher": "a", "students": "c"} == told["top"][2]
        assert told["rate"]["count"] == 3
        assert told["sure"]["value"] == pytest.approx(2 / 3)

    def test_one_seed_is_called_disagreement_and_says_what_it_can_not_tell(self) -> None:
        people = strays(300, people=2, seed=5)
        table, _ = scene(people[:1], people[1])
        told = measure(table, None)
        assert told["called"] == "disagreement"
        assert told["rate"]["count"] == int((people[0] != people[1]).sum())
        assert told["top"][0]["strength"] == 1.0
        for name in ("null", "excess", "spread"):
            assert told[name]["value"] is None
            assert told[name]["reason"] == "one seed; set train.seeds = 3"
        ceiling = forgotten.ceiling(table, None, settings=SETTINGS, seed=1)
        assert ceiling["student_student"]["reason"] == "one seed; set train.seeds = 3"
        assert ceiling["teacher_teacher"]["reason"].startswith("one teacher;")

    def test_of_several_teachers_most_count(self) -> None:
        """By hand: three students, three teachers, four rows."""
        people = np.array([
            [0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 2],  # students: 0, 1, 0, 1 are what most say
            [0, 0, 0, 3], [1, 0, 1, 3], [1, 1, 0, 3],  # teachers: 1, 0, 0, 3
        ])  # fmt: skip
        gold = people[3]
        said = [Answers(gold, np.eye(4)[one], np.eye(4)[gold], labels=LABELS) for one in people[:3]]
        some = Fits(said, alike(people))
        assert list(some.teachers) == [3, 4, 5]
        assert some.forgotten.tolist() == [True, True, False, True]
        assert some.strength == pytest.approx([5 / 9, 5 / 9, 3 / 9, 1.0])
        table, _ = scene(np.tile(people[:3], 60), np.tile(gold, 60))
        many = Fits([one.take(np.tile(np.arange(4), 60)) for one in said], np.tile(alike(people), 60))
        ceiling = forgotten.ceiling(table, many, settings=SETTINGS, seed=1)
        assert ceiling["teacher_teacher"]["value"] == pytest.approx(np.mean([1 / 3, 1 / 3, 1 / 3, 1.0]))
        assert forgotten.measure(table, [], many, metric=ACCURACY, settings=SETTINGS, seed=1)["teachers"] == 3

    def test_the_ceiling_is_the_mean_over_pairs(self) -> None:
        people = strays(500, people=5, seed=6)
        table, some = scene(people[:4], people[4])
        found = forgotten.ceiling(table, some, settings=SETTINGS, seed=1)["student_student"]
        pairs = [(people[i] == people[j]).mean() for i in range(4) for j in range(i)]
        assert found["value"] == pytest.approx(np.mean(pairs), abs=1e-6)
        assert found["low"] < found["value"] < found["high"]
        assert found["n"] == 500

    def test_is_json_with_an_interval_to_every_figure_and_is_what_gates_know(self) -> None:
        people = strays(400, people=4, seed=8)
        table, some = scene(people[:3], people[3])
        told = comparison.compare(table, metrics=("accuracy",), settings=SETTINGS, seed=7, fits=some)
        assert json.loads(json.dumps(told, allow_nan=False)) == told
        words = {one for one in gates.vocabulary(["accuracy"]) if one.startswith(("forgotten.", "ceiling."))}
        assert words <= set(gates.measures(told))
        for name in words - {"ceiling.teacher_teacher", "forgotten.learned"}:
            part, figure = name.split(".")
            assert told[part][figure]["low"] <= told[part][figure]["value"] <= told[part][figure]["high"]
            assert told[part][figure]["n"] > 0
        assert told["forgotten"]["spread"]["n"] == 3
        scores = [(one == people[3]).mean() for one in people[:3]]
        assert told["forgotten"]["spread"]["value"] == pytest.approx(np.std(scores, ddof=1), rel=1e-5)
        assert told["forgotten"]["spread"]["lowest"] == pytest.approx(min(scores), rel=1e-6)


class TestWhereThereIsNothingToFind:
    """Students and teacher are all alike: what one of them says is as good as what another does."""

    def test_seeds_alone_are_no_excess_more_often_than_stated(self) -> None:
        rng = np.random.default_rng(1)
        wrong = 0
        for seed in range(120):
            people = strays(300, people=5, seed=100 + seed)
            some = fits(people[:4], people[4], people[4])
            drawn = forgotten.Resamples(300, count=300, rng=rng)
            excess = forgotten._beyond(*some.left_out, drawn, 0.95)[1]
            wrong += excess.low is not None and excess.high is not None and not excess.low <= 0 <= excess.high
        assert wrong <= 14  # of 120 at 5 %: more than that in 3 of 1,000 times

    def test_a_naive_count_would_find_something(self) -> None:
        """What most students say otherwise than the teacher is far from zero: without the null it is a loss."""
        people = strays(2000, people=5, seed=9)
        told = measure(*scene(people[:4], people[4]))
        assert told["rate"]["low"] > 0.05
        assert told["excess"]["low"] < 0 < told["excess"]["high"]

    def test_no_slice_is_named_more_often_than_stated(self) -> None:
        wrong = 0
        for seed in range(40):
            people = strays(600, people=4, seed=300 + seed)
            table, some = scene(people[:3], people[3])
            year = [one for one in slices.cut(table) if one.family == "year"]
            test = SETTINGS.model_copy(update={"resamples": 200})
            found = forgotten._slices(table, year, some.forgotten, settings=test, seed=seed)
            wrong += any(one["more"] for one in found)
        assert wrong <= 6  # of 40 at 5 %


def test_tags_of_words_that_a_student_reads_otherwise_are_laid_on_its_own() -> None:
    """The teacher took two words for one; where it named tags alone, they travel too."""
    form = plugins.build("shapes", "tokens")
    read, own = ([[0, 4], [5, 14]], [[0, 4], [5, 8], [9, 14]])
    sure = 9 * np.eye(3, dtype=np.float32)
    counts = [np.array([len(one)], dtype=np.int64) for one in (read, own)]
    places = [np.array(one, dtype=np.int32) for one in (read, own)]
    student = Tagged(sure[[0, 1, 2]], places[1], counts[1])
    for values in (sure[[0, 1]], np.array([0, 1], dtype=np.int64)):
        teacher = Tagged(values, places[0], counts[0])
        with pytest.raises(TypeError, match="other words"):
            form.alike(student, teacher)
        assert form.alike(student, form.laid(teacher, student)) == pytest.approx([1.0])
    wrong = Tagged(sure[[0, 0, 0]], places[1], counts[1])
    assert form.alike(wrong, form.laid(teacher, wrong)) == pytest.approx([1 / 3])
