"""Which texts are English: told by their words of grammar, and never guessed where nothing says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.core import languages

ENGLISH = ["The film was better than we thought.", "I'm sure that they don't know", "it works with any phone"]
OTHERS = [
    "Der Film war besser, als wir dachten, und das ist gut.", "Le film était meilleur et nous sommes dans la rue.",
    "La película es mejor, pero también más larga", "O filme não era muito bom", "Il film era bello e anche lungo",
    "De film is niet zo goed en wij gaan nog naar huis", "Фильм был лучше, чем мы думали", "映画は良かった",
    "Film był lepszy niż myśleliśmy", "Film beklediğimizden daha iyiydi",
]  # fmt: skip


def test_sentences_of_english_and_of_others() -> None:
    assert languages.english(ENGLISH).all()
    assert not languages.english(OTHERS).any()
    assert languages.english([*ENGLISH, *OTHERS[:7]]).tolist() == [True] * 3 + [False] * 7


@pytest.mark.parametrize(("others", "expected"), [(ENGLISH, True), (OTHERS, False), ([], False)])
def test_who_says_nothing_is_what_the_others_are(others: list[str], expected: bool) -> None:
    assert bool(languages.english(["great movie", *others])[0]) is expected


def test_letters_that_are_not_latin_are_not_english_whatever_stands_between() -> None:
    assert not languages.english(["Фильм the best и очень хороший", *ENGLISH])[0]


@given(st.lists(st.text(max_size=40), max_size=6))
def test_any_texts_are_borne(texts: list[str]) -> None:
    assert len(languages.english(texts)) == len(texts)
