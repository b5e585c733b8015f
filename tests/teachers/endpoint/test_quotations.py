"""Where quotations stand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.teachers.endpoint import quotations

SOURCE = "Mira saw Oslo and Mira"


def laid(quoted: Sequence[str], source: str) -> list[quotations.Place]:
    return quotations.laid([(text, 0) for text in quoted], source)


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        (["Mira", "Oslo"], [(0, 4, ""), (9, 13, "")]),  # the first Mira, for Oslo comes after her
        (["Oslo", "Mira"], [(9, 13, ""), (18, 22, "")]),  # and here the second
        (["Mira"], [(0, 4, "ambiguous")]),
        (["Mira", "Mira"], [(0, 4, ""), (18, 22, "")]),
        (["Oslo", "saw"], [(9, 13, ""), (5, 8, "")]),
        (["Oslo", "saw", "Mira"], [(9, 13, ""), (5, 8, ""), (18, 22, "ambiguous")]),
        (["Mira", "Oslo", "Mira", "saw"], [(0, 4, ""), (9, 13, ""), (18, 22, ""), (5, 8, "")]),
        (["Mira", "Mira", "Mira"], [(0, 4, ""), (18, 22, ""), (0, 0, "repeated")]),
        (["Oslo", "Oslo", "Mira"], [(9, 13, ""), (0, 0, "repeated"), (18, 22, "")]),
        (["Mira saw", "Oslo"], [(0, 8, ""), (9, 13, "")]),
        (["Mira saw", "saw Oslo"], [(0, 8, ""), (0, 0, "overlapping")]),
        (["mira", "Oslo"], [(0, 0, "misquoted"), (9, 13, "")]),
        ([" "], [(0, 0, "misquoted")]),
        ([""], [(0, 0, "misquoted")]),
        ([], []),
    ],
)
def test_each_has_its_place_to_the_letter(quoted: list[str], expected: list[tuple[int, int, str]]) -> None:
    assert [(one.start, one.end, one.why) for one in laid(quoted, SOURCE)] == expected


def test_the_same_with_another_label_is_no_repetition() -> None:
    both = quotations.laid([("Oslo", 0), ("Oslo", 1)], SOURCE)
    assert [one.why for one in both] == ["", "overlapping"]


@pytest.mark.parametrize(
    ("quoted", "source", "start", "doubtful"),
    [
        ("art", "the start of art", 13, False),
        ("US", "USA and the US", 12, False),
        ("art", "a start", 4, False),  # no whole word: then where it is
        ("art", "start and cart", 2, True),
        ("東京", "私は東京に住む", 2, False),
        ("$5", "it is $5,5 or $5", 6, True),
        ("e.g.", "e.g. this", 0, False),
    ],
)
def test_whole_words_come_first(quoted: str, source: str, start: int, doubtful: bool) -> None:
    (found,) = laid([quoted], source)
    assert found.start == start
    assert (found.why == "ambiguous") == doubtful


@settings(max_examples=80)
@given(st.lists(st.sampled_from(["a", "b", "a b", "bb", "ab", "c", ""]), max_size=6), st.text("ab ", max_size=24))
def test_it_quotes_what_stands_there_and_nothing_twice(quoted: list[str], source: str) -> None:
    found = laid(quoted, source)
    there = [one for one in found if one.end]
    assert len(found) == len(quoted)
    assert all(source[one.start : one.end] == text for one, text in zip(found, quoted, strict=True) if one.end)
    assert all(
        (text in source and bool(text.strip())) != (one.why == "misquoted")
        for one, text in zip(found, quoted, strict=True)
    )
    taken = [at for one in there for at in range(one.start, one.end)]
    assert len(taken) == len(set(taken))


@settings(max_examples=80)
@given(st.data())
def test_what_is_quoted_in_order_and_whole_is_certain(data: st.DataObject) -> None:
    """Every word that stands there, as often as it does, in order: nobody can be in doubt."""
    words = data.draw(st.lists(st.sampled_from(["red", "green", "a", "sea"]), min_size=1, max_size=9))
    found = laid(words, " ".join(words))
    assert {one.why for one in found} == {""}
    assert [one.start for one in found] == sorted(one.start for one in found)
