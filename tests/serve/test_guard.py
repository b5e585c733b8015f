"""The chain of a route: what each action does, attacks on it, and that nothing of a text gets out."""

from __future__ import annotations

import traceback
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stillroom.core.errors import OutsideError
from stillroom.detectors import Detector, Finding, Look, Place
from stillroom.serve import guard
from stillroom.serve.guard import Guard, Rule
from tests.conftest import Travelled

MAIL = "ann@example.org"


def chain(*rules: Any) -> guard.Chain:
    return guard.open(Guard(input=rules).input)


def masking(*kinds: str) -> guard.Chain:
    return chain(*({"detector": one, "action": "mask"} for one in kinds))


class Failing(Detector):
    """A detector whose library quotes what it was given."""

    kind: Literal["failing"] = "failing"

    def open(self) -> Look:
        def look(text: str, *, asked: str = "") -> Finding:
            raise ValueError(f"could not read {text}")

        return look


class Fixed(Detector):
    """A detector that finds what it is told to."""

    kind: Literal["fixed"] = "fixed"
    places: tuple[tuple[int, int], ...]
    sign: str

    def open(self) -> Look:
        return lambda text, *, asked="": Finding(
            "fixed", tuple(Place(*one, self.sign, self.sign) for one in self.places if one[1] <= len(text))
        )


def test_to_flag_is_the_default_and_leaves_the_text_alone() -> None:
    text = f"Mail {MAIL}"
    seen = chain("personal").look(text)
    assert seen.text == text
    assert seen.refused is None
    assert [one.as_dict() for one in seen.flags] == [
        {"detector": "personal", "action": "flag", "names": ["e-mail"], "places": [[5, 20]]}
    ]
    assert Rule(detector="unicode").action == "flag"


def test_what_is_allowed_is_counted_and_told_to_nobody() -> None:
    seen = chain({"detector": "personal", "action": "allow"}).look(MAIL)
    assert seen.text == MAIL
    assert seen.flags == ()
    assert [one.names for one in seen.counted] == [("e-mail",)]


def test_what_is_masked_is_replaced_where_it_stood() -> None:
    seen = masking("personal").look(f"Mail {MAIL} or +44 20 7946 0958!")
    assert seen.text == "Mail [e-mail] or [phone]!"


def test_what_is_refused_is_not_used_and_the_reason_holds_no_word_of_it() -> None:
    rules = Guard(input=["unicode", {"detector": "personal", "action": "refuse"}]).input
    seen = guard.open([*rules, Rule(detector=Failing())]).look(f"Mail {MAIL}")  # whoever stands behind is not asked
    assert seen.text == ""
    assert seen.refused == "personal found e-mail"
    assert [one.action for one in seen.flags] == ["refuse"]


def test_nothing_is_found_in_a_plain_text() -> None:
    text = "What is the weather like in Porto?"
    assert chain("unicode", "personal").look(text) == guard.Seen(text)
    assert guard.open(()).look(text) == guard.Seen(text)


def test_an_answer_is_held_against_what_was_asked() -> None:
    answers = guard.open(Guard(output=["output"]).output)
    assert answers.look("See https://a.example/x", asked="What is at a.example?").flags == ()
    assert answers.look("See https://a.example/x", asked="Hello").flags[0].names == ("link",)


@pytest.mark.parametrize(
    "hidden", ["аnn@ex\u200bample.org", "ann@exаmple.org", "𝐚𝐧𝐧@example.org", "ann@exa\u00admple.org"]
)
def test_a_hidden_address_is_found_behind_unicode_and_masked_whole(hidden: str) -> None:
    text = f"Mail {hidden} now"
    seen = chain("unicode", {"detector": "personal", "action": "mask"}).look(text)
    assert seen.text == "Mail [e-mail] now"
    (place,) = seen.flags[-1].places
    assert text[slice(*place)] == hidden
    assert masking("unicode", "personal").look(text).text == "Mail [e-mail] now"


