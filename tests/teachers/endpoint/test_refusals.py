"""What a refusal in words opens with, and what only sounds like one."""

from __future__ import annotations

import pytest

from stillroom.teachers.endpoint import refusals

REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, I cannot help with that.",
    "Sorry, I can't help you with this.",
    "As an AI language model, I cannot summarize this text.",
    "I'm sorry, but as an AI language model I don't have access to it.",
    "I cannot provide a summary of this content.",
    "I am unable to fulfill this request.",
    "I'm not able to translate this.",
    "Unfortunately, I can't comply.",
    "I apologize, but I cannot generate that content.",
    "I must decline to answer that question.",
    "We are unable to process your request.",
    '> "I won\'t write that."',
]
NO_REFUSALS = [
    "I'm sorry for the long wait at the desk yesterday.",
    "I can't wait to see the film again.",
    "I cannot recommend this hotel enough.",
    "Sorry about the noise.",
    "Sorry, the page is gone.",
    "The company said it was unable to comply with your request.",
    "I can't help falling in love.",
    "Unfortunately the ship sank.",
    "As an architect, I love it.",
    "I can't write anymore, my hand hurts.",
    "I will not go there again.",
    "As a language teacher, I have seen many pupils.",
    "As an artificial limb maker, I am proud.",
    "I cannot give this hotel more than one star.",
    "I cannot proceed without my coat.",
    "I can't engage with this novel at all.",
    "I can't do this anymore, he sings.",
    "I will not discuss this again, said the minister.",
    "I cannot write about my father.",
    "She said: I'm sorry, but I can't assist with that request.",
    "",
]


@pytest.mark.parametrize("reply", REFUSALS)
def test_who_will_not_is_not_learned_from(reply: str) -> None:
    assert refusals.told(reply, "The ship sails.")
    assert not refusals.told(reply, f"He wrote: {reply} And that was all."), "the text says so itself"


@pytest.mark.parametrize("reply", NO_REFUSALS)
def test_what_only_sounds_so_is_a_text(reply: str) -> None:
    assert not refusals.told(reply, "The ship sails.")


def test_a_long_reply_is_read_no_further_than_its_beginning() -> None:
    """Of two million letters: who would look back at each of them would be at it for days."""
    assert not refusals.told("I'm sorry, but I am " + "very " * 400_000 + "I can't assist", "x " * 400_000)
    assert refusals.told("I'm sorry, but as an AI model I can't assist" + " with it" * 400_000, "The ship sails.")
    assert not refusals.told("sorry " * 400_000, "The ship sails.")
