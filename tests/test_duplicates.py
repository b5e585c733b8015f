"""The search for equal and nearly equal texts, against independent references: all pairs, and datasketch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom import duplicates, minhash
from stillroom.duplicates import PRECEDENCE, Exact, Near
from tests.corpora.examples import sentences


def worn(texts: list[str], *, share: float, seed: int) -> list[str]:
    """The same texts with some of their words replaced."""
    rng = np.random.default_rng(seed)
    return [" ".join(w if rng.random() > share else f"w{rng.integers(999)}" for w in text.split()) for text in texts]


def true_jaccard(one: str, other: str) -> float:
    sets = [{t[i : i + 5] for i in range(len(t) - 4)} for t in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def search(folder: Path, splits: Mapping[Any, list[str]]) -> duplicates.Fates:
    """The fates after a near search among texts that are all different."""
    sizes = [len(splits.get(role, [])) for role in PRECEDENCE]
    fates = Exact(folder).settle(sizes)
    near = Near(folder, fates)
    first = 0
    for role in PRECEDENCE:
        near.add(splits.get(role, []), first=first)
        first += len(splits.get(role, []))
    near.settle()
    near.close()
    return fates


@given(st.text(max_size=60), st.text(max_size=60))
def test_jaccard_of_shingles(one: str, other: str) -> None:
    one, other = minhash.normalised(one), minhash.normalised(other)
    found = minhash.jaccard(minhash.shingles(one), minhash.shingles(other))
    assert 0 <= found <= 1
    if len(one) >= 5 and len(other) >= 5:
        assert found == true_jaccard(one, other)
    elif one == other:
        assert found == 1


@given(st.lists(st.text(max_size=30), min_size=1, max_size=8))
@settings(max_examples=30)
def test_a_signature_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    texts = [minhash.normalised(text) for text in texts]
    together = minhash.signatures(texts)
    assert (together == np.concatenate([minhash.signatures([text]) for text in texts])).all()


def test_signatures_agree_as_often_as_the_sets_do() -> None:
    texts = sentences(300, seed=1)
    errors = []
    for share in (0.02, 0.1, 0.3):
        others = worn(texts, share=share, seed=2)
        agree = (minhash.signatures(texts) == minhash.signatures(others)).mean(axis=1)
        truth = np.array([true_jaccard(a, b) for a, b in zip(texts, others, strict=True)])
        errors += (agree - truth).tolist()
        # The estimate of each pair is a mean of 128 draws; over 300 pairs their standardised errors have variance 1.
        spread = (agree - truth) / np.sqrt(np.maximum(truth * (1 - truth), 1e-2) / minhash.PERMUTATIONS)
        assert np.std(spread) < 1.25
    assert abs(float(np.mean(errors))) < 0.005


def test_no_worse_than_datasketch() -> None:
    import datasketch

    texts = sentences(60, seed=3)
    others = worn(texts, share=0.1, seed=4)
    ours = (minhash.signatures(texts) == minhash.signatures(others)).mean(axis=1)
    truth, theirs = [], []
    for one, other in zip(texts, others, strict=True):
        hashes = []
        for text in (one, other):
            made = datasketch.MinHash(num_perm=128, seed=5)
            made.update_batch([shingle.encode() for shingle in minhash.shingles(text)])
            hashes.append(made)
        truth.append(true_jaccard(one, other))
        theirs.append(hashes[0].jaccard(hashes[1]))

    def off(values: object) -> float:
        return float(np.sqrt(np.mean((np.asarray(values) - truth) ** 2)))

    assert off(ours) < 1.3 * off(theirs)


@pytest.mark.slow
def test_finds_the_near_twins_that_all_pairs_find(tmp_path: Path) -> None:
    train = sentences(400, seed=6)
    test = worn(train[:200], share=0.06, seed=7)
    truth = np.array([max(true_jaccard(text, other) for other in test) for text in train])
    fates = search(tmp_path, {"test": test, "train": train})
    dropped = fates.cause[len(test) :] == 1 + PRECEDENCE.index("test")
    assert not fates.cause[: len(test)].any(), "no test row is ever dropped"
    assert not (dropped & (truth < duplicates.JACCARD)).any(), "each candidate is verified"
    twins = truth >= duplicates.JACCARD
    assert twins.sum() > 60
    assert dropped[twins].mean() > 0.98
    assert dropped[truth > 0.85].all()


def test_precedence(tmp_path: Path) -> None:
    text = sentences(1)[0] + " and some more words behind them all"
    splits = {role: [f"{text}{mark}"] for role, mark in zip(PRECEDENCE, "abcde", strict=True)}
    rank = {role: 1 + place for place, role in enumerate(PRECEDENCE)}
    assert search(tmp_path / "0", splits).cause.tolist() == [0, 0, rank["test"], rank["test"], rank["test"]]
    del splits["test"]
    assert search(tmp_path / "1", splits).cause.tolist() == [0, rank["outside"], rank["outside"], rank["outside"]]
    del splits["outside"]
    assert search(tmp_path / "2", splits).cause.tolist() == [0, rank["dev"], rank["dev"]]
    del splits["dev"]
    fates = search(tmp_path / "3", splits)
    assert fates.cause.tolist() == [0, 0], "what is near to train may still be learned from"
    twice = search(tmp_path / "4", {"test": [f"{text}a", f"{text}b"]})
    assert (twice.cause.tolist(), twice.near.tolist()) == ([0, 0], [False, True])


def test_crowded_buckets_stay_linear_and_are_told(tmp_path: Path) -> None:
    alike = [f"the order that you placed with us under number {n} has left our house" for n in range(400, 600)]
    fates = search(tmp_path, {"test": alike[:100], "train": alike[100:]})
    assert fates.cause[100:].all(), "near to the first of the test, if not to all"
    assert not fates.cause[:100].any()
    assert fates.crowded > 0


def test_spilling_to_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = sentences(300, seed=8)
    splits = {"test": worn(train[:150], share=0.05, seed=9), "train": train}
    held = search(tmp_path / "held", splits)
    monkeypatch.setattr(duplicates, "_SPILL_BYTES", 2000)
    spilled = search(tmp_path / "spilled", splits)
    assert spilled.cause.any()
    assert (held.cause == spilled.cause).all()
    assert (held.near == spilled.near).all()
    assert not list((tmp_path / "spilled").rglob("*.records"))


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(-1, 2)),
        max_size=40,
    )
)
@settings(max_examples=60)
def test_equal_texts_against_a_plain_search(
    tmp_path_factory: pytest.TempPathFactory, found: list[tuple[int, int, int]]
) -> None:
    """Rows of (rank of the split, text, label), in the order of precedence, against dictionaries."""
    rows = sorted(found, key=lambda row: row[0])
    exact = Exact(tmp_path_factory.getbasetemp())
    sizes = [sum(rank == other for other, _, _ in rows) for rank in range(5)]
    for rank in range(5):
        own = [(text, label) for other, text, label in rows if other == rank]
        hashes = b"".join((1000 - text).to_bytes(16, "big") for text, _ in own)
        exact.add(hashes, rank=rank, first=0, labels=[label for _, label in own])
    fates = exact.settle(sizes)
    first: dict[int, int] = {}
    seen: dict[int, int] = {}
    labels: dict[int, set[int]] = {}
    for number, (rank, text, label) in enumerate(rows):
        seen[text] = seen.get(text, 0) + 1
        expected = 0 if text not in first or rank < 2 else 1 + first[text]
        assert fates.cause[number] == expected
        assert fates.repeats.get(number, 1) == (seen[text] if rank < 2 else 1)
        first.setdefault(text, rank)
        if label >= 0:
            labels.setdefault(text, set()).add(label)
    assert fates.conflicts == sum(len(several) > 1 for several in labels.values())
