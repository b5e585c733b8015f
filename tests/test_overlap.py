"""What sides share, against searches that compare every pair of texts, and on texts with planted passages."""

from __future__ import annotations

import csv
import gzip
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom import duplicates, grams, minhash, overlap
from stillroom.overlap import EXACT, GRAMS, METHODS, NEAR, PHRASE, Search, Shared
from tests.corpora.examples import sentences
from tests.test_duplicates import true_jaccard, worn

NEWS = Path(__file__).parents[2] / "shared" / "data" / "classification" / "ag_news"
JUDGED = ("dev", "test")
WORD = st.sampled_from(["ä", "Be", "see", "42"])
TEXT = st.lists(WORD, max_size=22).map(" ".join)
TEXTS = st.lists(TEXT, max_size=5)
SIDES = st.tuples(*[TEXTS] * 4).map(lambda texts: dict(zip(("train", "made", "dev", "test"), texts, strict=True)))


def search(sides: Mapping[str, Sequence[str]], *, judged: Sequence[str] = JUDGED) -> dict[str, Shared]:
    with TemporaryDirectory() as folder:
        found = Search(Path(folder), list(sides), judged=judged)
        for side, texts in sides.items():
            found.add(side, texts)
        shared = found.settle()
        found.close()
    return shared


def rows(shared: Shared) -> set[tuple[str, str, int]]:
    """Who shares with whom: the other side, the judged side, the row there."""
    return {(other, of, row) for other, found in shared.items() for of, row in found}


def runs(text: str) -> set[tuple[str, ...]]:
    """The runs of thirteen words by another way: words themselves, found by a pattern of what they are."""
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).casefold())
    return {tuple(words[start : start + 13]) for start in range(len(words) - 12)}


def by_hand(sides: Mapping[str, Sequence[str]], shares: object) -> set[tuple[str, str, int]]:
    """Every pair of texts compared."""
    names, found = list(sides), set()
    for of in JUDGED:
        for other in names[: names.index(of)]:
            for row, text in enumerate(sides[of]):
                if any(shares(text, one) for one in sides[other]):  # type: ignore[operator]
                    found.add((other, of, row))
    return found


@given(SIDES)
@settings(max_examples=50, deadline=None)
def test_runs_of_words_are_those_that_comparing_all_words_finds(sides: Mapping[str, Sequence[str]]) -> None:
    assert rows(search(sides)[GRAMS]) == by_hand(sides, lambda one, other: bool(runs(one) & runs(other)))


@given(SIDES)
@settings(max_examples=30, deadline=None)
def test_equal_texts_are_those_that_are_equal(sides: Mapping[str, Sequence[str]]) -> None:
    shared = search(sides)
    assert rows(shared[EXACT]) == by_hand(sides, lambda one, other: one.casefold() == other.casefold())
    assert rows(shared[EXACT]) <= rows(shared[NEAR])


@given(SIDES)
@settings(max_examples=40, deadline=None)
def test_pairs_that_are_counted_are_those_of_telling_every_row_and_change_nothing_else(
    sides: Mapping[str, Sequence[str]],
) -> None:
    with TemporaryDirectory() as folder:
        found = Search(Path(folder), list(sides), judged=("test",), counted=[("made", "train"), ("dev", "train")])
        for side, texts in sides.items():
            found.add(side, texts)
        shared, counts = found.settle(), found.counts()
        found.close()
    assert shared == search(sides, judged=("test",))
    by_row = {method: rows(one) for method, one in search(sides, judged=("made", "dev", "test")).items()}
    for of in ("made", "dev"):
        told = {
            method: {row for other, own, row in one if (other, own) == ("train", of)} for method, one in by_row.items()
        }
        assert counts[of, "train"] == {**{method: len(one) for method, one in told.items()},
                                       "any": len(set().union(*told.values()))}  # fmt: skip


def test_near_twins_of_a_counted_pair_are_verified_and_those_of_judged_rows(tmp_path: Path) -> None:
    train = sentences(160, seed=6)
    other = [*worn(train[:120], share=0.06, seed=7), *sentences(40, seed=8)]
    found = Search(tmp_path, ["teacher", "train", "test"], judged=("test",), counted=[("train", "teacher")])
    for side, texts in (("teacher", other), ("train", train), ("test", train)):
        found.add(side, texts)
    shared = found.settle()
    found.close()
    twins = {row for of, row in shared[NEAR]["teacher"] if of == "test"}
    assert found.counts()["train", "teacher"][NEAR] == len(twins) > 30


@given(st.lists(st.text(max_size=80), max_size=6))
@settings(max_examples=60, deadline=None)
def test_words_of_any_text_are_counted(texts: list[str]) -> None:
    hashed, owners, counts = grams.hashes([grams.plain(text) for text in texts])
    assert len(hashed) == len(owners) == sum(max(0, count - 12) for count in counts.tolist())


