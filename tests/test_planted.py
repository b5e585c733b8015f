"""Students that are broken on purpose make the right finding and the right gate fail; a sound one makes none.

A small language is written, in which sentences praise or blame, some under negation, from three sources and two groups
of speakers, each signed by a name of its own. Its teacher is as sure as it is right; students are fitted to what it
says, and no student reads a name. Twenty seeds, each a corpus, a teacher and a student of each sort.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.feature_extraction import FeatureHasher
from sklearn.linear_model import LogisticRegression

from stillroom import aspects, comparison, contamination, corpus, gates, generalisation, table
from stillroom.core import plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Store, file_sha256
from stillroom.gap import Side
from stillroom.probes import Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows as About
from stillroom.tasks.classification import Classification
from stillroom.transfer_set import TransferSet

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
           "and that is what we told everybody afterwards")  # fmt: skip
SOURCES, GROUPS = ("letters", "phone", "web"), {"north": "aye", "south": "y'all"}
#: The odds of what each word says: how sure it makes a reader.
STRENGTHS = np.linspace(0.8, 3.0, 8)
NEGATION = aspects.listed("not never hardly")
#: So many rows of the test are learned from by the student that is.
LEAKED = 200
FITTED: Any = plugins.build("teachers", {"kind": "finetuned", "base": "any"})

#: What a student has to pass to be shipped.
GATES = tuple(
    recipe.Gate.model_validate(one)
    for one in (
        {"measure": "retention.accuracy", "at_least": 0.9},
        {"measure": "worst_slice.retention", "at_least": 0.82},
        {"measure": "student.scores.ece", "at_most": 0.09},
        {"measure": "generalisation.gap", "at_most": 0.08},
        {"measure": "negative_flips", "at_most": 0.08},
        {"measure": "groups.gap_growth", "at_most": 0.15},
        {"measure": "contamination.test_rows_shared", "at_most": 0},
    )
)

Rows = Sequence[Mapping[str, str]]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """The odds that a student gives of test rows and of rows that it learned from, and those of test that are such."""

    test: Numbers
    train: Numbers
    seen: int | None = 0
    """So many of the test's first rows it was fitted to; None: nobody looks."""


