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
from stillroom.runtime.encoders import Encode, Encoder, WordEncoder
from stillroom.runtime.encoders.cased import Cased
from stillroom.runtime.encoders.tokens import Tokens
from tests.conftest import sentences

NAMES = plugins.names("runtime.encoders")
#: Settings of each member, several of some; a new one adds its line.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "cased": [{"tokens": {"special": False}, "size": 9000}],
    "sentences": [
        {"tokens": {"special": False}, "size": 9000},
        {"tokens": {"special": False}, "size": 9000, "unit": "lines"},
    ],
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
    rows = {
        "tokens": len(vocabulary),
        "ngrams": 1 << 10,
        "tokens_and_ngrams": 9000 + (1 << 10),
        "cased": 9000 * 4,
        "sentences": 9001,
    }[encoder.kind]
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


def test_what_is_beyond_its_reach_changes_nothing(encoder: Encoder, encode: Encode, encoder_folder: Path) -> None:
    """And what is before it does: the character at its end is the last that is read."""
    texts = [*TEXTS, "the film was great in every scene and we found it moving " * 40, "naïve 中文 👍🏽 " * 40]
    for text, ids, end in zip(texts, encode(texts), encoder.open_reach(encoder_folder)(texts), strict=True):
        assert 0 <= end <= len(text)
        if end < len(text):
            np.testing.assert_array_equal(encode([text[:end]])[0], ids)
            assert (
                len(encode([text[: end - 1]])[0]) != len(ids) or encode([text[: end - 1]])[0].tolist() != ids.tolist()
            )


def test_whoever_cuts_says_where(encoder_folder: Path) -> None:
    text = "great film " * 30
    for kind, more in (("tokens", {}), ("cased", {"size": 9000}), ("tokens_and_ngrams", {"first": 9000, "ngrams": {}})):
        tokens = {"special": True, "max_tokens": 6}
        settings = tokens if kind == "tokens" else {"tokens": tokens, **more}
        reach = plugins.build("runtime.encoders", {"kind": kind, **settings}).open_reach(encoder_folder)
        assert reach([text, "great", ""]) == [len("great film great film"), 5, 0]


WORDY = [case for case in CASES if issubclass(plugins.member("runtime.encoders", case["kind"]), WordEncoder)]


@pytest.mark.parametrize("settings", WORDY, ids=str)
class TestWords:
    def test_ids_are_those_of_the_encoding_and_words_stand_where_their_tokens_do(
        self, settings: dict[str, Any], encoder_folder: Path
    ) -> None:
        encoder: WordEncoder = plugins.build("runtime.encoders", settings)
        ids, words = encoder.open_words(encoder_folder)(TEXTS)
        plain = encoder.open(encoder_folder)(TEXTS)
        assert [one.tolist() for one in ids] == [one.tolist() for one in plain]
        assert len(words) == len(TEXTS)
        for row, (text, one) in enumerate(zip(TEXTS, ids, strict=True)):
            own = words.take(np.array([row]))
            assert (own.places[:, 0] < own.places[:, 1]).all()
            assert (own.places[1:, 0] >= own.places[:-1, 1]).all(), "from left to right, without sharing a character"
            assert (np.diff(own.tokens) > 0).all()
            assert own.tokens.max(initial=-1) < len(one)
            assert own.places.max(initial=0) <= len(text)
            assert all(text[start:end].strip() == text[start:end] for start, end in own.places.tolist())

    def test_each_text_is_read_alone(self, settings: dict[str, Any], encoder_folder: Path) -> None:
        read = plugins.build("runtime.encoders", settings).open_words(encoder_folder)
        whole = read(TEXTS)[1]
        for row in (0, 5, 8, len(TEXTS) - 1):
            alone, own = read([TEXTS[row]])[1], whole.take(np.array([row]))
            np.testing.assert_array_equal(alone.places, own.places)
            np.testing.assert_array_equal(alone.tokens, own.tokens)


def test_words_are_what_is_between_spaces_and_signs(encoder_folder: Path) -> None:
    text = "The film, it's GREAT"
    words = Tokens(special=True).open_words(encoder_folder)([text])[1]
    assert [text[start:end] for start, end in words.places.tolist()] == ["The", "film", ",", "it", "'", "s", "GREAT"]


def test_how_a_token_is_written_stands_in_its_id(encoder_folder: Path) -> None:
    encode = Tokens(special=False).open(encoder_folder)
    size = 10_000
    cased = Cased(tokens=Tokens(special=False), size=size).open(encoder_folder)
    for text, ways in (("a great film", [0, 0, 0]), ("A Great FILM", [1, 1, 2]), ("gReat", [3]), ("", [0])):
        (plain,), (told,) = encode([text.lower()]), cased([text])
        assert (told % size).tolist() == plain.tolist()
        assert (told // size).tolist() == ways
