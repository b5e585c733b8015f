"""F1 of spans, against seqeval and nervaluate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervaluate import Evaluator
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from stillroom.core import objects, tagging
from stillroom.core.tagging import Span
from stillroom.metrics._spans import Spans
from stillroom.metrics.span_f1 import SpanF1
from stillroom.metrics.span_f1_partial import SpanF1Partial

LABELS = ("a", "b")
TAGS = tagging.tags(LABELS)


def of_tags(rows: list[list[int]]) -> list[tuple[Span, ...]]:
    counts = np.array([len(row) for row in rows], dtype=np.int64)
    words = np.concatenate([np.stack([np.arange(n) * 4, np.arange(n) * 4 + 3], axis=1) for n in counts])
    return tagging.spans(np.concatenate(rows).astype(np.int64), words.astype(np.int32), counts, LABELS)


def by_chance(rng: np.random.Generator) -> list[list[int]]:
    """Sequences that make sense."""
    rows = []
    for _ in range(12):
        row = [0]
        for _ in range(rng.integers(1, 9)):
            allowed = [0, 1, 3] + ([row[-1] + row[-1] % 2] if row[-1] else [])
            row.append(int(rng.choice(allowed)))
        rows.append(row[1:])
    return rows


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_it_is_seqevals(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold = by_chance(rng)
    said = [row if rng.random() < 0.5 else one for row, one in zip(gold, by_chance(rng), strict=True)]
    said = [(row * 9)[: len(one)] for row, one in zip(said, gold, strict=True)]
    said = [[tag if tag % 2 or not tag or (place and row[place - 1] in (tag, tag - 1)) else 0
             for place, tag in enumerate(row)] for row in said]  # fmt: skip
    found = SpanF1().score(
        Spans(objects.array(of_tags(gold)), objects.array(of_tags(said)), objects.array(of_tags(said)))
    )
    words = [[[TAGS[tag] for tag in row] for row in rows] for rows in (gold, said)]
    if any(tag for row in (*gold, *said) for tag in row):
        assert found == pytest.approx(f1_score(*words, mode="strict", scheme=IOB2, zero_division=0))
    else:
        assert np.isnan(found)


def test_a_continuation_without_a_beginning_counts_as_it_is_repaired() -> None:
    """`I-a I-a O` for `B-a I-a O`: no tags that make no sense are ever scored, and read here they are one span."""
    gold, said = (objects.array(of_tags([row])) for row in ([1, 2, 0], [2, 2, 0]))
    assert SpanF1().score(Spans(gold, said, said)) == 1.0


def test_what_only_overlaps_counts_half() -> None:
    gold = objects.array([(Span(0, 8, "a"), Span(10, 14, "b"))])
    said = objects.array([(Span(0, 4, "a"), Span(5, 8, "a"), Span(10, 14, "b"))])
    assert SpanF1().score(Spans(gold, said, said)) == pytest.approx(2 * 1 / 5)
    assert SpanF1Partial().score(Spans(gold, said, said)) == pytest.approx(2 * 1.5 / 5), "one of the two halves alone"


def test_another_label_counts_nothing() -> None:
    gold, said = objects.array([(Span(0, 8, "a"),)]), objects.array([(Span(0, 8, "b"),)])
    assert SpanF1Partial().score(Spans(gold, said, said)) == 0.0


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_with_one_label_and_spans_that_overlap_one_other_it_is_nervaluates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gold, said = [], []
    for _ in range(6):
        here = [Span(10 * at, 10 * at + 6, "a") for at in range(4) if rng.random() < 0.6]
        gold.append(tuple(here))
        moved = [Span(one.start + int(rng.integers(0, 3)), one.end, "a") for one in here if rng.random() < 0.8]
        said.append((*moved, Span(50, 54, "a")) if rng.random() < 0.3 else tuple(moved))
    if not any(gold) or not any(said):
        return
    plain = [[[{"start": s.start, "end": s.end, "label": "a"} for s in row] for row in rows] for rows in (gold, said)]
    theirs = Evaluator(*plain, tags=["a"], loader="dict").evaluate()["overall"]["partial"].f1
    assert SpanF1Partial().score(Spans(objects.array(gold), objects.array(said), objects.array(said))) == pytest.approx(
        theirs
    )


class TestSlices:
    GOLD = ((Span(0, 4, "a"), Span(5, 14, "b")), (), (Span(0, 9, "a"),))
    TEXTS = ("Oslo and Bergen", "nothing", "Anna Lind")

    def answers(self) -> Spans:
        said = objects.array([(Span(0, 4, "a"),), (Span(0, 7, "b"),), ()])
        return Spans(objects.array(self.GOLD), said, objects.array(self.GOLD), LABELS, texts=self.TEXTS, seen={"oslo"})

    def test_each_part_is_scored_alone(self) -> None:
        found = {(family, name): (rows.tolist(), SpanF1().score(narrow(self.answers()).take(rows)))
                 for family, name, rows, narrow in self.answers().parts()}  # fmt: skip
        assert found["label", "a"] == ([0, 2], pytest.approx(2 / 3))
        assert found["label", "b"] == ([0, 1], 0.0)
        assert found["span_length", "1 word"] == ([0, 1], pytest.approx(2 / 3))
        assert found["span_length", "2 words"] == ([0, 2], 0.0)
        assert found["surface", "seen in training"] == ([0], 1.0)
        assert found["surface", "new"][0] == [0, 1, 2]

    def test_a_row_is_right_with_all_its_spans(self) -> None:
        said = self.answers()
        assert said.right.tolist() == [False, False, False]
        assert said.teacher_right.tolist() == [True, True, True]
        assert said.take(np.array([2])).texts == ["Anna Lind"]