class World:
    """A corpus, and a teacher that is right as often as it says."""

    sizes: ClassVar[Mapping[str, int]] = {"train": 1500, "dev": 500, "test": 1500}

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed, self.folder, self.rng = seed, folder, seeds.generator(seed, "rows")
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
        name = "@" + "".join(rng.choice(list(string.ascii_lowercase), 30))
        words = [f"{source}:", GROUPS[group], draw(OPENINGS), negated, WORDS[praises][said], name, draw(ENDINGS),
                 f"on day {rng.integers(900)}"]  # fmt: skip
        sign = 1 if praises != denied else -1
        return {"text": " ".join(filter(None, words)), "source": source, "group": group}, sign * STRENGTHS[said]

    def chance(self, *path: str) -> np.random.Generator:
        """Chance for one purpose, whatever came before."""
        return seeds.generator(self.seed, "/".join(path))

    @cached_property
    def sound(self) -> Student:
        """The student that nothing was done to."""
        return Student().fit(self.rows["train"], self.odds["train"])

    @cached_property
    def table_of_gold(self) -> Mapping[str, Any]:
        """What does not depend on the student."""
        texts = [row["text"] for row in self.rows["test"]]
        members: list[Any] = [plugins.build("aspects", name) for name in ("length", "negation")]
        return {
            "ids": self.ids("test"),
            "domain": ("",) * len(texts),
            "outside": np.zeros(len(texts), dtype=np.bool_),
            "aspects": aspects.measure(texts, members, familiar=aspects.Familiar([])),
            "columns": {name: tuple(row[name] for row in self.rows["test"]) for name in ("source", "group")},
        }

    def ids(self, part: str) -> tuple[str, ...]:
        return tuple(f"{part}{number:05d}" for number in range(len(self.rows[part])))

    def judged(self, answer: Answer) -> tuple[dict[str, Any], dict[str, str]]:
        """The summary, and what each gate says, of a student."""
        outputs = {TEACHER: logits(self.odds["test"]), STUDENT: logits(answer.test)}
        answers = {name: TASK.answered(self.gold["test"], one, outputs[TEACHER]) for name, one in outputs.items()}
        aligned = table.Table(**self.table_of_gold, said=answers)
        told = comparison.compare(aligned, metrics=TASK.metrics, settings=SETTINGS, seed=self.seed)
        sides = [
            Side(self.ids(part), [row["text"] for row in self.rows[part]], logits(self.odds[part]), logits(odds))
            for part, odds in (("train", answer.train), ("test", answer.test))
        ]
        told["generalisation"] = generalisation.compare(*sides, task=TASK, confidence=SETTINGS.confidence)
        if answer.seen is not None:
            told["contamination"] = contamination.tell(self.searched(answer.seen), told, table=aligned,
                                                       settings=SETTINGS, seed=self.seed)  # fmt: skip
        told["groups"] = self.grouped(outputs)
        summary = {**told, **told.pop("systems")}
        return summary, {one.measure: one.state for one in gates.judge(GATES, summary)}

    def grouped(self, outputs: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
        """How the speakers fare with each side."""
        rows, count = self.table_of_gold, len(self.rows["test"])
        about = About([row["text"] for row in self.rows["test"]], rows["ids"], rows["domain"], rows["outside"])
        sitting = Sitting(TASK, about, self.gold["test"], np.arange(count), outputs,
                          plugins.build("metrics", "accuracy"), frozenset(), rows["columns"],
                          confidence=SETTINGS.confidence, resamples=SETTINGS.resamples,
                          min_rows=SETTINGS.min_slice_rows, seed=self.seed)  # fmt: skip
        probe: Probe = plugins.build("probes", {"kind": "groups", "columns": ["group"], "favourable": ["praise"]})
        return probe.measure(sitting, Heard(TASK, {}, {}))

    @cache  # noqa: B019 - a world is let go of with its seed, and this with it
    def searched(self, seen: int) -> Artifact:
        """The search for test rows among training rows, to which so many of the test's first were added."""
        parts = {part: (self.ids(part), [row["text"] for row in rows]) for part, rows in self.rows.items()}
        leaked = zip(parts["train"], (some[:seen] for some in parts["test"]), strict=True)
        parts["train"] = tuple([*own, *theirs] for own, theirs in leaked)
        splits: dict[str, corpus.Rows[Any]] = {}
        for part in ("train", "unlabelled", "dev", "test", "outside"):
            ids, texts = parts.get(part, ((), ()))
            path = self.folder / f"{part}-{seen}.parquet"
            pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())}), path)
            splits[part] = corpus.Rows(path, file_sha256(path), part, len(ids))
        store = Store(self.folder)
        said = store.obtain("transfer", settings={}, inputs={part: one.digest for part, one in splits.items()},
                            make=lambda draft: None)  # fmt: skip
        rows = corpus.Corpus(artifact=said, **splits)
        return contamination.search(corpus=rows, said=TransferSet(said), teacher=FITTED, task=TASK,
                                    settings=SETTINGS, store=store)  # fmt: skip


def logits(odds: Numbers) -> NDArray[np.float32]:
    return np.stack([-odds / 2, odds / 2], axis=1).astype(np.float32)


class Student:
    """Words, pairs of words, and each word with its source, weighed; fitted to how sure the teacher is."""

    def __init__(self, *, deaf_to: frozenset[str] = frozenset(), strength: float = 10.0) -> None:
        self._deaf_to, self._strength = deaf_to, strength

    def features(self, rows: Rows) -> csr_matrix:
        hashed = FeatureHasher(1 << 13, input_type="string")
        found: csr_matrix = hashed.transform([self._parts(row["text"]) for row in rows])
        return found

    def _parts(self, text: str) -> list[str]:
        words = [word for word in text.split() if word[0] != "@" and word not in self._deaf_to]
        once = [*words, *map(" ".join, itertools.pairwise(words))]
        return [*once, *(f"{words[0]}{one}" for one in once)]

    def fit(self, rows: Rows, odds: Numbers) -> Student:
        once = self.features(rows)
        sure = 1 / (1 + np.exp(-odds))
        self._model = LogisticRegression(C=self._strength, max_iter=300)
        self._model.fit(vstack([once, once]), np.repeat([1, 0], len(rows)),
                        sample_weight=np.concatenate([sure, 1 - sure]))  # fmt: skip
        return self

    def odds(self, rows: Rows) -> Numbers:
        return np.asarray(self._model.decision_function(self.features(rows)), dtype=np.float64)

    def unbiased(self, rows: Rows) -> Numbers:
        """Without what it says of every text."""
        return self.odds(rows) - float(self._model.intercept_[0])


