"""Texts out of a vocabulary: whole words only, seeded, drawn by rank, and a test of none of them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import Tokenizer

from stillroom import corpus
from stillroom.core import recipe
from stillroom.core.artifact import Store
from stillroom.core.errors import InputError, RecipeError
from stillroom.core.vocabulary import whole_words
from stillroom.corpora.vocabulary import Vocabulary
from tests.corpora.examples import TASK


def made(folder: Path, **settings: Any) -> list[str]:
    return [text for text, _ in Vocabulary(tokenizer=str(folder), **settings).texts(TASK)]


def test_every_word_alone_and_runs_of_known_words(encoder_folder: Path) -> None:
    known = set(whole_words(Tokenizer.from_file(str(encoder_folder / "tokenizer.json"))))
    texts = made(encoder_folder, runs=200, shortest=3, longest=5)
    assert set(texts[: len(known)]) == known
    runs = [text.split() for text in texts[len(known) :]]
    assert len(runs) == 200
    assert {len(run) for run in runs} == {3, 4, 5}
    assert {word for run in runs for word in run} <= known


def test_the_seed_draws_and_nothing_else(encoder_folder: Path) -> None:
    one = made(encoder_folder, words=False, runs=50, seed=1)
    assert one == made(encoder_folder, words=False, runs=50, seed=1)
    assert one[:20] == made(encoder_folder, words=False, runs=20, seed=1), "more runs leave the first as they are"
    assert one != made(encoder_folder, words=False, runs=50, seed=2)


def test_words_are_drawn_by_rank(encoder_folder: Path) -> None:
    def drawn(zipf: float) -> tuple[list[str], Counter[str]]:
        runs = made(encoder_folder, words=False, runs=4000, shortest=8, longest=8, zipf=zipf)
        ranked = made(encoder_folder, runs=0)
        return ranked, Counter(word for run in runs for word in run.split())

    ranked, even = drawn(0.0)
    assert max(even.values()) < 1.3 * min(even[word] for word in ranked)
    ranked, zipf = drawn(1.0)
    total = sum(1 / (rank + 2) for rank in range(len(ranked)))
    for rank in (0, 1, 10, 40):
        expected = 4000 * 8 / (rank + 2) / total
        assert zipf[ranked[rank]] == pytest.approx(expected, abs=5 * expected**0.5)


def test_single_letters_count_as_the_rarest(encoder_folder: Path) -> None:
    ranked = made(encoder_folder, runs=0)
    first = next(place for place, word in enumerate(ranked) if len(word) == 1)
    assert first > 0
    assert all(len(word) == 1 for word in ranked[first:])


def test_without_real_rows_there_is_a_dev_and_no_test(encoder_folder: Path, tmp_path: Path) -> None:
    source = Vocabulary(tokenizer=str(encoder_folder), runs=300, dev_share=0.2)
    found = corpus.load(source, task=TASK, store=Store(tmp_path))
    assert (found.train.count, found.test.count, found.outside.count) == (0, 0, 0)
    assert found.dev.count > 20
    assert found.dev.table(["label"])["label"].null_count == found.dev.count
    assert found.report["made"]["runs"] == 300
    assert any("No row of dev has a label" in note for note in found.report["notes"])
    assert any("split test has no rows" in note for note in found.report["notes"])


def test_real_rows_are_tested_on_as_the_real_source_itself_would(encoder_folder: Path, tmp_path: Path) -> None:
    from stillroom.corpora.table import Table
    from tests.corpora.examples import pairs, write_csv

    real = Table(labelled=write_csv(tmp_path / "rows.csv", pairs(200)), test_share=0.3, dev_share=0.2)
    alone = corpus.load(real, task=TASK, store=Store(tmp_path / "alone"))
    source = Vocabulary(tokenizer=str(encoder_folder), runs=100, real=real)
    found = corpus.load(source, task=TASK, store=Store(tmp_path / "work"))
    assert found.test.digest == alone.test.digest
    taught = {*found.unlabelled.texts(), *found.dev.texts(), *found.train.texts()}
    assert not taught & {text for text, _ in pairs(200)}


def test_the_day_on_which_real_rows_were_fetched_is_known(
    encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stillroom.corpora import sample
    from tests.corpora.examples import write_archive

    archive = write_archive(tmp_path / "cache", monkeypatch)
    archive.with_name(sample._FETCHED).write_text("2026-02-03\n", encoding="utf-8")
    source = Vocabulary(tokenizer=str(encoder_folder), runs=100, real=sample.Sample(name="reviews"))
    rights = corpus.load(source, task=TASK, store=Store(tmp_path / "work")).rights
    assert rights["real"]["retrieved"] == "2026-02-03"
    assert rights["retrieved"] is None
    assert [one for one in rights["gaps"] if "retrieved" in one] == ["`retrieved` is not stated"]


def test_what_can_not_be_read_says_so(encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder here"):
        Vocabulary(tokenizer="nowhere").digests()
    for name in ("config.json", "tokenizer.json"):
        shutil.copyfile(encoder_folder / name, tmp_path / name)
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="a tokenizer that can be read"):
        made(tmp_path)
    with pytest.raises(ValidationError, match="no longer than"):
        Vocabulary(tokenizer="x", shortest=3, longest=2)
    with pytest.raises(ValidationError, match="there are no texts"):
        Vocabulary(tokenizer="x", words=False, runs=0)


def test_a_slip_inside_the_real_source_is_told_by_its_key(toy: dict[str, Any]) -> None:
    real = {"kind": "table", "labeled": "rows.csv"}
    with pytest.raises(RecipeError, match=r"corpus\.real\.labeled") as caught:
        recipe.parse({**toy, "corpus": {"kind": "vocabulary", "tokenizer": "x", "real": real}})
    assert any(problem.todo == "Did you mean `labelled`?" for problem in caught.value.problems)
