"""Tokens of two tokenizers that are the same, by what they spell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from stillroom.core import token_bytes
from stillroom.core.names import Names
from stillroom.runtime.encoders.tokens import Tokens

TEXTS = ["naïve café 中文", "", " ", "a\tb\nc 👍🏽", "<end> it goes"]


def over_bytes(merges: list[str], *, begin: str = "<begin>") -> str:
    """A tokenizer of bytes, and pairs of them in the alphabet of such tokenizers."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(one.split()[0], one.split()[1]) for one in merges]
    pieces = [begin, "<end>", *letters, *("".join(one) for one in pairs)]
    found = Tokenizer(models.BPE({piece: place for place, piece in enumerate(pieces)}, pairs))
    found.pre_tokenizer, found.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    found.add_special_tokens([begin, "<end>"])
    found.post_processor = processors.TemplateProcessing(single=f"{begin} $A", special_tokens=[(begin, 0)])
    return str(found.to_str())


#: What it makes of a character of three bytes ends inside it: "中" is e4 b8 ad, "文" is e6 96 87.
ACROSS = ["ä ¸", "\u0143 æ", "Ġ ä¸"]


def test_what_tokens_spell_is_the_text() -> None:
    for merges in ([], ["h e", "Ġ t", "Ġt he"], ACROSS):
        written = over_bytes(merges)
        spelled = token_bytes.spelled(written)
        ids, words = Tokens(special=True).read_each(written)(TEXTS)
        for row, text in enumerate(TEXTS):
            places = words.take(np.array([row])).places.tolist()
            found = [spelled[one] for one in ids[row][1:].tolist()]
            assert b"".join(one or b"" for one in found) == text.encode()
            assert [text.encode()[start:end] for start, end in places] == found


def test_tokens_end_inside_a_character_and_go_on_into_the_next() -> None:
    written = over_bytes(ACROSS)
    ids, words = Tokens(special=True).read_each(written)(["中文"])
    assert words.places[:, 1].tolist() == [2, 4, 5, 6]
    assert token_bytes.spelled(written)[ids[0][2]] == "中文".encode()[2:4]


def test_bytes_that_a_tokenizer_of_pieces_falls_back_to() -> None:
    pieces: list[tuple[str, float]] = [
        ("<unk>", 0.0),
        ("▁a", -1.0),
        ("b", -2.0),
        *((f"<0x{one:02X}>", -9.0) for one in range(256)),
    ]
    found = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    spelled = token_bytes.spelled(found.to_str())
    assert spelled[:3] == (b"<unk>", b" a", b"b")
    assert spelled[3 + 0xE4] == b"\xe4"


def test_the_same_tokens_have_the_same_names() -> None:
    one, other = over_bytes(["h e", "Ġ t", "Ġt he"]), over_bytes(["Ġ a", "h e"], begin="<start>")
    names = Names.between(one, other, size=263)
    its = Tokenizer.from_str(other)
    own = Tokenizer.from_str(one)
    assert names.numbers[own.token_to_id("he")] == its.token_to_id("he")
    assert names.numbers[own.token_to_id("<end>")] == its.token_to_id("<end>")
    assert names.numbers[own.token_to_id("<begin>")] == its.token_to_id("<start>"), "what texts begin with"
    foreign = names.numbers[[own.token_to_id("Ġt"), own.token_to_id("Ġthe"), 261, 262]]
    assert foreign.min() > 2**20
    assert len(set(names.numbers.tolist())) == 263
    np.testing.assert_array_equal(names.understood(names.numbers), np.arange(263))
    assert names.understood(np.array([its.token_to_id("Ġa"), -1, 5000])).tolist() == [-1, -1, -1]
    assert not names.same
    assert Names.between(one, one, size=261).same


def test_who_keeps_some_tokens_calls_them_as_before(tmp_path: Path) -> None:
    names = Names.between(over_bytes(["h e", "Ġ t"]), over_bytes(["h e"]), size=260)
    kept = names.kept(np.array([0, 3, 258, 259]))
    assert kept.numbers[:3].tolist() == [0, 3, 258]
    assert kept.understood(kept.numbers).tolist() == [0, 1, 2, 3]
    assert kept.understood(np.array([4])).tolist() == [-1]
    assert kept.save(tmp_path) == ("names.safetensors",)
    np.testing.assert_array_equal(Names.load(tmp_path).numbers, kept.numbers)
    assert Names.plain(5).save(tmp_path / "nowhere") == ()


@pytest.mark.parametrize("merges", [[], ACROSS])
def test_lines_go_by_the_teacher_s_ids(merges: list[str]) -> None:
    names = Names.between(over_bytes(merges), over_bytes(["h e"]), size=258 + len(merges)).kept(np.array([7, 3, 5]))
    line = np.array([[-1.0, -0.5, -2.0, -3.0, 2, 0, 1]], dtype=np.float32)
    assert names.called(line).tolist() == [[-1.0, -0.5, -2.0, -3.0, 5, 7, 3]]
    assert Names.plain(3).called(line) is line
