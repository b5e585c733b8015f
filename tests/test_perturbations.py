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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I want to see the sea.", {"I would like to see the sea."}),
        ("Well, I'd like to sail", {"Well, I want to sail", "Well, I would like to sail"}),
        ("i want to sail", {"i would like to sail"}),
        ("Can you tell me if it left?", {"Could you let me know if it left?"}),
        ("Hello, could you please check?", {"Hello, can you please check?"}),
        ("How do I reset it?", {"How can I reset it?", "What is the way to reset it?"}),
        ("how can i pay", {"how do i pay", "what is the way to pay"}),
        ("What is the way to pay?", {"How do I pay?", "How can I pay?"}),
        ("Is it possible to pay?", {"Is there a way to pay?", "Is there any way to pay?"}),
        ("There is no key.", {"There isn't any key.", "There is not any key."}),
        ("there aren’t any ships", {"there are no ships", "there are not any ships"}),
        ("Why am I unable to pay? It's late.", {"Why am I not able to pay? It's late."}),
        ("They still believe that it sails", {"They still think that it sails"}),
        ("Thanks for all. Maybe.", {"Thank you for all. Perhaps."}),
        ("wet because of rain", {"wet due to rain", "wet on account of rain"}),
        ("we sail in order to fish", {"we sail to fish", "we sail so as to fish"}),
        ("it cost more than $20", {"it cost over $20"}),
        ("We saw a lot of ships; lots of fish.", {"We saw lots of ships; a lot of fish."}),
        ("It is late at the moment.", {"It is late right now."}),
        ("for example, although it sails", {"for instance, even though it sails"}),
        ("Nobody is here, everyone else left.", {"No one is here, everybody else left."}),
        ("I saw somebody, but has anyone?", {"I saw someone, but has anybody?"}),
    ],
)
def test_what_is_reworded_says_the_same(text: str, expected: set[str]) -> None:
    assert {changed(text, "rewording", seed=seed) for seed in range(20)} == expected


@pytest.mark.parametrize(
    "text",
    [
        "Did I want to go?",
        "I want the sea.",
        "I would like to have seen it",
        "How can you say that? Can you swim?",
        "How do I look? How can I help?",
        "What is the way to the harbour?",
        "There is no one way, no longer, no more, no denying it. There is no key and no door.",
        "They think that's it",
        "They let me know if it left",
        "He said thanks for nothing",
        "the ship is due to sail",
        "no more than 20, more than 2",
        "the parking lots of the town, quite a lot of fish",
        "at the moment of truth",
        "Although tired, we sailed",
        "No one thing matters; the Maybe; I WANT TO GO; Lots Of Love",
        "We sail home.",
    ],
)
def test_what_would_say_something_else_is_left_as_it_is(text: str) -> None:
    assert changed(text, "rewording") == text


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
