"""The dictionary: what may be a word, and which word was meant."""

from __future__ import annotations

import importlib.util

import pytest

from stillroom.core import edits, spelling
from stillroom.core.errors import MissingExtra

WORDS = spelling.dictionary()


@pytest.mark.parametrize(
    "word",
    ["a", "i", "I", "don't", "can't", "he's", "I've", "James'", "well-known", "2nd", "3", "–", "colour", "Received"],
)
def test_these_are_words(word: str) -> None:
    assert word in WORDS


@pytest.mark.parametrize("word", ["recieved", "becuase", "enviroment", "dont'd", "qwrtz", "well-knwon"])
def test_these_are_none(word: str) -> None:
    assert word not in WORDS


@pytest.mark.parametrize(
    ("text", "wrong", "meant"),
    [
        ("they find siences", "siences", "sciences"),
        ("becuase of it", "becuase", "because"),
        ("it is thier house", "thier", "their"),
        ("I dont know", "dont", "don't"),
        ("we like it alot", "alot", "a lot"),
        ("Teh cat", "Teh", "the"),
        ("the book wich I read", "wich", "which"),
        ("qqxxzzqq is none", "qqxxzzqq", None),
    ],
)
def test_the_word_that_was_meant(text: str, wrong: str, meant: str | None) -> None:
    found = edits.chunks(text)
    at = next(place for place, one in enumerate(found) if one.text == wrong)
    assert WORDS.meant(found, at) == meant


def test_neighbours_decide_between_words_that_are_as_near() -> None:
    """`fro` may be `for`, `from` and more; what stands beside it tells."""
    texts = ("made fro the sea", "waiting fro you")
    found = [WORDS.meant(edits.chunks(text), 1) for text in texts]
    assert found[1] == "for"


def test_words_near_are_as_near_as_rapidfuzz_says() -> None:
    from rapidfuzz.distance import OSA

    near = dict(WORDS.near("peple"))
    assert near["people"] == 1
    assert all(OSA.distance("peple", one) == steps <= 2 for one, steps in near.items())
    assert all(steps == 1 for _, steps in WORDS.near("teh"))


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"stillroom\[proof\]"):
        spelling.dictionary.__wrapped__()