def test_a_run_does_not_depend_on_what_stands_before_and_behind() -> None:
    own = " ".join(sentences(3, seed=4))
    alone = grams.hashes([own])[0]
    among, owners, _ = grams.hashes(["a few words", own, "", own])
    assert (among[owners == 1] == alone).all()
    assert (among[owners == 3] == alone).all()
    assert len(set(alone.tolist())) == len(alone)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The  cat\tsat.", "the cat sat."),
        ("ﬁne ＴＥＸＴ", "fine text"),
        ("STRASSE", "straße"),
        ("e\u0301tude", "\u00e9tude"),
    ],
)
def test_forms_case_and_blanks_make_no_difference(one: str, other: str) -> None:
    assert rows(search({"train": [one], "dev": [], "test": [other]})[EXACT]) == {("train", "test", 0)}


def test_near_twins_are_those_of_all_pairs() -> None:
    train = sentences(160, seed=6)
    test = [*worn(train[:120], share=0.06, seed=7), *sentences(40, seed=8)]
    truth = np.array([max(true_jaccard(text, other) for other in train) for text in test])
    found = np.zeros(len(test), dtype=bool)
    found[[row for _, _, row in rows(search({"train": train, "dev": [], "test": test})[NEAR])]] = True
    assert not (found & (truth < duplicates.JACCARD)).any(), "each candidate is verified"
    assert (truth >= duplicates.JACCARD).sum() > 30
    assert found[truth > 0.85].all()
    assert found[truth >= duplicates.JACCARD].mean() > 0.97


def test_nothing_is_found_where_nothing_is_shared() -> None:
    texts = sentences(900, seed=11)
    shared = search({"train": texts[:500], "dev": texts[500:700], "test": texts[700:]})
    assert {method: rows(found) for method, found in shared.items()} == {method: set() for method in METHODS}


def test_a_planted_passage_is_found_by_its_words_alone() -> None:
    texts = sentences(440, seed=12)
    passages = [" ".join(f"w{row}x{place}" for place in range(13)) for row in range(20)]
    test = [f"{text} — {passages[row].upper()}!" if row < 20 else text for row, text in enumerate(texts[:200])]
    train = [f"({passages[row]}), {text}" if row < 20 else text for row, text in enumerate(texts[200:])]
    shared = search({"train": train, "dev": [], "test": test})
    assert shared[GRAMS]["train"] == {("test", row): row for row in range(20)}
    assert not rows(shared[EXACT]) | rows(shared[NEAR])
    cut = [text.replace("x12", "y12").replace("X12", "Y12") for text in train]
    assert not rows(search({"train": cut, "dev": [], "test": test})[GRAMS]), "twelve words are no thirteen"


def test_a_phrase_of_the_whole_side_is_no_rows_own() -> None:
    footer = " ".join(f"footer{place}" for place in range(15))
    own = sentences(2 * PHRASE + 2, seed=13)
    for count, seen in ((PHRASE, PHRASE), (PHRASE + 1, 0)):
        test = [f"{text} {footer}" for text in own[:count]]
        shared = search({"train": [f"{own[-1]} {footer}"], "dev": [], "test": test})
        assert len(rows(shared[GRAMS])) == seen
    many = [f"{text} {footer}" for text in own[1:]]
    shared = search({"train": many, "dev": [], "test": [f"{own[0]} {footer}"]})
    assert len(rows(shared[GRAMS])) == 1, "what one test row has stays its own, however often it was learned"


def test_tags_and_addresses_are_no_words() -> None:
    link = (
        '&lt;A HREF="http://www.example.org/full/quote/of/a/share/by/its/name?ticker=S.N" target=/a/b/c&gt;S&lt;/A&gt;'
    )
    shared = search({"train": [f"one thing {link}"], "dev": [], "test": [f"some other matter {link}"]})
    assert not rows(shared[GRAMS])
    assert grams.words(grams.plain("1 < 2 and 3 > 2, see www.example.org/a b")) == "1 2 and 3 2 see b"


def test_much_text_goes_by_way_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_SPILL_BYTES", 1 << 10)
    texts = sentences(300, seed=14)
    sides = {"train": texts[:200], "dev": texts[190:210], "test": [*texts[:5], *texts[210:]]}
    spilled = search(sides)
    monkeypatch.undo()
    assert spilled == search(sides)
    assert rows(spilled[EXACT]) == {("train", "dev", row) for row in range(10)} | {
        ("train", "test", r) for r in range(5)
    }


def test_a_lone_surrogate_is_no_reason_to_stop() -> None:
    assert rows(search({"train": ["half \ud800 a word"], "dev": [], "test": ["half ? a word"]})[EXACT])


def test_what_a_result_depends_on_is_recorded() -> None:
    assert overlap.SETTINGS["words"] == grams.WORDS == 13
    assert overlap.SETTINGS["shingle"] == minhash.SHINGLE


@pytest.mark.slow
@pytest.mark.skipif(not NEWS.is_dir(), reason="the news are not here")
def test_real_news_share_what_was_read_and_found_to_be_shared() -> None:
    """The counts of docs/stages/evaluate.md; 4 of the 211 were found to share no more than a phrase."""
    with gzip.open(NEWS / "train_sample_10k.tsv.gz", "rt", encoding="utf-8") as file:
        train = [line.split("\t")[0] for line in file.read().splitlines()]
    with gzip.open(NEWS / "test.csv.gz", "rt", encoding="utf-8", newline="") as file:
        test = [row[2] for row in csv.reader(file)]
    shared = search({"train": train, "dev": [], "test": test})
    assert [len(rows(shared[method])) for method in METHODS] == [9, 211, 82]
