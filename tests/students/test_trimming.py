"""A trimmed tokenizer reads its corpus as before, and what was known of any other text stays known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from stillroom.core.errors import MismatchError
from stillroom.students import _trimming
from tests.conftest import sentences

TEXTS = [text for text, _ in sentences()] + [
    "unbelievable lighthouses and unlikely lightness",
    "believers likely like it",
]
CORPUS = [text for text in TEXTS if "film" in text]
UNKNOWN = "[UNK]"


def trained(kind: str) -> Tokenizer:
    """A tokenizer of a kind, with the two tokens that stand around a text."""
    special = ["[PAD]", UNKNOWN, "[CLS]", "[SEP]"]
    if kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=250, special_tokens=special, show_progress=False)
    elif kind == "BPE":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=450, special_tokens=special, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token=UNKNOWN,
                                          show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    ends = [(one, tokenizer.token_to_id(one)) for one in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


def trimmed(tokenizer: Tokenizer, texts: list[str], **settings: Any) -> tuple[Tokenizer, _trimming.Trimmed]:
    counts = np.bincount(np.concatenate([one.ids for one in tokenizer.encode_batch(texts)]),
                         minlength=tokenizer.get_vocab_size())  # fmt: skip
    found = _trimming.trim(tokenizer.to_str(), counts, **settings)
    return Tokenizer.from_str(found.tokenizer), found


@pytest.mark.parametrize("kind", ["WordPiece", "BPE", "Unigram"])
class TestEvery:
    def test_reads_its_corpus_as_before_under_new_numbers(self, kind: str) -> None:
        whole = trained(kind)
        small, found = trimmed(whole, CORPUS)
        assert small.get_vocab_size() == len(found.kept) < whole.get_vocab_size()
        for text in CORPUS:
            before, after = whole.encode(text), small.encode(text)
            assert after.tokens == before.tokens
            assert found.kept[after.ids].tolist() == before.ids

    def test_every_kept_token_keeps_its_meaning(self, kind: str) -> None:
        whole = trained(kind)
        small, found = trimmed(whole, CORPUS)
        assert {small.id_to_token(new): int(old) for new, old in enumerate(found.kept)} == {
            whole.id_to_token(int(old)): int(old) for old in found.kept
        }
        assert found.kept[0] == 0

    @pytest.mark.parametrize("min_count", [1, 50])
    def test_nothing_known_becomes_unknown(self, kind: str, min_count: int) -> None:
        whole = trained(kind)
        small, _ = trimmed(whole, CORPUS, min_count=min_count)
        rng = np.random.default_rng(3)
        letters = sorted({one for text in TEXTS for one in text} | set("zqé中!"))
        made = ["".join(rng.choice(letters, size=int(rng.integers(1, 30)))) for _ in range(400)] + TEXTS
        known = 0
        for text in made:
            before, after = whole.encode(text).tokens.count(UNKNOWN), small.encode(text).tokens.count(UNKNOWN)
            assert after <= before, text
            known += before == 0
        assert known > len(TEXTS) // 2

    def test_a_higher_count_keeps_fewer(self, kind: str) -> None:
        whole = trained(kind)
        assert len(trimmed(whole, CORPUS, min_count=30)[1].kept) < len(trimmed(whole, CORPUS)[1].kept)


def test_a_piece_without_its_characters_is_refused() -> None:
    data = json.loads(trained("WordPiece").to_str())
    data["model"]["vocab"]["##xyz☃"] = len(data["model"]["vocab"])
    with pytest.raises(MismatchError, match="☃"):
        _trimming.trim(json.dumps(data), np.ones(1))


def test_words_alone_are_refused() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, UNKNOWN: 1}, unk_token=UNKNOWN))
    with pytest.raises(MismatchError, match="WordLevel"):
        _trimming.trim(tokenizer.to_str(), np.ones(2))


def test_ends_as_roberta_writes_them_are_renumbered() -> None:
    whole = trained("BPE")
    data = json.loads(whole.to_str())
    ends = {one: [one, whole.token_to_id(one)] for one in ("[SEP]", "[CLS]")}
    data["post_processor"] = {"type": "RobertaProcessing", "sep": ends["[SEP]"], "cls": ends["[CLS]"],
                              "trim_offsets": True, "add_prefix_space": True}  # fmt: skip
    whole = Tokenizer.from_str(json.dumps(data))
    small, found = trimmed(whole, CORPUS)
    assert found.kept[small.encode(CORPUS[0]).ids].tolist() == whole.encode(CORPUS[0]).ids
