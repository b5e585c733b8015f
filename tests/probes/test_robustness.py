"""How much of its score each side keeps: what is planted is found, and what is counted by hand comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillroom.core import plugins
from stillroom.core.tagging import Span
from stillroom.probes import Probe
from stillroom.probes.robustness import Robustness
from stillroom.tasks.classification import Classification
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.token_labelling import TokenLabelling
from tests.probes import put, sitting

TASK = Classification(labels=("bad", "good"))
OPENINGS = ("The room was", "We found the staff", "All in all it was", "Breakfast was rather")
ROWS = [
    (f"{opening} {'wonderful' if good else 'terrible'} on day {day}", good)
    for day in range(20)
    for opening in OPENINGS
    for good in (0, 1)
]


def exact(text: str) -> list[float]:
    """Knows one word, letter by letter: whoever misspells it is told nothing."""
    return [0.0, 2.0] if "wonderful" in text else [1.0, 0.0]


def forgiving(text: str) -> list[float]:
    """Knows what is left of a word after a slip."""
    return [0.0, 2.0] if "o" in text.lower().split(" on day")[0][-8:] or "ful" in text.lower() else [1.0, 0.0]


def built(*kinds: Any) -> Probe:
    found: Probe = plugins.build("probes", {"kind": "robustness", "perturbations": list(kinds)})
    return found


def test_who_answers_alike_keeps_alike() -> None:
    found = put(plugins.build("probes", "robustness"), sitting(TASK, ROWS, teacher=exact, student=exact),
                teacher=exact, student=exact)  # fmt: skip
    for one in (found, found["worst_case"], *found["by"].values()):
        told = one["relative"]
        assert told["value"] is None or (told["value"], told["low"], told["high"]) == (1.0, 1.0, 1.0)
    assert found["relative"]["value"] == 1.0
    assert found["teacher"]["value"] < 1.0


def test_a_student_that_knows_words_by_their_letters_is_found_out() -> None:
    slips = built({"kind": "typos", "share": 1.0}, {"kind": "casing"})
    here = sitting(TASK, ROWS, teacher=forgiving, student=exact)
    found = put(slips, here, teacher=forgiving, student=exact)
    for one in (found["by"]["typos"], found, found["worst_case"]):
        assert one["relative"]["high"] < 1.0
    # "the", "room" … may be struck, but "wonderful" always is: half of the rows, those that are good, are lost.
    assert found["by"]["casing"]["student"]["value"] == 1.0  # all small: the word is as it was
    assert found["by"]["typos"]["student"]["value"] == pytest.approx(0.5, abs=0.05)


def test_by_hand() -> None:
    """Of four rows two are changed; of these one turns from right to wrong."""
    rows = [("plain", 0), ("gone wrong!", 0), ("kept right!", 0), ("bare", 1)] * 10
    said = {"plain": 0, "gone wrong!": 0, "gone wrong": 1, "kept right!": 0, "kept right": 0, "bare": 0}

    def system(text: str) -> list[float]:
        label = said.get(text, 0)
        return [1.0 - label, float(label)]

    found = put(built("punctuation"), sitting(TASK, rows, teacher=system, student=system), teacher=system,
                student=system)  # fmt: skip
    one = found["by"]["punctuation"]
    assert one["rows"] == 40  # where there is no sign, one is put in
    # Clean: 30 of 40 right; perturbed: "gone wrong" is lost.
    assert one["student"]["value"] == pytest.approx(20 / 30)
    assert found["worst_case"]["student"]["value"] == pytest.approx(20 / 30)


FRENCH = [(f"la chambre était {'belle' if good else 'sale'} et les voisins sont dans la rue {row}", good)
          for row in range(60) for good in (0, 1)]  # fmt: skip
POLISH = [(f"pokój był {'ładny' if good else 'brudny'} i ten hotel ma six okien, numer {row}", good)
          for row in range(60) for good in (0, 1)]  # fmt: skip
ENGLISH_ONLY = ("contractions", "filler", "number_words", "paraphrase")


@pytest.mark.parametrize("rows", [FRENCH, POLISH])
def test_english_words_are_put_to_no_other_language(rows: list[tuple[str, int]]) -> None:
    """Planted: a student that says `bad` of whatever has an English word in it would have seemed to fall."""

    english = {"Let", "Here", "Hello", "That", "well", "um", "like", "mean", "so"}

    def student(text: str) -> list[float]:
        return [2.0, 0.0] if english & set(text.split()) else [0.0, 1.0]

    here = sitting(TASK, rows, teacher=student, student=student, min_rows=50)
    found = put(built(*ENGLISH_ONLY, "casing"), here, teacher=student, student=student)
    for kind in ENGLISH_ONLY:
        one = found["by"][kind]
        assert (one["rows"], one["not_english"], one["student"]["value"]) == (0, 120, None)
        assert "it knows English, and 120 rows are not" in one["student"]["reason"]
    assert found["by"]["casing"]["student"]["value"] is not None
    assert found["by"]["casing"]["not_english"] == 0
    assert "120 rows are not English" in Robustness.exhibits(found)[0].note


def test_of_two_languages_the_english_rows_are_measured() -> None:
    rows = [*FRENCH, *((text.replace("Breakfast", "The breakfast"), good) for text, good in ROWS)]
    here = sitting(TASK, rows, teacher=exact, student=exact, min_rows=50)
    found = put(built("filler"), here, teacher=exact, student=exact)["by"]["filler"]
    assert (found["rows"], found["not_english"]) == (len(ROWS), len(FRENCH))
    assert found["student"]["value"] is not None


def test_frames_of_ones_own_are_put_to_any_language() -> None:
    own = {"kind": "paraphrase", "frames": ["Je vous écris : {text}"]}
    here = sitting(TASK, FRENCH, teacher=exact, student=exact, min_rows=50)
    assert put(built(own), here, teacher=exact, student=exact)["by"]["paraphrase"]["rows"] == len(FRENCH)


def test_few_rows_are_no_figure() -> None:
    here = sitting(TASK, ROWS[:20], teacher=exact, student=exact, min_rows=100)
    found = put(built("typos"), here, teacher=exact, student=exact)
    assert found["by"]["typos"]["student"]["value"] is None
    assert "100 are needed" in found["by"]["typos"]["student"]["reason"]
    assert found["student"]["value"] is None


def test_gold_moves_with_its_words_or_its_row_is_left_out() -> None:
    spans = TokenLabelling(labels=("place",))
    text = "We saw Oslo, then nothing."
    item = (Span(7, 11, "place"),)
    for kind in ("zero_width", "filler", "spacing", "accents", "paraphrase"):
        member: Any = plugins.build("perturbations", kind)
        for seed in range(20):
            edits = member.edits(text, rng=np.random.default_rng(seed))
            moved = spans.moved(item, edits)
            new = member(text, rng=np.random.default_rng(seed))
            assert moved is not None
            bare = "".join(one for one in new[moved[0].start : moved[0].end] if one.isalnum())
            assert bare.translate(str.maketrans("óíñáéúç", "oinaeuc")) == "Oslo"
    assert Proofreading().moved(("We saw Oslo.",), []) is None
