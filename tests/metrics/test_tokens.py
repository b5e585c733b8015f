"""What is said of tokens, by hand and beside other libraries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import entropy
from sklearn.metrics import accuracy_score

from stillroom.core import objects, plugins, scored
from stillroom.core.scored import Scored
from stillroom.metrics import Metric
from stillroom.metrics._tokens import EDGES, Told, divergence, percentile


def logits(seed: int, tokens: int = 40, vocabulary: int = 50) -> Any:
    return np.random.default_rng(seed).normal(size=(tokens, vocabulary)) * 2


def spoken(table: Any, tokens: Any, *, kept: int = 8, counts: tuple[int, ...] = (25, 15), texts: Any = None) -> Scored:
    ends = np.concatenate([np.arange(1, count + 1) for count in counts])
    places = np.stack([3 * (ends - 1), 3 * ends], axis=1).astype(np.int32)
    written = objects.array(texts or [""] * len(counts))
    values = scored.of_logits(table, tokens, kept=kept)
    return Scored(values, places, np.array(counts), np.zeros(len(counts), np.int64), written)


def scene(kept: int = 8) -> tuple[Told, Any, Any, Any]:
    tokens = np.random.default_rng(9).integers(0, 50, 40)
    own, its = logits(1), logits(1) + 0.5 * logits(2)
    return Told.of(spoken(own, tokens, kept=kept), spoken(its, tokens, kept=kept)), own, its, tokens


def score(kind: str, answers: Told) -> float:
    return float(plugins.build("metrics", kind).score(answers))


def test_perplexity_and_bits_are_the_loss_of_torch() -> None:
    import torch

    answers, own, _, tokens = scene()
    loss = float(torch.nn.functional.cross_entropy(torch.tensor(own), torch.tensor(tokens)))
    assert score("perplexity", answers) == pytest.approx(math.exp(loss), rel=1e-5)
    assert score("bits_per_byte", answers) == pytest.approx(loss / 3 / math.log(2), rel=1e-5)
    assert score("byte_probability", answers) == pytest.approx(math.exp(-loss / 3), rel=1e-5)


def test_a_divergence_of_all_tokens_is_that_of_scipy() -> None:
    answers, own, its, _ = scene(kept=50)
    exact = entropy(np.exp(log_softmax(its, axis=1)), np.exp(log_softmax(own, axis=1)), axis=1)
    np.testing.assert_allclose(answers.apart, exact, rtol=1e-3, atol=1e-5)
    assert score("kl_mean", answers) == pytest.approx(exact.mean(), rel=1e-3)
    for at in (50, 95):
        wanted = np.percentile(exact, at, method="inverted_cdf")
        assert score(f"kl_p{at}", answers) == pytest.approx(wanted, rel=0.07)


@pytest.mark.parametrize(("kept", "off"), [(8, 0.4), (16, 0.2), (32, 0.1)])
def test_of_few_likeliest_tokens_it_is_near_that_of_all(kept: int, off: float) -> None:
    answers, own, its, _ = scene(kept=kept)
    exact = entropy(np.exp(log_softmax(its, axis=1)), np.exp(log_softmax(own, axis=1)), axis=1)
    assert score("kl_mean", answers) == pytest.approx(exact.mean(), rel=off)


def test_who_is_sure_of_something_else_is_far_off() -> None:
    one, other = np.full((3, 50), -5.0), np.full((3, 50), -5.0)
    one[:, :4], other[:, 10:14] = 5.0, 5.0
    tokens = np.zeros(3, dtype=np.int64)
    apart = divergence(*(scored.of_logits(side, tokens, kept=4) for side in (one, other)))
    assert (apart > 4).all()


@given(seed=st.integers(0, 2**32 - 1), kept=st.integers(1, 12))
def test_a_divergence_is_zero_at_equality_and_never_below(seed: int, kept: int) -> None:
    one, other = logits(seed, tokens=6, vocabulary=12), logits(seed + 1, tokens=6, vocabulary=12)
    tokens = np.zeros(6, dtype=np.int64)
    sides = [scored.of_logits(side, tokens, kept=kept) for side in (one, other)]
    assert (divergence(*sides) >= 0).all()
    np.testing.assert_allclose(divergence(sides[0], sides[0]), 0, atol=1e-12)


def test_lines_tell_of_the_likeliest_and_of_all_others_together() -> None:
    table, tokens = logits(3), np.arange(40)
    values = scored.of_logits(table, tokens, kept=5)
    said = Scored(values, np.zeros((40, 2), np.int32), np.array([40]), np.array([0]), objects.array([""]))
    exact = log_softmax(table, axis=1)
    np.testing.assert_allclose(said.own, exact[np.arange(40), tokens], atol=1e-5)
    np.testing.assert_array_equal(said.ids, np.argsort(-table, axis=1)[:, :5])
    np.testing.assert_allclose(np.exp(said.likeliest).sum(axis=1), 1, atol=1e-6)
    assert said.tokens.tolist() == tokens.tolist()
    certain = scored.of_logits(np.eye(4) * 200, np.arange(4), kept=6)
    assert np.isfinite(certain).all()
    assert certain[0, 1] == pytest.approx(0)


def test_the_same_next_token_is_counted_as_sklearn_counts() -> None:
    answers, own, its, _ = scene()
    assert score("next_token", answers) == pytest.approx(accuracy_score(its.argmax(axis=1), own.argmax(axis=1)))
    assert answers.agrees.tolist() == [(own.argmax(1) == its.argmax(1))[24], (own.argmax(1) == its.argmax(1))[39]]


def cut_at(values: Any, ends: list[int]) -> Scored:
    places = np.stack([[0, *ends[:-1]], ends], axis=1).astype(np.int32)
    return Scored(values, places, np.array([len(ends)]), np.array([0]), objects.array([""]))


def test_texts_cut_otherwise_are_laid_beside_each_other_where_tokens_begin_at_the_same_byte() -> None:
    tokens = np.arange(4)
    own, its = (scored.of_logits(logits(seed, tokens=4), tokens, kept=8) for seed in (1, 2))
    # Both begin a token at bytes 0 and 6; at 9 the teacher has read all that it was given.
    answers = Told.of(cut_at(own, [3, 6, 8, 12]), cut_at(its[:3], [1, 6, 9]))
    assert [one.tolist() for one in answers.both] == [[0, 2], [0, 2]]
    assert score("kl_mean", answers) == pytest.approx(divergence(its[[0, 2]], own[[0, 2]]).mean())
    same = np.mean([own[0, 11] == its[0, 11], own[2, 11] == its[2, 11]])
    assert score("next_token", answers) == same
    spread: Any = plugins.build("metrics", "kl_p50")
    assert spread.rows(answers).sum() == 2


def test_of_who_tells_of_no_token_no_divergence_is_measured() -> None:
    """Bytes that are told one by one, of which nobody says what else could have come."""
    values = np.full((4, 19), scored.LEAST, dtype=np.float32)
    values[:, 9] = 0.0
    its = scored.of_logits(logits(2, tokens=4), np.arange(4), kept=8)
    answers = Told.of(cut_at(values, [1, 2, 3, 4]), cut_at(its, [1, 2, 3, 4]))
    assert plugins.build("metrics", "kl_mean").counted(answers).tolist() == []
    assert math.isnan(score("kl_mean", answers))
    assert math.isnan(score("next_token", answers))


def test_what_is_written_does_not_count_as_read() -> None:
    said = scene()[0].said
    longer = Scored(said.values, said.places, said.counts, np.array([5, 0]), said.texts)
    read = Told.of(longer, longer)
    assert read.said.counts.tolist() == [20, 15]
    assert read.nats[0] == pytest.approx(-said.own[:20].sum(), rel=1e-6)
    assert read.sizes.tolist() == [60, 45]


def test_repetition_by_hand() -> None:
    written = ["so it goes so it goes so it goes", "a b", "one two three four"]
    tokens = np.zeros(9, dtype=np.int64)
    said = spoken(logits(4, tokens=9), tokens, counts=(3, 3, 3), texts=written)
    answers = Told.of(said, said)
    metric: Any = plugins.build("metrics", "repetition")
    assert metric.counted(answers).tolist() == [0, 2]
    # Runs: so-it-goes, it-goes-so, goes-so-it, so-it-goes, it-goes-so, goes-so-it, so-it-goes: four were there before.
    assert metric.rows(answers).tolist() == [[4, 7], [0, 2]]
    assert metric.score(answers) == pytest.approx(4 / 9)


def test_percentiles_of_counts() -> None:
    counts = np.zeros((3, len(EDGES)))
    counts[0, 0], counts[1, 100], counts[2, 0], counts[2, 100] = 5, 5, 9, 1
    assert percentile(counts, 0.5).tolist() == [0.0, pytest.approx((EDGES[100] + EDGES[101]) / 2), 0.0]
    assert EDGES[100] <= percentile(counts[2], 0.95) <= EDGES[101]
    assert math.isnan(percentile(np.zeros(len(EDGES)), 0.5))


def test_who_reads_more_of_a_long_text_than_the_teacher_is_as_perplexed() -> None:
    """A teacher of twenty tokens, and one who goes on for as many again, as sure of each: the same perplexity."""
    table, tokens = logits(1), np.random.default_rng(9).integers(0, 50, 40)
    table[20:], tokens[20:] = table[:20], tokens[:20]
    long = spoken(table, tokens, counts=(40,))
    short = spoken(table[:20], tokens[:20], counts=(20,))
    assert score("perplexity", Told.of(long, short)) == pytest.approx(score("perplexity", Told.of(short, short)))


def silent(texts: Any) -> Scored:
    return scored.unscored(objects.array(texts), np.array([True] * len(texts)), kept=8)


def test_of_a_teacher_that_only_writes_nothing_is_made_up() -> None:
    """It is judged by what it wrote; the student also by its own tokens, and by nothing that needs the teacher's."""
    tokens = np.random.default_rng(9).integers(0, 50, 40)
    said, teacher = spoken(logits(1), tokens, texts=["to Oslo", "home"]), silent(["to Oslo", "away"])
    references = objects.array([("To Oslo",), ("home",)])
    student, its = Told.of(said, teacher, references), Told.of(teacher, teacher, references)
    for kind in ("byte_probability", "bits_per_byte"):
        metric: Metric = plugins.build("metrics", kind)
        assert metric.unsaid(student, who="student") == ""
        assert metric.unsaid(its, who="teacher") == "the teacher does not say how probable tokens are"
    for kind in ("kl_mean", "kl_p50", "kl_p95", "next_token", "perplexity"):
        metric = plugins.build("metrics", kind)
        assert metric.unsaid(student, who="student") == "the teacher does not say how probable tokens are"
    for kind in ("exact_match", "chrf", "rouge_l", "repetition"):
        metric = plugins.build("metrics", kind)
        assert metric.unsaid(student, who="student") == metric.unsaid(its, who="teacher") == ""
    part = its.part("texts")
    assert part is not None
    assert plugins.build("metrics", "exact_match").score(part[0]) == 0.5
    assert student.agrees is None
    assert set(its.told()) == {"text"}
    assert set(student.told()) == {"text", "nats", "bytes"}


