"""Tags of words: against all paths there are, against seqeval, and from one tokenizer to another."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from seqeval.metrics.sequence_labeling import get_entities

from stillroom.core import tagging
from stillroom.core.probabilities import log_softmax, softmax
from stillroom.core.tagging import Span, Tagged

LABELS = ("person", "place")
TAGS = tagging.tags(LABELS)


def places(*words: str) -> NDArray[np.int32]:
    """Words one blank apart."""
    starts = np.concatenate([[0], np.cumsum([len(word) + 1 for word in words])[:-1]])
    return np.array([(start, start + len(word)) for start, word in zip(starts, words, strict=True)], dtype=np.int32)


def said(counts: list[int], *, seed: int, tags: int = len(TAGS), scale: float = 2.0) -> Tagged:
    """Logits by chance on words of three characters."""
    rng = np.random.default_rng(seed)
    words = np.concatenate([np.zeros((0, 2), np.int32), *(places(*["abc"] * one) for one in counts if one)])
    values = rng.normal(size=(sum(counts), tags)).astype(np.float32) * scale
    return Tagged(values, words.astype(np.int32), np.array(counts, dtype=np.int64))


def sensible(path: tuple[int, ...]) -> bool:
    return all(tag % 2 or not tag or before in (tag, tag - 1) for before, tag in pairwise((0, *path)))


def test_tags_stand_in_the_order_of_labels() -> None:
    assert TAGS == ("O", "B-person", "I-person", "B-place", "I-place")


@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_the_best_path_is_the_best_of_all_that_make_sense(seed: int, length: int) -> None:
    one = said([length], seed=seed)
    scores = log_softmax(one.values)
    every = [path for path in product(range(len(TAGS)), repeat=length) if sensible(path)]
    best = max(every, key=lambda path: sum(scores[place, tag] for place, tag in enumerate(path)))
    assert tuple(tagging.best(one.values, one.counts).tolist()) == best


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 9), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_texts_are_read_alone(seed: int, counts: list[int]) -> None:
    whole = said(counts, seed=seed, tags=7)
    together = tagging.best(whole.values, whole.counts)
    alone = [tagging.best(one.values, one.counts)
             for one in (whole.take(np.array([row])) for row in range(len(counts)))]  # fmt: skip
    assert together.tolist() == np.concatenate(alone).tolist()
    assert all(sensible(tuple(one.tolist())) for one in alone)


def test_many_long_texts_are_read_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = said([1 + number % 23 for number in range(300)], seed=4)
    expected = tagging.best(whole.values, whole.counts)
    monkeypatch.setattr(tagging, "_AT_ONCE", 7)
    assert tagging.best(whole.values, whole.counts).tolist() == expected.tolist()


@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 12), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_spans_of_sensible_tags_are_those_of_seqeval(seed: int, counts: list[int]) -> None:
    whole = said(counts, seed=seed)
    found = tagging.best(whole.values, whole.counts)
    for row, some in enumerate(tagging.spans(found, whole.words, whole.counts, LABELS)):
        first, last = whole.starts[row : row + 2].tolist()
        words = whole.words[first:last]
        expected = get_entities([TAGS[tag] for tag in found[first:last].tolist()])
        assert some == tuple(Span(int(words[a, 0]), int(words[b, 1]), label) for label, a, b in expected)
        # And laid on the words again, they are the tags that they were.
        assert tagging.on_words([some], words, np.array([last - first]), LABELS).tolist() == found[first:last].tolist()


def test_a_word_is_in_the_span_that_it_shares_a_character_with() -> None:
    words = places("Anna-Maria", "Lin", "of", "Oslo")
    spans = [Span(5, 14, "person"), Span(19, 22, "place")]
    assert tagging.on_words([spans], words, np.array([4]), LABELS).tolist() == [1, 2, 0, 3]
    # Two spans in one word: the first has it, and the second, with no word left, is lost.
    both = [Span(0, 4, "person"), Span(5, 10, "place")]
    assert tagging.on_words([both], words, np.array([4]), LABELS).tolist() == [1, 0, 0, 0]


def test_a_span_is_as_sure_as_its_least_sure_word() -> None:
    values = np.log([[0.1, 0.6, 0.2, 0.05, 0.05], [0.3, 0.1, 0.5, 0.05, 0.05]]).astype(np.float32)
    (found,) = tagging.read(Tagged(values, places("Anna", "Lin"), np.array([2])), LABELS)
    assert found == [(Span(0, 8, "person"), pytest.approx(0.6, rel=1e-5))]


class TestOnOtherWords:
    def test_equal_words_say_the_same(self) -> None:
        one = said([3, 0, 5], seed=1)
        values, known = tagging.project(one, one.words, one.counts)
        assert known.all()
        np.testing.assert_allclose(values, log_softmax(one.values), rtol=1e-5)

    def test_a_word_in_pieces_is_one_span(self) -> None:
        """Whoever reads `Anna-Maria` as three words begins the span with the first and goes on with the others."""
        whole = Tagged(sure("B-person", "O"), places("Anna-Maria", "came"), np.array([2]))
        pieces = np.array([[0, 4], [4, 5], [5, 10], [11, 15]], dtype=np.int32)
        values, known = tagging.project(whole, pieces, np.array([4]))
        assert known.all()
        assert named(values) == ["B-person", "I-person", "I-person", "O"]
        np.testing.assert_allclose(softmax(values).sum(axis=1), 1.0)

    def test_pieces_together_are_one_word(self) -> None:
        pieces = np.array([[0, 4], [4, 5], [5, 10], [11, 15]], dtype=np.int32)
        parts = Tagged(sure("B-person", "I-person", "I-person", "O"), pieces, np.array([4]))
        values, known = tagging.project(parts, places("Anna-Maria", "came"), np.array([2]))
        assert known.all()
        assert named(values) == ["B-person", "O"]

    def test_words_that_cross_lose_no_span(self) -> None:
        theirs = np.array([[0, 1], [1, 3], [3, 4]], dtype=np.int32)
        ours = np.array([[0, 2], [2, 4]], dtype=np.int32)
        values, _ = tagging.project(Tagged(sure("O", "B-place", "I-place"), theirs, np.array([3])), ours, np.array([2]))
        assert named(values) == ["O", "B-place"]

    def test_of_what_nobody_spoke_nothing_is_known(self) -> None:
        cut = Tagged(sure("B-place"), places("Oslo"), np.array([1]))
        _, known = tagging.project(cut, places("Oslo", "again"), np.array([2]))
        assert known.tolist() == [True, False]
        _, none = tagging.project(said([0], seed=0), places("Oslo"), np.array([1]))
        assert none.tolist() == [False]

    @given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 6), min_size=1, max_size=6))
    @settings(max_examples=40, deadline=None)
    def test_other_texts_say_nothing(self, seed: int, counts: list[int]) -> None:
        whole, rng = said(counts, seed=seed), np.random.default_rng(seed)
        cuts = [np.sort(rng.choice(np.arange(1, 4 * one + 1), 2 * (one // 2), replace=False)).reshape(-1, 2)
                for one in counts]  # fmt: skip
        words = np.concatenate([np.zeros((0, 2), np.int64), *cuts]).astype(np.int32)
        ours = np.array([len(one) for one in cuts], dtype=np.int64)
        values, known = tagging.project(whole, words, ours)
        start = 0
        for row, cut in enumerate(cuts):
            alone = tagging.project(whole.take(np.array([row])), cut.astype(np.int32), np.array([len(cut)]))
            np.testing.assert_array_equal(known[start : start + len(cut)], alone[1])
            np.testing.assert_allclose(values[start : start + len(cut)][alone[1]], alone[0][alone[1]])
            start += len(cut)


def sure(*tags: str) -> NDArray[np.float32]:
    return np.log(np.where(np.array(tags)[:, None] == np.array(TAGS), 0.96, 0.01)).astype(np.float32)


def named(values: NDArray[np.float32]) -> list[str]:
    return [TAGS[tag] for tag in values.argmax(axis=1).tolist()]


def test_texts_can_be_taken_and_joined() -> None:
    whole = said([2, 0, 3, 1], seed=5)
    parts = [whole.take(np.array([row])) for row in (2, 0, 3)]
    both = tagging.join(parts, tags=len(TAGS))
    again = whole.take(np.array([2, 0, 3]))
    for name in ("values", "words", "counts"):
        np.testing.assert_array_equal(getattr(both, name), getattr(again, name))
    assert len(tagging.join([], tags=3)) == 0
    assert tagging.join([], tags=3).values.shape == (0, 3)
