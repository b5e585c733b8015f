"""Students that are broken on purpose make the right finding and the right gate fail; a sound one makes none.

A small language is written, in which sentences praise or blame, some under negation, from three sources and two groups
of speakers. Its teacher is as sure as it is right; students are fitted to what it says. Twenty seeds, each a corpus, a
teacher and a student of each sort.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression

from stillroom import aspects, comparison, gates, generalisation, table
from stillroom.core import plugins, recipe
from stillroom.gap import Side
from stillroom.tasks.classification import Classification

pytestmark = pytest.mark.slow
TASK = Classification(labels=("blame", "praise"))
SETTINGS = recipe.Evaluate(resamples=300, min_slice_rows=100)
SEEDS = range(20)
WORDS = {
    1: ["wonderful", "superb", "charming", "splendid", "delightful", "excellent", "lovely", "brilliant"],
    0: ["terrible", "awful", "dreadful", "horrible", "shabby", "wretched", "dismal", "hopeless"],
}
OPENINGS = ("the room was", "we found breakfast", "all in all it seemed", "their staff looked", "I call this place")
ENDINGS = ("", "today", "from the first day on", "for what we paid in the end", "as far as we could see there",
           "and that is what we told everybody who asked us about it afterwards")  # fmt: skip
SOURCES, GROUPS = ("letters", "phone", "web"), {"north": "aye", "south": "y'all"}
#: The odds of what each word says: how sure it makes a reader.
STRENGTHS = np.linspace(0.8, 3.0, 8)
NEGATION = aspects.listed("not never hardly")

#: What a student has to pass to be shipped.
GATES = tuple(
    recipe.Gate.model_validate(one)
    for one in (
        {"measure": "retention.accuracy", "at_least": 0.9},
        {"measure": "worst_slice.retention", "at_least": 0.82},
        {"measure": "student.scores.ece", "at_most": 0.09},
        {"measure": "generalisation.gap", "at_most": 0.08},
        {"measure": "negative_flips", "at_most": 0.08},
    )
)

Rows = Sequence[Mapping[str, str]]
Numbers = NDArray[np.float64]


class World:
    """A corpus, and a teacher that is right as often as it says."""

    sizes: ClassVar[Mapping[str, int]] = {"train": 1500, "dev": 500, "test": 1500}

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)
        drawn = {part: [self._row() for _ in range(size)] for part, size in self.sizes.items()}
        self.rows: dict[str, Rows] = {part: [row for row, _ in some] for part, some in drawn.items()}
        self.odds: dict[str, Numbers] = {part: np.array([odds for _, odds in some]) for part, some in drawn.items()}
        right = {part: self.rng.random(len(odds)) < 1 / (1 + np.exp(-odds)) for part, odds in self.odds.items()}
        self.gold = {part: one.astype(np.int64) for part, one in right.items()}

    def _row(self) -> tuple[dict[str, str], float]:
        """A text with its columns, and the logarithm of the odds that it praises."""
        draw, rng = (lambda some: some[int(self.rng.integers(len(some)))]), self.rng
        praises, denied = int(rng.integers(2)), rng.random() < 0.3
        group, source = draw(list(GROUPS)), draw(SOURCES)
        negated = draw(sorted(NEGATION)) if denied else ""
        said = int(rng.integers(len(WORDS[praises])))
        words = [f"{source}:", GROUPS[group], draw(OPENINGS), negated, WORDS[praises][said], draw(ENDINGS),
                 f"on day {rng.integers(900)}"]  # fmt: skip
        sign = 1 if praises != denied else -1
        return {"text": " ".join(filter(None, words)), "source": source, "group": group}, sign * STRENGTHS[said]

    @cached_property
    def table_of_gold(self) -> Mapping[str, Any]:
        """What does not depend on the student."""
        texts = [row["text"] for row in self.rows["test"]]
        members: list[Any] = [plugins.build("aspects", name) for name in ("length", "negation")]
        return {
            "ids": tuple(f"row{number:05d}" for number in range(len(texts))),
            "domain": ("",) * len(texts),
            "outside": np.zeros(len(texts), dtype=np.bool_),
            "aspects": aspects.measure(texts, members, familiar=aspects.Familiar([])),
            "columns": {name: tuple(row[name] for row in self.rows["test"]) for name in ("source", "group")},
        }

    def judged(self, said: Numbers, learned: Numbers) -> tuple[dict[str, Any], dict[str, str]]:
        """The summary, and what each gate says, of a student by its odds on test and on train rows."""
        outputs = {"teacher": logits(self.odds["test"]), "student": logits(said)}
        answers = {name: TASK.answered(self.gold["test"], one, outputs["teacher"]) for name, one in outputs.items()}
        told = comparison.compare(table.Table(**self.table_of_gold, said=answers), metrics=TASK.metrics,
                                  settings=SETTINGS, seed=self.seed)  # fmt: skip
        sides = [
            Side([f"{part}{number:05d}" for number in range(len(odds))], [row["text"] for row in self.rows[part]],
                 logits(self.odds[part]), logits(odds))
            for part, odds in (("train", learned), ("test", said))
        ]  # fmt: skip
        told["generalisation"] = generalisation.compare(*sides, task=TASK, confidence=SETTINGS.confidence)
        summary = {**told, **told.pop("systems")}
        return summary, {one.measure: one.state for one in gates.judge(GATES, summary)}


def logits(odds: Numbers) -> NDArray[np.float32]:
    return np.stack([-odds / 2, odds / 2], axis=1).astype(np.float32)


class Student:
    """Words, pairs of words, and each word with its source, weighed; fitted to how sure the teacher is."""

    def __init__(self, *, reads: Callable[[str], str] = str, strength: float = 1.0) -> None:
        self._reads, self._strength = reads, strength
        self._hash = FeatureHasher(1 << 14, input_type="string")

    def features(self, rows: Rows) -> csr_matrix:
        return self._hash.transform([list(self._parts(self._reads(row["text"]))) for row in rows])

    @staticmethod
    def _parts(text: str) -> list[str]:
        words = text.split()
        pairs = [" ".join(pair) for pair in itertools.pairwise(words)]
        return [*words, *pairs, *(f"{words[0]}{one}" for one in (*words, *pairs))]

    def fit(self, rows: Rows, odds: Numbers) -> Student:
        once = self.features(rows)
        sure = 1 / (1 + np.exp(-odds))
        twice = csr_matrix(np.concatenate([once.toarray(), once.toarray()])) if len(rows) < 5 else _stacked(once)
        labels = np.repeat([1, 0], len(rows))
        self._model = LogisticRegression(C=self._strength, max_iter=300)
        self._model.fit(twice, labels, sample_weight=np.concatenate([sure, 1 - sure]))
        return self

    def odds(self, rows: Rows) -> Numbers:
        return np.asarray(self._model.decision_function(self.features(rows)), dtype=np.float64)

    def unbiased(self, rows: Rows) -> Numbers:
        """Without what it says of every text."""
        return self.odds(rows) - float(self._model.intercept_[0])


def _stacked(once: csr_matrix) -> csr_matrix:
    from scipy.sparse import vstack

    return vstack([once, once])


Answer = tuple[Numbers, Numbers]


def both(student: Student, world: World) -> Answer:
    """What it says of test and of train rows, as sure as dev shows it to be right."""
    found = TASK.calibration(logits(student.odds(world.rows["dev"])), world.gold["dev"])
    warmth = 1.0 if found is None else found.value
    return student.odds(world.rows["test"]) / warmth, student.odds(world.rows["train"]) / warmth


def sound(world: World) -> Answer:
    return both(Student(strength=10.0).fit(world.rows["train"], world.odds["train"]), world)


def shuffled_source(world: World) -> Answer:
    """Of one source the teacher's words were written beside other texts."""
    odds = world.odds["train"].copy()
    there = np.array([row["source"] == "phone" for row in world.rows["train"]])
    odds[there] = world.rng.permutation(odds[there])
    return both(Student(strength=10.0).fit(world.rows["train"], odds), world)


