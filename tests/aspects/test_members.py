"""Each aspect on texts that were counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stillroom import aspects
from stillroom.aspects import Familiar
from stillroom.aspects.depth import Depth
from stillroom.core import plugins
from tests.conftest import TAGGER

NOTHING = Familiar([])


def amount(name: str, text: str, familiar: Familiar = NOTHING) -> float:
    return float(aspects.measure([text], [plugins.build("aspects", name)], familiar=familiar)[name][0])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("negation", "I don’t know, and nobody never told", 3),
        ("negation", "A knot in nothingness", 0),
        ("numbers", "On 12/05/2020 he paid 3.50 for two", 3),
        ("numbers", "no one came", 0),
        ("hedges", "It may perhaps seem so", 3),
        ("hedges", "In May it was so", 1),
        ("cross_sentence", "Mira left. She took the boat. However, it sank. Oslo slept.", 2),
        ("cross_sentence", "She left.", 0),
        ("code_switching", "the ship and the crew", 0),
        ("code_switching", "the ship and the crew, y los perros pero más", 1),
        ("code_switching", "the ship and 我们 去", 1),
        ("code_switching", "и снова в море", 0),
        ("length", "four", 4),
    ],
)
def test_by_hand(name: str, text: str, expected: float) -> None:
    assert amount(name, text) == expected


def test_names_stand_inside_a_sentence_and_not_in_one_that_is_all_large() -> None:
    assert amount("entity_density", "Today Mira and I sailed to Oslo") == pytest.approx(2 / 7)
    assert amount("entity_density", "TODAY MIRA SAILED") == 0
    assert amount("entity_density", "today mira sailed") == 0


def test_rare_words_are_those_that_training_has_fewer_than_three_times() -> None:
    familiar = Familiar([["the ship sails", "The ship sails"], ["the SHIP sang"]])
    assert familiar.of(["the", "ship", "sails", "sang", "gone"]).tolist() == [3, 3, 2, 1, 0]
    assert amount("rare_words", "The ship sails, sails and sang", familiar) == 3


def test_grammar_is_as_deep_as_its_longest_way_down() -> None:
    member = Depth(pipeline=TAGGER)
    texts = ["Ships sail.", "The man who said that the ship that sank was old left.", ""]
    shallow, deep, none = aspects.measure(texts, [member], familiar=NOTHING)["depth"].tolist()
    assert (shallow, none) == (2, 0)
    assert deep >= 5
    assert set(member.sources()) == {"pipeline"}


def test_what_is_slow_is_told_of_evenly_spaced_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Depth, "most_rows", 3)
    found = aspects.measure(["Ships sail."] * 7, [Depth(pipeline=TAGGER)], familiar=NOTHING)["depth"]
    assert np.flatnonzero(~np.isnan(found)).tolist() == [0, 3, 6]