def both(student: Student, world: World) -> Answer:
    """What it says of test and of train rows, as sure as dev shows it to be right."""
    found = TASK.calibration(logits(student.odds(world.rows["dev"])), world.gold["dev"])
    warmth = 1.0 if found is None else found.value
    return Answer(student.odds(world.rows["test"]) / warmth, student.odds(world.rows["train"]) / warmth)


def sound(world: World) -> Answer:
    return both(world.sound, world)


def shuffled_source(world: World) -> Answer:
    """Of one source the teacher's words were written beside other texts."""
    odds = world.odds["train"].copy()
    there = np.array([row["source"] == "phone" for row in world.rows["train"]])
    odds[there] = world.chance("shuffled").permutation(odds[there])
    return both(Student().fit(world.rows["train"], odds), world)


def without_negation(world: World) -> Answer:
    """What is read has lost words that are on a list of stop words, and "not" is one of them."""
    return both(Student(deaf_to=NEGATION).fit(world.rows["train"], world.odds["train"]), world)


def over_fitted(world: World) -> Answer:
    """It learned the names by heart: each text is known by what no other text has."""
    weak = Student(strength=0.02).fit(world.rows["train"][:60], world.odds["train"][:60])
    return Answer(both(weak, world).test, world.odds["train"])


def over_confident(world: World) -> Answer:
    told = sound(world)
    return Answer(12 * told.test, 12 * told.train)


def biased(world: World) -> Answer:
    """Whoever speaks like the south is taken to blame."""
    told = sound(world)
    leans = [np.array([4.0 * (row["group"] == "south") for row in world.rows[part]]) for part in ("test", "train")]
    return Answer(told.test - leans[0], told.train - leans[1])


def trained_on_test(world: World) -> Answer:
    """It was fitted to rows that it is judged on too: no score shows that."""
    rows = [*world.rows["train"], *world.rows["test"][:LEAKED]]
    odds = np.concatenate([world.odds["train"], world.odds["test"][:LEAKED]])
    told = both(Student().fit(rows, odds), world)
    return Answer(told.test, told.train, seen=LEAKED)


def padded(world: World) -> Answer:
    """What words say is divided by the length of the longest text, and a prior is not: short texts say nothing."""
    longest = max(len(row["text"].split()) for row in world.rows["train"])

    def says(rows: Rows) -> Numbers:
        lengths = np.array([len(row["text"].split()) for row in rows])
        return 2 * world.sound.unbiased(rows) * (lengths / longest) ** 3 + 1.0

    return Answer(says(world.rows["test"]), says(world.rows["train"]))


def swapped(world: World) -> Answer:
    """Its labels stand in the other order."""
    told = sound(world)
    return Answer(-told.test, -told.train)


Told = Mapping[str, Any]


def worst(told: Told, family: str, name: str) -> bool:
    """Whether the slice of this family that keeps least is one of this name, and all of its interval is below."""
    there = [one for one in told["slices"] if one["family"] == family and one["retention"]["value"] is not None]
    least = min(there, key=lambda one: one["retention"]["value"])
    kept: bool = least["retention"]["high"] < told["retention"]["accuracy"]["value"]
    return kept and str(least["name"]).startswith(name)


def south_is_selected_less(told: Told) -> bool:
    figures = {one["group"]: one["figures"] for one in told["groups"]["by"]["group"]["groups"]}
    growth = figures["south"]["selection_rate"]["growth"]
    return bool(growth["high"] < 0 and growth["p_holm"] <= 0.05 and worst(told, "group", "south"))