def test_a_hidden_word_is_read_as_the_student_reads_it(travelled: Travelled) -> None:
    student = {"kind": "injection", "bundle": str(travelled.run.folder), "labels": ["negative"], "threshold": 0.5}
    plain, hidden = "the film was dull today", "the film was duӏӏ today"
    scores = {
        text: chain({"detector": student | {"threshold": 1e-9}}).look(text).flags[0].score for text in (plain, hidden)
    }
    assert scores[plain] != scores[hidden]
    seen = chain("unicode", {"detector": student, "action": "refuse"}).look(hidden)
    assert seen.refused == "injection found injection"
    assert seen.flags[-1].score == scores[plain]
    assert seen.flags[-1].places == ((0, len(hidden)),)


@given(st.lists(st.sampled_from(["some words", MAIL, "é中𝔘", "\u200b", "203.0.113.9", "ann@exаmple.org"]), max_size=9))
def test_places_are_of_the_text_as_it_came(parts: list[str]) -> None:
    """Whatever is hidden before them, in code points."""
    text = " ".join(parts)
    seen = chain("unicode", {"detector": "personal", "action": "mask"}).look(text)
    personal = [one for one in parts if "@" in one or "203" in one]
    found = [text[start:end] for one in seen.flags if one.detector == "personal" for start, end in one.places]
    assert found == personal
    expected = ["[e-mail]" if "@" in one else "[ip]" if "203" in one else one for one in parts]
    assert seen.text == " ".join(expected)


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 6)), max_size=4),
    st.lists(st.tuples(st.integers(0, 19), st.integers(1, 6)), max_size=4),
)
def test_of_what_is_masked_nothing_is_left_and_all_else_stays(one: Any, other: Any) -> None:
    text = "abcdefghijklmnopqrst"
    places = [sorted((start, min(start + length, 20)) for start, length in some) for some in (one, other)]
    rules = [
        Rule(detector=Fixed(places=tuple(some), sign=sign), action="mask")
        for some, sign in zip(places, "XY", strict=True)
    ]
    gone = np.zeros(20, dtype=bool)
    for start, end in places[0] + places[1]:
        gone[start:end] = True
    masked = guard.open(rules).look(text).text
    assert masked.replace("X", "").replace("Y", "") == "".join(np.array(list(text))[~gone])
    assert ("X" in masked or "Y" in masked) == gone.any()


def test_a_detector_that_fails_is_named_and_nothing_of_the_text_is() -> None:
    text = "zebra4711"
    with pytest.raises(OutsideError) as failed:
        guard.open([Rule(detector=Failing())]).look(text)
    told = "".join(traceback.format_exception(failed.value))
    assert "`failing`" in told
    assert "ValueError" in told
    assert text not in told


def test_flags_and_reasons_hold_no_word_of_the_text(travelled: Travelled) -> None:
    student = {"kind": "injection", "bundle": str(travelled.run.folder), "labels": ["negative"], "threshold": 1e-9}
    text = "zebra@example.org d\u200bull https://zebra.example"
    seen = chain("unicode", "personal", "output", {"detector": student, "action": "refuse"}).look(text)
    assert len(seen.flags) == 4
    assert not any(word in repr(seen) for word in ("zebra", "ull", "example"))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (["personnal"], "Did you mean `personal`?"),
        ([{"detector": "personal", "action": "delete"}], "flag"),
        ([{"detector": {"kind": "injection", "threshold": 0.5}}], "Add `bundle`"),
        ([{"detector": {"kind": "personal", "finds": ["ip"]}}], "Did you mean `find`?"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(rules: list[Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told.replace("?", r"\?")):
        Guard(input=rules)


def test_settings_are_the_same_when_they_are_read_again() -> None:
    settings = Guard(
        input=["unicode", {"detector": {"kind": "personal", "find": ["ip"]}, "action": "mask"}], output=["output"]
    )
    assert Guard.model_validate(settings.model_dump(mode="json")) == settings
