"""Sentences are told by their signs, and those that come nearest to a target are picked."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.core import sentences


def pieces(text: str, unit: sentences.Unit = "sentences") -> list[str]:
    return [text[start:end] for start, end in sentences.spans(text, unit=unit)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One here. Two there!  Three?", ["One here.", "Two there!", "Three?"]),
        ("See Smith et al. (2019) for e.g. this. We do.", ["See Smith et al. (2019) for e.g. this.", "We do."]),
        ("Dr. J. Smith came. He left.", ["Dr. J. Smith came.", "He left."]),
        ("It is 3.5 m long. so it goes on. Then", ["It is 3.5 m long. so it goes on.", "Then"]),
        ('She said "no." He went.', ['She said "no."', "He went."]),
        ('He left. "Why?" she asked.', ["He left.", '"Why?" she asked.']),
        ("我来了。他走了。", ["我来了。", "他走了。"]),
        ("a line\n\n another one \r\nlast", ["a line", "another one", "last"]),
        ("", []),
        (" \n ", []),
        ("no end", ["no end"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_lines_are_not_parted() -> None:
    assert pieces("Ann: Yes. And no.\n Bob: Fine.", "lines") == ["Ann: Yes. And no.", "Bob: Fine."]


@given(text=st.text(alphabet=st.sampled_from("ab. A!\n?\"'。 e.g"), max_size=60))
def test_nothing_but_white_space_is_lost(text: str) -> None:
    found = sentences.spans(text)
    assert all(start < end for start, end in found)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    assert "".join("".join(pieces(text)).split()) == "".join(text.split())


def test_some_are_put_together_in_the_order_of_the_text() -> None:
    assert sentences.joined("One. Two. Three.", [2, 0]) == "One. Three."
    assert sentences.joined("a\nb\nc", [2, 1], unit="lines") == "b\nc"
    assert sentences.joined("", [0]) == ""


def test_what_is_nearest_to_a_target_is_picked_while_that_helps() -> None:
    told = [["the", "cat", "sat"], ["a", "dog", "ran", "far"], ["the", "dog", "sat", "there"]]
    assert sentences.picked(told, ["a", "dog", "ran", "far"], most=3) == [1]
    both = [*told[0], *told[1]]
    assert sentences.picked(told, both, most=3) == [1, 0], "the longer one says more"
    assert sentences.picked(told, both, most=1) == [1]
    assert sentences.picked(told, ["nothing", "of", "it"], most=2) == [0]
    assert sentences.picked([], ["any"], most=2) == []


def test_words_that_are_there_once_count_once() -> None:
    assert sentences.picked([["a", "a", "a"], ["a", "b"]], ["a", "b", "c"], most=1) == [1]


def test_a_long_space_makes_no_abbreviation_of_a_word() -> None:
    text = "This is final." + 9 * " " + "Then he left. Dr. Li (cf. Fig. 2) stayed."
    assert [text[start:end] for start, end in sentences.spans(text)] == [
        "This is final.",
        "Then he left.",
        "Dr. Li (cf. Fig. 2) stayed.",
    ]


@pytest.mark.parametrize(
    ("text", "most", "found", "cut"),
    [
        ("One two. Three four. Five.", 4, "One two. Three four.", False),
        ("One two. Three four. Five.", 3, "One two.", False),
        ("One two three.", 2, "One two", True),
        ("One two.\nThree.", 3, "One two.\nThree.", False),
        ("  One two.  ", 2, "  One two.  ", False),
        ("Dr. No came. He went.", 3, "Dr. No came.", False),
        ("今日は雨。明日は雪。", 4, "今日は雨。", False),
        ("今日は雨。", 3, "今日は", True),
        ("", 1, "", False),
    ],
)
def test_the_first_sentences_that_there_is_room_for(text: str, most: int, found: str, cut: bool) -> None:
    assert sentences.within(text, most) == (found, cut)


@given(text=st.text(alphabet=" ab.!\n中。\u00a0", max_size=60), most=st.integers(1, 12))
def test_no_more_words_than_are_wished_and_one_where_there_is_one(text: str, most: int) -> None:
    found, cut = sentences.within(text, most)
    assert text.startswith(found)
    assert sentences.words(found) <= most
    assert bool(sentences.words(found)) == bool(sentences.words(text))
    assert not cut or sentences.words(found) == most
    assert sentences.within(found, most)[0] == found
