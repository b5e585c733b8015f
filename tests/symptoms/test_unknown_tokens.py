"""Which token stands for the unknown, whatever kind of tokenizer a student has."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from stillroom.symptoms import unknown_tokens

UNKNOWN = "[UNK]"
MODELS = {
    "unigram": models.Unigram([("<unk>", 0.0), ("good", -1.0), ("film", -1.0)], unk_id=0, byte_fallback=False),
    "word pieces": models.WordPiece({UNKNOWN: 0, "good": 1, "film": 2}, unk_token=UNKNOWN),
    "words": models.WordLevel({UNKNOWN: 0, "good": 1, "film": 2}, unk_token=UNKNOWN),
}


@pytest.mark.parametrize("kind", MODELS)
def test_unknown_words_are_counted(kind: str, tmp_path: Path) -> None:
    tokenizer = Tokenizer(MODELS[kind])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = unknown_tokens._unknown(tmp_path / "tokenizer.json", ["good film", "good zzz", "film film"])
    assert found == (pytest.approx(1 / 6), 1)


def test_a_tokenizer_without_such_a_token_is_passed_over(tmp_path: Path) -> None:
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer.json"))
    assert unknown_tokens._unknown(tmp_path / "tokenizer.json", ["a b"]) is None
