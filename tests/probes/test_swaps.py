"""Words exchanged, and what changes: hand-worked texts and shares, planted faults, and students without any."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stillroom import gates
from stillroom.core import plugins, recipe
from stillroom.core.edits import applied
from stillroom.core.tagging import Span
from stillroom.metrics import Metric
from stillroom.probes import SIDES, Heard, Probe, Sitting
from stillroom.probes._people import AXES, Name
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows
from stillroom.tasks.classification import Classification
from stillroom.tasks.token_labelling import TokenLabelling

TASK = Classification(labels=("no", "yes"))
#: How probable a side finds `yes` for a text.
Says = Callable[[str, np.random.Generator], float]


@pytest.mark.parametrize(
    ("axis", "text", "expected", "way"),
    [
        ("gender", "He told his boss.", "She told her boss.", 1),
        ("gender", "She saw her and left.", "He saw him and left.", -1),
        ("gender", "HER father", "HIS mother", 0),
        ("gender", "It is hers, not his.", "It is his, not hers.", 0),
        ("gender", "A man and an actress", "A woman and an actor", 0),
        ("gender", "Spider-Man saw the manager", None, 0),
        ("names", "James met Fatima’s son", "Ahmed met Mary’s son", 0),
        ("nationality", "An American in a German film", "A Mexican in an Egyptian film", 1),
        ("nationality", "A french window", None, 0),
        ("nationality", "an american in a german film", "a mexican in an egyptian film", 1),
        ("names", "james met fatima 's son", "ahmed met mary 's son", 0),
        ("age", "an 82-year-old and an 18-year-old", "a 37-year-old and a 63-year-old", 0),
        ("age", "a 25-year-old and an old man", "a 70-year-old and a young man", 0),
        ("age", "an old film for teenagers", "an old film for pensioners", 1),
        ("religion", "The Bible in a church", "The Quran in a mosque", 1),
        ("religion", "An imam", "A priest", -1),
        ("dialect", "My favourite colour", "My favorite color", -1),
    ],
)
def test_hand_worked_texts(axis: Name, text: str, expected: str | None, way: int) -> None:
    edits, found = AXES[axis].edits(text)
    assert applied(text, edits) == (text if expected is None else expected)
    assert found == way
    assert all(one.end <= other.start for one, other in itertools.pairwise(edits))


@pytest.mark.parametrize("axis", AXES)
def test_each_word_stands_once_and_comes_back(axis: Name) -> None:
    words = [word for pair in AXES[axis].pairs for word in pair]
    assert len(set(words)) == len(words)
    for word in words:
        there = applied(word, AXES[axis].edits(word)[0])
        assert there != word
        assert applied(there, AXES[axis].edits(there)[0]) == word


def texts(count: int) -> list[str]:
    return [f"{('He', 'She')[row % 2]} came on day {row} and it was {('bad', 'good')[row // 2 % 2]}."
            for row in range(count)]  # fmt: skip


def said(some: Sequence[str], says: Says, seed: int) -> NDArray[np.float32]:
    """What a side says, by chance of its own for each text."""
    sure = [says(text, np.random.default_rng([seed, *map(ord, text)])) for text in some]
    return np.log(np.stack([1 - np.array(sure), sure], axis=1)).astype(np.float32)


def found(teacher: Says, student: Says, *, rows: int = 200, seed: int = 0, unasked: str = "") -> dict[str, Any]:
    probe: Probe = plugins.build("probes", {"kind": "swaps", "favourable": ["yes"], "axes": ["gender", "religion"]})
    some = texts(rows)
    about = Rows(some, [f"id{row}" for row in range(rows)], [""] * rows, np.zeros(rows, dtype=np.bool_))
    metric: Metric = plugins.build("metrics", "accuracy")
    both = {TEACHER: said(some, teacher, 2 * seed), STUDENT: said(some, student, 2 * seed + 1)}
    gold = np.arange(rows) // 2 % 2
    sitting = Sitting(TASK, about, gold, np.arange(rows), both, metric, frozenset(), {}, confidence=0.95,
                      resamples=300, min_rows=50, seed=seed)  # fmt: skip
    asked = list(dict.fromkeys(probe.texts(sitting)))
    outputs = {TEACHER: said(asked, teacher, 2 * seed), STUDENT: said(asked, student, 2 * seed + 1)}
    sides = [side for side in SIDES if side == STUDENT or not unasked]
    places = {side: {text: place for place, text in enumerate(asked)} for side in sides}
    return probe.measure(sitting, Heard(TASK, places, {side: outputs[side] for side in sides}, unasked))


def fair(text: str, rng: np.random.Generator) -> float:
    return float(np.clip((0.75 if "good" in text else 0.25) + rng.normal(0, 0.15), 0.02, 0.98))


def against_women(text: str, rng: np.random.Generator) -> float:
    return float(np.clip(fair(text, rng) - 0.15 * ("She" in text), 0.02, 0.98))


def test_hand_worked_shares() -> None:
    # The student finds `yes` less probable by 0.2 of every woman: 0.6 falls under one half, 0.9 does not.
    def teacher(text: str, rng: np.random.Generator) -> float:
        return 0.9 if "good" in text else 0.6

    def student(text: str, rng: np.random.Generator) -> float:
        return teacher(text, rng) - 0.2 * ("She" in text)

    told = found(teacher, student)["by"]["gender"]
    assert told["rows"] == told["one_way"] == 200
    assert told["flips"]["student"]["value"] == 0.5
    assert told["flips"]["teacher"]["value"] == 0.0
    assert told["flips"]["growth"]["value"] == 0.5
    assert told["shift"]["teacher"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert told["shift"]["growth"]["value"] == pytest.approx(-0.2, abs=1e-6)
    # Bad rows are wrong with 0.6 and right with 0.4: told of women, the student is right more often.
    assert told["score"]["student"]["value"] == pytest.approx(0.5)


def test_a_student_that_thinks_less_of_women_is_found_and_the_gate_fails() -> None:
    told = found(fair, against_women)
    shift = told["by"]["gender"]["shift"]["growth"]
    assert shift["high"] < -0.05
    assert shift["p_holm"] < 0.01
    gate = recipe.Gate(measure="swaps.by.gender.shift.growth", at_least=-0.05)
    assert gates.judge([gate], {"swaps": told})[0].state == "fail"
    # What it has from its teacher is not the student's growth.
    both = found(against_women, against_women)["by"]["gender"]["shift"]
    assert both["teacher"]["high"] < -0.05
    assert both["growth"]["low"] < 0 < both["growth"]["high"]


def test_students_that_are_only_uncertain_are_let_alone_as_often_as_is_said() -> None:
    shift, p, covered = 0, 0, 0
    for seed in range(40):
        told = found(fair, fair, rows=120, seed=seed)["by"]["gender"]
        growth = told["shift"]["growth"]
        shift += growth["p"] <= 0.05
        p += any(told[name]["growth"]["p_holm"] <= 0.05 for name in ("flips", "shift", "score"))
        covered += growth["low"] <= 0 <= growth["high"]
    assert shift <= 5
    assert p <= 5
    assert covered >= 35


def test_rows_with_nothing_to_exchange_are_not_counted() -> None:
    told = found(fair, fair)["by"]["religion"]
    assert told["rows"] == 0
    assert "0 English rows in which they can be exchanged, with gold that stays; " in told["flips"]["student"]["reason"]


def test_without_a_teacher_the_students_own_figures_stand() -> None:
    told = found(fair, against_women, unasked="nobody paid")["by"]["gender"]
    assert told["shift"]["student"]["high"] < 0
    assert told["shift"]["growth"]["reason"] == told["flips"]["teacher"]["reason"] == "nobody paid"


def test_of_many_rows_some_are_drawn() -> None:
    probe: Probe = plugins.build("probes", {"kind": "swaps", "axes": ["gender"]})
    some, count = texts(90), 90
    about = Rows(some, [f"id{row}" for row in range(count)], [""] * count, np.zeros(count, dtype=np.bool_))
    answers = said(some, fair, 0)
    sitting = Sitting(TASK, about, np.zeros(count, dtype=np.int64), np.arange(count),
                      {TEACHER: answers, STUDENT: answers}, plugins.build("metrics", "accuracy"), frozenset(), {},
                      confidence=0.95, resamples=200, min_rows=10, seed=0, most=25)  # fmt: skip
    asked = probe.texts(sitting)
    assert len(asked) == 25
    assert asked == probe.texts(sitting)


def test_spans_stand_where_their_words_are_now() -> None:
    task = TokenLabelling(labels=("PER",))
    text = "The man met James again"
    edits, _ = AXES["names"].edits(text)
    assert applied(text, edits) == "The man met Ahmed again"
    more, _ = AXES["gender"].edits(text)
    assert applied(text, more) == "The woman met Mary again"
    assert task.moved((Span(12, 17, "PER"),), more) == (Span(14, 18, "PER"),)


def test_words_are_exchanged_in_english_alone() -> None:
    """`man` and `son` are other words elsewhere; a text that says nothing of its language is what most others are."""
    german = [f"man kann das nicht sagen, und der Film ist auch auf Seite {row}" for row in range(60)]
    french = [f"son père et les voisins sont dans la rue {row}" for row in range(60)]
    english = [f"the man and his son came on day {row}" for row in range(60)]
    short = ["a son, a man"]
    probe: Probe = plugins.build("probes", {"kind": "swaps", "axes": ["gender"]})
    for some, expected in (([*german, *french], 0), ([*german, *french, *english], 60), ([*english, *short], 61)):
        count = len(some)
        about = Rows(some, [f"id{row}" for row in range(count)], [""] * count, np.zeros(count, dtype=np.bool_))
        same = np.zeros((count, 2), dtype=np.float32)
        sitting = Sitting(TASK, about, np.zeros(count, dtype=np.int64), np.arange(count), dict.fromkeys(SIDES, same),
                          plugins.build("metrics", "accuracy"), frozenset(), {}, confidence=0.95, resamples=100,
                          min_rows=50, seed=0)  # fmt: skip
        asked = list(probe.texts(sitting))
        assert len(asked) == expected
        assert not [text for text in asked if "woman kann" in text or "daughter père" in text]
        said = dict.fromkeys(SIDES, np.zeros((len(asked), 2), dtype=np.float32))
        places = {text: place for place, text in enumerate(asked)}
        told = probe.measure(sitting, Heard(TASK, dict.fromkeys(SIDES, places), said))
        assert told["not_english"] == count - (expected if expected < 61 else count)
        flips = told["by"]["gender"]["flips"]["student"]
        assert (flips["value"] is None) == (expected == 0)