def test_what_is_written_is_judged_where_there_are_references() -> None:
    tokens = np.random.default_rng(9).integers(0, 50, 40)
    said = spoken(logits(1), tokens, texts=["to Oslo", "home"])
    teacher = spoken(logits(2), tokens, texts=["to Rome", "away"])
    nobody, one = (Told.of(said, teacher, objects.array(some)) for some in ([(), ()], [(), ("Home!", "back")]))
    assert nobody.part("texts") is None
    assert nobody.part("tokens") == (nobody, None)
    assert "text" not in nobody.told()
    found = one.part("texts")
    assert found is not None
    part, rows = found
    assert rows is not None
    assert rows.tolist() == [1]
    metric: Metric = plugins.build("metrics", "exact_match")
    assert metric.score(part) == 1.0
    assert one.told()["text"].to_pylist() == [None, "home"]
    assert one.told_gold().to_pylist() == [None, ["Home!", "back"]]
    beside = Told.of(
        said, teacher, objects.array([("To Oslo",), ("Home",)]), sources=["Off to Rome.", "They went home."]
    )
    for kind, expected in {"unfounded": 0.5, "copied": 2 / 3}.items():
        told = beside.part("texts")
        assert told is not None
        assert plugins.build("metrics", kind).score(told[0]) == expected, "Oslo is nowhere in the prompt"
    turned = beside.take(np.array([1, 0])).part("texts")
    assert turned is not None
    assert turned[0].sources.tolist() == ["They went home.", "Off to Rome."]
    turned = one.take(np.array([1, 0])).part("texts")
    assert turned is not None
    assert turned[1] is not None
    assert turned[1].tolist() == [0]