def without_negation(world: World) -> Answer:
    """What is read has lost words that are on a list of stop words, and "not" is one of them."""

    def reads(text: str) -> str:
        return " ".join(word for word in text.split() if word not in NEGATION)

    return both(Student(reads=reads, strength=10.0).fit(world.rows["train"], world.odds["train"]), world)


def over_fitted(world: World) -> Answer:
    """It learned the days by heart: each text is known by what no other text has."""
    known = {row["text"]: odds for row, odds in zip(world.rows["train"], world.odds["train"].tolist(), strict=True)}
    weak = Student(strength=0.02).fit(world.rows["train"][:60], world.odds["train"][:60])
    test, train = both(weak, world)
    return test, np.array([known[row["text"]] for row in world.rows["train"]]) + 0 * train


def over_confident(world: World) -> Answer:
    test, train = sound(world)
    return 12 * test, 12 * train


def biased(world: World) -> Answer:
    """Whoever speaks like the south is taken to blame."""
    test, train = sound(world)
    leans = [np.array([4.0 * (row["group"] == "south") for row in world.rows[part]]) for part in ("test", "train")]
    return test - leans[0], train - leans[1]


def padded(world: World) -> Answer:
    """What words say is divided by the length of the longest text, and a prior is not: short texts say nothing."""
    student = Student(strength=10.0).fit(world.rows["train"], world.odds["train"])
    longest = max(len(row["text"].split()) for row in world.rows["train"])

    def says(rows: Rows) -> Numbers:
        lengths = np.array([len(row["text"].split()) for row in rows])
        return 2 * student.unbiased(rows) * (lengths / longest) ** 2 + 1.0

    return says(world.rows["test"]), says(world.rows["train"])


