"""Edits of texts: the way from one text to another, in steps and in tags, and the text that they make."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import edit_tags, edits, english, proofs, spelling
from stillroom.core.edits import Change, Edit
from stillroom.core.proofs import Mark

WORDS = spelling.dictionary()
words = st.sampled_from(["he", "has", "have", "cat", "cats", "the", "a", ",", ".", "well", "known", "went", "goes"])


def steps(one: str, other: str) -> list[Change]:
    return edits.changes(*([part.text for part in edits.chunks(text)] for text in (one, other)))


def remade(source: list[str], changes: list[Change]) -> list[str]:
    """The chunks with all steps taken."""
    found, done = [], 0
    for one in changes:
        found += [*source[done : one.first], *one.replacement]
        done = one.last
    return [*found, *source[done:]]


@given(st.lists(words, max_size=9), st.lists(words, max_size=9))
@settings(max_examples=200, deadline=None)
def test_the_steps_lead_from_one_to_the_other(one: list[str], other: list[str]) -> None:
    assert remade(one, edits.changes(one, other)) == other


@given(st.lists(words, max_size=12))
def test_from_a_text_to_itself_there_is_no_step(one: list[str]) -> None:
    assert edits.changes(one, one) == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("he have a cat", "he has a cat", [Change(1, 2, ("has",))]),
        ("he has cat", "he has a cat", [Change(2, 2, ("a",))]),
        ("he has the a cat", "he has a cat", [Change(2, 3, ())]),
        ("he can not go", "he cannot go", [Change(1, 3, ("cannot",))]),
        ("a well known cat", "a well-known cat", [Change(1, 3, ("well-known",))]),
        ("alot of cats", "a lot of cats", [Change(0, 1, ("a", "lot"))]),
        ("he always has gone", "he has always gone", [Change(1, 3, ("has", "always"))]),
        ("he goes home", "he goes to the home", [Change(2, 2, ("to", "the"))]),
    ],
)
def test_the_cheapest_steps_are_the_ones_that_people_would_name(one: str, other: str, expected: list[Change]) -> None:
    assert steps(one, other) == expected


def test_edits_are_made_from_left_to_right_and_the_first_of_two_that_overlap_counts() -> None:
    assert edits.applied("abc def", [Edit(4, 7, "x"), Edit(0, 1, "A"), Edit(5, 6, "never")]) == "Abc x"
    assert edits.applied("abc", [Edit(3, 3, "!"), Edit(1, 2, "")]) == "ac!"


def test_every_tag_is_there_once_and_the_first_says_nothing() -> None:
    assert edit_tags.TAGS[0] == edit_tags.KEEP
    assert len(set(edit_tags.TAGS)) == len(edit_tags.TAGS)
    assert edit_tags.OTHER not in edit_tags.TAGS


#: A text, what it should be, the tag that says so.
SAID = [
    ("He have a cat.", "He has a cat.", "word:has"),
    ("he went home.", "He went home.", "capital"),
    ("He went Home.", "He went home.", "lower"),
    ("She walk home.", "She walks home.", "ending:>s"),
    ("Two city are old.", "Two cities are old.", "ending:y>ies"),
    ("She has went home.", "She has gone home.", "form:participle"),
    ("Three child sing.", "Three children sing.", "number"),
    ("It is there house.", "It is their house.", "word:their"),
    ("He is old man.", "He is an old man.", "before:an"),
    ("He is old I am young.", "He is old, I am young.", "after:,"),
    ("He saw the the cat.", "He saw the cat.", "delete"),
    ("We recieved it.", "We received it.", "spell"),
    ("We like it alot.", "We like it a lot.", "spell"),
    ("He can not go.", "He cannot go.", "join"),
    ("A well known man.", "A well-known man.", "hyphen"),
    ("He always is late.", "He is always late.", "exchange"),
    ("old man is here.", "The old man is here.", "before:the"),
    ("He home.", "He went right home.", "other"),
]


@pytest.mark.parametrize(("text", "right", "tag"), SAID, ids=[tag for _, _, tag in SAID])
def test_a_correction_becomes_a_tag_and_the_tag_makes_the_correction(text: str, right: str, tag: str) -> None:
    (mark, *more) = proofs.reference(text, right, is_word=WORDS.__contains__).marks
    assert mark.tag == tag
    if tag == edit_tags.OTHER:
        return
    assert not more
    made = proofs.made(text, [(mark, 0.9)], spell=WORDS.meant)
    assert edits.applied(text, [one.edit for one in made]) == right
    assert edit_tags.topic_of(mark.tag, made[0].word) in (*english.CONFUSED, *english.LEFT_OUT, "number", "spelling",
                                                          "capitals", "spacing", "punctuation", "word order",
                                                          "extra word", "word form")  # fmt: skip


def test_capitals_move_with_the_words() -> None:
    def after(text: str, tag: str, at: int = 0) -> str:
        made = proofs.made(text, [(Mark(at, tag), 1.0)], spell=WORDS.meant)
        return edits.applied(text, [one.edit for one in made])

    assert after("Old man sings.", "before:the") == "The old man sings."
    assert after("The the old man sings.", "delete") == "The old man sings."
    assert after("RECIEVED letters", "spell") == "RECEIVED letters"
    assert after("Their is no time.", "word:there") == "There is no time."
    assert after("Me and you sing.", "word:i") == "I and you sing."


def test_a_tag_that_changes_nothing_makes_no_edit() -> None:
    text = "He went home."
    for tag in (edit_tags.KEEP, "capital", "word:he", "ending:y>ies", "number", "form:past", "spell"):
        assert proofs.made(text, [(Mark(0, tag), 1.0)], spell=lambda chunks, at: None) == []
    assert proofs.made(text, [(Mark(1, "delete"), 1.0)], spell=WORDS.meant) == [], "no chunk begins there"
    assert proofs.made(text, [(Mark(12, "after:."), 1.0)], spell=WORDS.meant) == [], "there is one"


def test_names_and_headings_are_left_alone() -> None:
    """A dictionary has no names, and a line without any stop may be a heading."""
    assert proofs.made("We met Carell there.", [(Mark(7, "spell"), 1.0)], spell=WORDS.meant) == []
    assert proofs.made("Recieved. Tecnology is old.", [(Mark(10, "spell"), 1.0)], spell=WORDS.meant)
    assert proofs.made("Overview of trends", [(Mark(12, "after:."), 1.0)], spell=WORDS.meant) == []
    (made,) = proofs.made("He went. She stayed", [(Mark(13, "after:."), 1.0)], spell=WORDS.meant)
    assert made.edit.replacement == "."


def test_of_corrections_that_touch_the_surest_is_made() -> None:
    text = "He he went."
    made = proofs.made(text, [(Mark(0, "delete"), 0.6), (Mark(3, "delete"), 0.8)], spell=WORDS.meant)
    assert [(one.mark.at, one.score) for one in made] == [(3, 0.8)]


@given(st.text(max_size=60), st.integers(0, len(edit_tags.TAGS) - 1), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_any_tag_on_any_text_makes_an_edit_inside_it(text: str, tag: int, place: int) -> None:
    found = edits.chunks(text)
    if not found:
        return
    mark = Mark(found[place % len(found)].start, edit_tags.TAGS[tag])
    for one in proofs.made(text, [(mark, 1.0)], spell=lambda chunks, at: "word"):
        assert 0 <= one.edit.start <= one.edit.end <= len(text)
        assert text[one.edit.start : one.edit.end] != one.edit.replacement


def corrected(text: str, right: str) -> str:
    """The text with the marks that its reference has."""
    marks = [(one, 1.0) for one in proofs.reference(text, right, is_word=WORDS.__contains__).marks]
    return edits.applied(text, [one.edit for one in proofs.made(text, marks, spell=WORDS.meant)])


def test_corrections_beside_each_other_are_both_made() -> None:
    assert corrected("He recieved of the money.", "He received the money.") == "He received the money."
    text = "He is in the the shop."
    twice = [(Mark(text.index("the"), "delete"), 0.7), (Mark(text.index("the") + 4, "delete"), 0.6)]
    made = proofs.made(text, twice, spell=WORDS.meant)
    assert edits.applied(text, [one.edit for one in made]) == "He is in the shop.", (
        "of a word that stands twice one goes"
    )


def test_typographic_apostrophes_are_apostrophes() -> None:
    assert corrected("It is its a nice day.", "It is it’s a nice day.") == "It is it's a nice day."
    assert corrected("They’re late, its true.", "They’re late, it’s true.") == "They’re late, it’s true."
    assert proofs.reference("He don’t know.", "He don't know.", is_word=WORDS.__contains__).marks == ()
    assert WORDS.meant(edits.chunks("He don’t know."), 1) is None
    assert corrected("This is they house.", "This is they’re house.") == "This is they're house."


def test_what_is_all_capitals_is_not_said_to_be_one_too_many() -> None:
    (mark,) = proofs.reference("THE cat sat.", "the cat sat.", is_word=WORDS.__contains__).marks
    assert mark.tag == edit_tags.OTHER


def test_accents_stand_with_their_letters() -> None:
    assert [one.text for one in edits.chunks("nai\u0308ve cafe\u0301s")] == ["nai\u0308ve", "cafe\u0301s"]


def test_of_two_marks_on_a_chunk_the_one_that_changes_it_is_learned() -> None:
    import numpy as np

    text = "He recieve and left."
    marks = proofs.reference(text, "He receive, and left.", is_word=WORDS.__contains__).marks
    assert {one.tag for one in marks} == {"spell", "after:,"}
    places = np.array([(one.start, one.end) for one in edits.chunks(text)], dtype=np.int32)
    tags = proofs.on_words([marks], places, np.array([len(places)]))
    assert [edit_tags.TAGS[one] for one in tags] == ["keep", "spell", "keep", "keep", "keep"]


def test_long_texts_are_laid_beside_each_other_in_parts() -> None:
    """Runs that are the same stay as they are, and the way still leads to the other text."""
    words = [f"word{number * 7919 % 1009}" for number in range(3000)]
    other = ["begin", *words[:1000], "put", "in", *words[1002:2500], *words[2501:], "end"]
    found = edits.changes(words, other)
    assert remade(words, found) == other
    assert len(found) < 8
