"""What every aspect promises, held over every member that is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom import aspects
from stillroom.aspects import Aspect, Familiar
from stillroom.core import plugins
from tests.conftest import TAGGER

NAMES = plugins.names("aspects")
SETTINGS = {"depth": {"pipeline": TAGGER}}
NOTHING = Familiar([])


def built(name: str) -> Aspect:
    found: Aspect = plugins.build("aspects", {"kind": name, **SETTINGS.get(name, {})})
    return found


def test_there_are_members_and_what_needs_no_setting_is_measured() -> None:
    assert {"length", "negation", "numbers", "hedges", "rare_words", "cross_sentence"} <= set(NAMES)
    assert {one.kind for one in plugins.free("aspects")} == set(NAMES) - set(SETTINGS)


@pytest.mark.parametrize("name", NAMES)
def test_people_can_read_what_it_is(name: str) -> None:
    assert type(built(name)).__doc__
    assert built(name).told


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SETTINGS)))
@given(texts=st.lists(st.text(max_size=40), max_size=6))
@settings(max_examples=40, deadline=None)
def test_a_text_has_its_number_whatever_stands_beside_it(name: str, texts: list[str]) -> None:
    member = built(name)
    together = aspects.measure(texts, [member], familiar=NOTHING)[name]
    assert together.shape == (len(texts),)
    assert (together >= 0).all()
    apart = [aspects.measure([text], [member], familiar=NOTHING)[name][0] for text in texts]
    assert together.tolist() == apart


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_whole_and_an_empty_text_has_none(name: str) -> None:
    texts = ["Nobody said that Mira may have left Oslo in 1999. But she did!", "", "…"]
    found = aspects.measure(texts, [built(name)], familiar=NOTHING)[name]
    assert found[1] == 0
    if built(name).counts:
        assert (found == np.round(found)).all()
