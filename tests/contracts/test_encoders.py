"""What every way of reading text promises, held over every member that is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillroom.core import plugins
from stillroom.core.errors import RecipeError
from stillroom.runtime.encoders import Encode, Encoder
from tests.conftest import sentences

NAMES = plugins.names("runtime.encoders")
#: Settings of each member, several of some; a new one adds its line.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "ngrams": [{"bits": 10}, {"bits": 10, "word_pairs": False, "shortest": 2, "longest": 2}],
    "tokens": [{"special": True, "max_tokens": 16}, {"special": False}],
    "tokens_and_ngrams": [{"tokens": {"special": False}, "ngrams": {"bits": 10}, "first": 9000}],
}
CASES = [{"kind": name, **settings} for name in NAMES for settings in SETTINGS.get(name, [{}])]
ODD = [
    "",
    " ",
    "\n\t\r",
    "\x00",
    "\x0b\x1f\x85",
    "great",
    "GREAT",
    "naïve café",
    "中文",
    "👍🏽",
    "\u200b",
    "\u0301",
    "word " * 3000,
]
TEXTS = [*ODD, *(text for text, _ in sentences()[::40])]


@pytest.fixture(params=CASES, ids=str)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    built: Encoder = plugins.build("runtime.encoders", request.param)
    return built


@pytest.fixture
def encode(encoder: Encoder, encoder_folder: Path) -> Encode:
    return encoder.open(encoder_folder)


def test_there_are_members() -> None:
    assert {"ngrams", "tokens"} <= set(NAMES)
    assert set(NAMES) == set(SETTINGS), "SETTINGS has a line for each member"


def test_is_its_own_settings(encoder: Encoder) -> None:
    assert type(encoder).__doc__
    assert plugins.build("runtime.encoders", encoder.model_dump(mode="json")) == encoder
    with pytest.raises(RecipeError, match="a key that nothing reads"):
        plugins.build("runtime.encoders", {**encoder.model_dump(mode="json"), "nonsense": 1})


def test_every_text_gets_ids_that_its_student_has_a_row_for(
    encoder: Encoder, encode: Encode, encoder_folder: Path
) -> None:
    vocabulary = json.loads((encoder_folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    rows = {"tokens": len(vocabulary), "ngrams": 1 << 10, "tokens_and_ngrams": 9000 + (1 << 10)}[encoder.kind]
    found = encode(TEXTS)
    assert len(found) == len(TEXTS)
    for text, ids in zip(TEXTS, found, strict=True):
        assert ids.dtype == np.int32, repr(text)
        assert ids.ndim == 1, repr(text)
        assert len(ids) > 0, repr(text)
        assert 0 <= ids.min() <= ids.max() < rows, repr(text)


def test_a_text_knows_nothing_of_its_neighbours(encode: Encode) -> None:
    together = encode(TEXTS)
    backwards = encode(TEXTS[::-1])[::-1]
    for text, one, other in zip(TEXTS, together, backwards, strict=True):
        np.testing.assert_array_equal(one, encode([text])[0], err_msg=repr(text))
        np.testing.assert_array_equal(one, other, err_msg=repr(text))


def test_no_text_no_ids(encode: Encode) -> None:
    assert encode([]) == []


def test_different_texts_are_read_differently(encode: Encode) -> None:
    assert encode(["great"])[0].tolist() != encode(["dull"])[0].tolist()
    assert len(encode(["great dull"])[0]) > len(encode(["great"])[0])


@pytest.fixture(scope="module")
def encodes(encoder_folder: Path) -> list[Encode]:
    return [plugins.build("runtime.encoders", case).open(encoder_folder) for case in CASES]


@given(texts=st.lists(st.text(max_size=12), max_size=5))
def test_any_text_is_read_the_same_twice(encodes: list[Encode], texts: list[str]) -> None:
    for encode in encodes:
        for one, other in zip(encode(texts), encode(texts), strict=True):
            assert len(one) > 0
            np.testing.assert_array_equal(one, other)


def test_a_limit_on_tokens_keeps_what_stands_around_a_text(encoder_folder: Path) -> None:
    cut, whole = (
        plugins.build("runtime.encoders", {"kind": "tokens", "special": True, "max_tokens": limit}).open(encoder_folder)
        for limit in (6, None)
    )
    text = "the film was great in every scene and we found it moving"
    short, full = cut([text])[0], whole([text])[0]
    assert len(short) == 6 < len(full)
    assert (short[0], short[-1]) == (full[0], full[-1])
    np.testing.assert_array_equal(short[:-1], full[:5])
