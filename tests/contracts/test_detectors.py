"""What every detector promises, held over every member that is found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import plugins
from stillroom.detectors import Detector, Finding, Look
from tests.conftest import Travelled

NAMES = plugins.names("detectors")
ALPHABET = "ab19 .,@:/-+()AZ\n\u200b\u202eаео𝐢ａ\u0301é中ن\U000e0061\ufe0f"
#: What each needs that has settings without a default, and a text in which it finds something, with a word that tells.
NEEDS: dict[str, Callable[[Travelled], dict[str, Any]]] = {
    "injection": lambda travelled: {"bundle": str(travelled.run.folder), "labels": ["negative"], "threshold": 0.5},
}
FOUND = {
    "injection": "the film was dull today",
    "output": "look at https://zebra.example/",
    "personal": "write to zebra@example.org",
    "unicode": "ze\u200bbra",
}


@pytest.fixture(scope="module")
def looks(travelled: Travelled) -> dict[str, Look]:
    return {name: built(name, travelled).open() for name in NAMES}


def built(name: str, travelled: Travelled) -> Detector:
    settings = NEEDS[name](travelled) if name in NEEDS else {}
    found: Detector = plugins.build("detectors", {"kind": name, **settings})
    return found


def well_formed(finding: Finding, text: str) -> None:
    for one, other in itertools.pairwise(finding.places):
        assert one.end <= other.start
    for place in finding.places:
        assert 0 <= place.start < place.end <= len(text)
        assert place.name
        assert place.replacement != text[place.start : place.end]
    assert finding.score is None or 0 <= finding.score <= 1
    assert finding.found == bool(finding.places)


@pytest.mark.parametrize("name", NAMES)
def test_it_finds_something_where_there_is_something(name: str, looks: dict[str, Look]) -> None:
    finding = looks[name](FOUND[name])
    assert finding.kind == name
    assert finding.found
    assert finding.names == tuple(sorted({one.name for one in finding.places}))
    well_formed(finding, FOUND[name])
    assert looks[name](FOUND[name]) == finding


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_no_word_of_the_text(name: str, looks: dict[str, Look]) -> None:
    assert not any(word in repr(looks[name](FOUND[name])) for word in ("zebra", "film", "dull"))


@pytest.mark.parametrize("name", NAMES)
def test_its_settings_say_what_it_is(name: str, travelled: Travelled) -> None:
    member = built(name, travelled)
    assert type(member).__doc__
    assert plugins.build("detectors", member.model_dump(mode="json")) == member


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=60) | st.text(ALPHABET, max_size=80))
@settings(max_examples=80)
def test_places_are_in_order_inside_the_text(name: str, text: str, looks: dict[str, Look]) -> None:
    text = text.encode("utf-8", "ignore").decode()  # half a surrogate pair is refused at the door
    well_formed(looks[name](text), text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\t", "…", "\u0301", "x" * 50_000, "1-" * 25_000, "a@" * 25_000, "AA11" * 12_500, "12 Aaa " * 7_000,
     "https://" * 6_000, "a\u200b" * 25_000, "\U0001f3f4" + "\U000e0061" * 25_000, "1 A " * 12_000],
    ids=lambda text: repr(text[:8]),
)  # fmt: skip
def test_odd_and_long_texts_are_borne(name: str, text: str, looks: dict[str, Look]) -> None:
    well_formed(looks[name](text), text)
