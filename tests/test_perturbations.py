"""What each perturbation does to a text, by hand."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
import pytest

from stillroom.core import edits, plugins
from stillroom.core.errors import InputError


def changed(text: str, kind: str, *, seed: int = 0, **settings: Any) -> str:
    member: Any = plugins.build("perturbations", {"kind": kind, **settings})
    found: str = member(text, rng=np.random.default_rng(seed))
    return found


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("casing", "The Ship sails.", "the ship sails."),
        ("casing", "the ship", "THE SHIP"),
        ("punctuation", "Well, we sailed: at 7:30. Why?", "Well we sailed at 7:30 Why"),
        ("punctuation", "we sailed", "we sailed."),
        ("contractions", "I do not know. You can't. Cannot.", "I don't know. You cannot. Can't."),
        ("contractions", "It's been long; I’m late", "It's been long; I am late"),
        ("number_words", "two ships, 12 men, 1 dog, 3.5 km, 2024", "2 ships, twelve men, 1 dog, 3.5 km, 2024"),
        ("number_words", "Someone paid $3 at 7:30 for seven", "Someone paid $3 at 7:30 for 7"),
        ("accents", "naïve café", "naive cafe"),
    ],
)
def test_what_is_sure_is_done_everywhere(kind: str, text: str, expected: str) -> None:
    assert changed(text, kind) == expected


def test_slips_touch_one_letter_of_some_words() -> None:
    text = "passengers waited yesterday outside"
    assert len(changed(text, "dropped_letters")) == len(text) - 1
    assert len(changed(text, "doubled_letters")) == len(text) + 1
    assert sorted(changed(text, "swapped_letters")) == sorted(text)
    assert sum(a != b for a, b in zip(text, changed(text, "typos"), strict=True)) == 1
    many = changed(text, "dropped_letters", share=1.0)
    assert [len(one) for one in many.split()] == [len(one) - 1 for one in text.split()]


def test_what_looks_alike_is_another_script_and_what_is_unseen_can_be_taken_out() -> None:
    text = "a copy of access"
    alike = changed(text, "homoglyphs", share=1.0)
    assert len(alike) == len(text)
    assert {unicodedata.name(one).split()[0] for one in alike if not one.isascii()} == {"CYRILLIC"}
    unseen = changed(text, "zero_width", share=1.0)
    assert "".join(one for one in unseen if unicodedata.category(one) != "Cf") == text != unseen


def test_fillers_and_frames_keep_every_word() -> None:
    for seed in range(8):
        for kind in ("filler", "paraphrase"):
            text = "the ship sails home"
            words = changed(text, kind, seed=seed).lower().replace(",", "").split()
            rest = iter(words)
            assert all(word in rest for word in text.split())
            assert len(words) > 4


def test_a_frame_without_room_for_the_text_is_refused() -> None:
    with pytest.raises(InputError, match="words around"):
        changed("x", "paraphrase", frames=["no room"])


@pytest.mark.parametrize(
    ("span", "made", "expected"),
    [
        ("ship", [(0, 0, ">> ")], "ship"),
        ("ship", [(4, 4, "big ")], "ship"),
        ("ship", [(8, 8, "s")], "ship"),
        ("ship", [(5, 6, "")], "sip"),
        ("ship", [(5, 5, "-")], "s-hip"),
        ("ship", [(2, 6, "X")], "Xip"),
        ("ship", [(6, 10, "Y")], "shY"),
        ("ship", [(0, 4, ""), (4, 8, "boats"), (8, 14, "!")], "boats"),
        ("ship", [(4, 8, "")], ""),
    ],
)
def test_a_stretch_is_found_again(span: str, made: list[tuple[int, int, str]], expected: str) -> None:
    text = "the ship sails"
    start = text.index(span)
    some = [edits.Edit(*one) for one in made]
    first, last = edits.moved(start, start + len(span), some)
    assert edits.applied(text, some)[first:last] == expected
