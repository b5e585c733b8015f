"""What each way of making texts does to a text."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillroom.augmentations import Ground, pieces
from stillroom.augmentations.back_off import BackOff
from stillroom.augmentations.masked_lm import MaskedLM
from stillroom.augmentations.masking import Masking
from stillroom.augmentations.ngram_sampling import NgramSampling
from stillroom.augmentations.same_pos_swap import SamePosSwap, tag
from stillroom.core.errors import InputError

NOTHING: Any = None
GROUND = Ground(words=dict, teacher=NOTHING)
TEXT = "Honestly, the film was  quickly made; it's a dull, joyless thing."


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_pieces_are_the_text_again() -> None:
    for text in (TEXT, "", "  ", "don’t_stop  now", "中文 a-b"):
        assert "".join(pieces(text)) == text


def test_masking_takes_the_share_it_is_told() -> None:
    text = " ".join(f"word{number}" for number in range(200))
    for share in (0.1, 0.5):
        (made,) = Masking(share=share).open(GROUND)(text, rng())
        assert abs(made.count("[MASK]") / 200 - share) < 0.08
        assert len(made.split()) == 200
    (made,) = Masking(share=0.5, token="").open(GROUND)(text, rng())
    assert 70 < len(made.split()) < 130
    (made,) = Masking(share=0.01).open(GROUND)("two words", rng())
    assert made.count("[MASK]") == 1


def test_phrases_are_runs_of_words_of_the_lengths_asked_for() -> None:
    words = TEXT.split()
    made = NgramSampling(per_row=40, lengths=(2, 3)).open(GROUND)(TEXT, rng())
    assert {len(one.split()) for one in made} == {2, 3}
    assert all(one in " ".join(words) for one in made)
    assert NgramSampling(per_row=9, lengths=(8,)).open(GROUND)("too short", rng()) == []


def test_swaps_stay_within_a_kind_and_leave_what_holds_a_sentence_together() -> None:
    words = {"slowly": 5, "badly": 2, "rated": 4, "filmed": 1, "endless": 2, "careless": 1, "book": 3, "song": 2}
    make = SamePosSwap(per_row=60, share=0.5).open(Ground(words=lambda: words, teacher=NOTHING))
    before = pieces(TEXT)
    seen = set()
    for made in make(TEXT, rng()):
        after = pieces(made)
        assert len(after) == len(before)
        for old, new in zip(before, after, strict=True):
            if new != old:
                assert tag(old) == tag(new) != ""
                assert old[0].isupper() == new[0].isupper()
                seen.add(new.lower())
    assert {"slowly", "badly", "endless", "careless", "book"} <= seen
    assert not {"the", "was", "it's", "a"} & seen


def test_frequent_words_are_drawn_more_often() -> None:
    make = SamePosSwap(per_row=400, share=0.9).open(Ground(words=lambda: {"slowly": 90, "badly": 10}, teacher=NOTHING))
    made = make("quickly", rng())
    assert 0.82 < sum(one == "slowly" for one in made) / len(made) < 0.97


def write_vectors(path: Path, header: bool = False) -> Path:
    lines = ["good 1 0 0", "great 0.9 0.1 0", "fine 0.95 0 0.1", "bad -1 0.1 0", "film 0 1 0", "movie 0 0.9 0.1"]
    path.write_text("\n".join(([f"{len(lines)} 3"] if header else []) + lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("header", [False, True])
def test_back_off_takes_the_nearest_words(tmp_path: Path, header: bool) -> None:
    path = write_vectors(tmp_path / "vectors.txt", header)
    make = BackOff(vectors=str(path), neighbours=1, share=0.9, per_row=20).open(GROUND)
    made = {word for text in make("A Good film, unknown", rng()) for word in pieces(text)}
    assert {"Fine", "movie", "A", "unknown"} <= made
    assert not {"bad", "Bad", "great"} & made
    assert BackOff(vectors=str(path), words=2).digests() == BackOff(vectors=str(path)).digests()


@pytest.mark.parametrize("lines", ["good 1 2\nbad 1", "good 1 x\nbad 1 2", "good nan 1\nbad 1 2", "good 1 2", ""])
def test_a_file_that_holds_no_vectors_is_told(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(InputError):
        BackOff(vectors=str(path)).open(GROUND)
    with pytest.raises(InputError, match="no file"):
        BackOff(vectors=str(tmp_path / "absent")).digests()


@pytest.mark.slow
def test_a_language_model_fills_words_with_words(masked_folder: Path) -> None:
    text = "The film was dull in every scene"
    make = MaskedLM(model=str(masked_folder), per_row=30, share=0.4, top=3).open(GROUND)
    made = make(text, rng())
    assert len(made) == 30
    before = text.split()
    changed = 0
    for one in made:
        after = one.split()
        assert len(after) == len(before)
        assert all(word.isalpha() for word in after)
        others = sum(old != new for old, new in zip(before, after, strict=True))
        assert others > 0
        changed += others
        assert after[0][0].isupper()
    assert 30 < changed < 30 * len(before) * 0.8


def test_what_it_fills_in_is_what_the_model_finds_probable(masked_folder: Path) -> None:
    """With one word to draw from and one word in the text, the answer is the model's own first choice."""
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForMaskedLM

    from stillroom.core.vocabulary import whole_words

    tokenizer = Tokenizer.from_file(str(masked_folder / "tokenizer.json"))
    network = AutoModelForMaskedLM.from_pretrained(masked_folder).eval()
    ids = [tokenizer.token_to_id(one) for one in ("[CLS]", "[MASK]", "[SEP]")]
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor([ids])).logits[0, 1]
    words = whole_words(tokenizer)
    own = tokenizer.encode("dull").ids[1]
    best = max((float(logits[number]), word) for word, number in words.items() if number != own)[1]
    assert MaskedLM(model=str(masked_folder), top=1).open(GROUND)("dull", rng()) == [best]


def test_a_checkpoint_without_a_language_head_is_refused(encoder_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    with pytest.raises(InputError, match="language head"):
        MaskedLM(model=str(folder)).open(GROUND)