def leaked_rows_are_named(told: Told) -> bool:
    """Those and no others: by name as far as the list goes, and all of them by their count."""
    shared, flagged = told["contamination"]["test_rows_shared"]["value"], told["contamination"]["flagged"]
    first = {f"test{number:05d}" for number in range(LEAKED)}
    return shared == LEAKED and {(one["id"] in first, one["with"]) for one in flagged} == {(True, "train")}


def sure_without_reason(told: Told) -> bool:
    """It says that it is right more often than it is, and no metric of what it names knows."""
    return bool(told["difference"]["student_minus_teacher"]["ece"]["low"] > 0 and
                told["difference"]["student_minus_teacher"]["accuracy"]["high"] > -0.05)  # fmt: skip


def better_at_home(told: Told) -> bool:
    return bool(told["generalisation"]["gap"]["low"] > 0)


def below_chance(told: Told) -> bool:
    return bool(told["student"]["scores"]["accuracy"]["high"] < 0.5)


Fault = tuple[Callable[[World], Answer], frozenset[str], Callable[[Told], bool]]
#: Each fault: the gates that have to fail, and what has to be found.
FAULTS: tuple[Fault, ...] = (
    (shuffled_source, frozenset({"worst_slice.retention"}), lambda told: worst(told, "source", "phone")),
    (without_negation, frozenset({"worst_slice.retention"}), lambda told: worst(told, "negation", "1")),
    (over_fitted, frozenset({"generalisation.gap", "retention.accuracy"}), better_at_home),
    (over_confident, frozenset({"student.scores.ece"}), sure_without_reason),
    (biased, frozenset({"groups.gap_growth", "worst_slice.retention"}), south_is_selected_less),
    (trained_on_test, frozenset({"contamination.test_rows_shared"}), leaked_rows_are_named),
    (padded, frozenset({"worst_slice.retention"}), lambda told: worst(told, "length", "1 of")),
    (swapped, frozenset({"retention.accuracy", "negative_flips"}), below_chance),
)  # fmt: skip
#: What fails for one of these and for no other.
ALONE = {over_confident, trained_on_test}


@pytest.fixture(scope="module", params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    """One after the other, so that each is made once."""
    return World(request.param, tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault[0].__name__)
def test_a_fault_makes_its_gate_fail(world: World, fault: Fault) -> None:
    breaks, failing, is_found = fault
    told, states = world.judged(breaks(world))
    failed = {measure for measure, state in states.items() if state == "fail"}
    assert failed >= failing
    assert is_found(told)
    if breaks in ALONE:
        assert {measure for measure, state in states.items() if state != "pass"} == failing


def test_a_sound_student_fails_no_gate(world: World) -> None:
    told, states = world.judged(sound(world))
    assert set(states.values()) == {"pass"}
    assert told["contamination"]["test_rows_shared"] == {"value": 0, "n": 1500}


def test_where_errors_fall_by_chance_none_is_found_more_often_than_the_level_says(tmp_path: Path) -> None:
    """A student that says the opposite of its teacher of one text in twenty: no slice is harder than another."""
    found = {"discovered": 0, "p": 0, "interval": 0}
    for seed in SEEDS:
        world = World(seed, tmp_path)
        errs = [world.chance("errors", part).random(len(world.odds[part])) < 0.05 for part in ("test", "train")]
        told, states = world.judged(
            Answer(
                *(
                    np.where(wrong, -1, 1) * world.odds[part]
                    for wrong, part in zip(errs, ("test", "train"), strict=True)
                ),
                seen=None,
            )
        )
        assert "fail" not in states.values()
        growth = told["groups"]["gap_growth"]
        found["discovered"] += told["discovered"]["confirmed"]["value"] > 0
        found["p"] += growth["p_holm"] <= 0.05
        found["interval"] += growth["low"] > 0
    assert max(found.values()) <= 3  # of 20, one is expected at 5 %: more than three is once in a hundred
