"""What every perturbation promises, held over every member that is found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import edits, plugins
from stillroom.perturbations import Perturbation

NAMES = plugins.names("perturbations")
TEXT = "I do not think that the seven rooms in Malmö were clean, but my friends said it's fine. Would we return?"
ALPHABET = "abcdeilmnoprstuvw ABCS0157.,!?'’áß中\u0301\n"


def built(name: str) -> Perturbation:
    found: Perturbation = plugins.build("perturbations", name)
    return found


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("name", NAMES)
def test_it_changes_a_text_and_says_what_it_does(name: str) -> None:
    member = built(name)
    assert type(member).__doc__
    assert member.told
    assert member(TEXT, rng=rng()) != TEXT
    assert member(TEXT, rng=rng()) == member(TEXT, rng=rng())


@pytest.mark.parametrize("name", NAMES)
@given(text=st.text(max_size=60) | st.text(ALPHABET, max_size=80))
@settings(max_examples=60, deadline=None)
def test_its_edits_are_in_order_inside_the_text_and_change_something(name: str, text: str) -> None:
    found = list(built(name).edits(text, rng=rng()))
    assert found == sorted(found)
    for one, other in itertools.pairwise(found):
        assert one.end <= other.start
    for one in found:
        assert 0 <= one.start <= one.end <= len(text)
        assert text[one.start : one.end] != one.replacement
    if found:
        assert edits.applied(text, found) != text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " ", "\n\t", "…", "中文", "\u0301", "x" * 100_000])
def test_odd_texts_are_borne(name: str, text: str) -> None:
    assert isinstance(built(name)(text, rng=rng()), str)