def swapped(world: World) -> Answer:
    """Its labels stand in the other order."""
    test, train = sound(world)
    return -test, -train


#: Each fault: the gates that have to fail, the family of the slice that has to be the worst, and its name's beginning.
FAULTS: tuple[tuple[Callable[[World], Answer], frozenset[str], str, str], ...] = (
    (shuffled_source, frozenset({"worst_slice.retention"}), "source", "phone"),
    (without_negation, frozenset({"worst_slice.retention"}), "negation", "1"),
    (over_fitted, frozenset({"generalisation.gap", "retention.accuracy"}), "", ""),
    (over_confident, frozenset({"student.scores.ece"}), "", ""),
    (biased, frozenset({"worst_slice.retention"}), "group", "south"),
    (padded, frozenset({"worst_slice.retention"}), "length", "1 of"),
    (swapped, frozenset({"retention.accuracy", "negative_flips"}), "", ""),
)


@pytest.fixture(scope="module")
def worlds() -> dict[int, World]:
    return {}


@pytest.fixture
def world(worlds: dict[int, World], seed: int) -> World:
    return worlds.setdefault(seed, World(seed))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0].__name__)
def test_a_fault_makes_its_gate_fail(
    world: World, fault: tuple[Callable[[World], Answer], frozenset[str], str, str]
) -> None:
    breaks, failing, family, name = fault
    told, states = world.judged(*breaks(world))
    assert {measure for measure, state in states.items() if state == "fail"} >= failing
    if family:
        there = [one for one in told["slices"] if one["family"] == family and one["retention"]["value"] is not None]
        worst = min(there, key=lambda one: one["retention"]["value"])
        assert worst["name"].startswith(name)
        assert worst["retention"]["high"] < told["retention"]["accuracy"]["value"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sound_student_fails_no_gate(world: World) -> None:
    _, states = world.judged(*sound(world))
    assert set(states.values()) == {"pass"}


def test_where_errors_fall_by_chance_none_is_found_more_often_than_the_level_says(worlds: dict[int, World]) -> None:
    """A student that says the opposite of its teacher of one text in twenty: no slice is harder than another."""
    found = 0
    for seed in SEEDS:
        world = worlds.setdefault(seed, World(seed))
        both_ = [np.where(world.rng.random(len(odds)) < 0.05, -1, 1) * odds
                 for odds in (world.odds["test"], world.odds["train"])]  # fmt: skip
        told, states = world.judged(*both_)
        assert "fail" not in states.values()
        found += told["discovered"]["confirmed"]["value"] > 0
    assert found <= 3  # of 20, one is expected at 5 %: more than three is once in a hundred
