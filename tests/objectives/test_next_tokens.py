"""Objectives of logits over the likeliest tokens and one bucket of the others, beside those over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from stillroom.core import plugins, scored
from stillroom.objectives import PEER, Target

VOCABULARY, LENGTH = 9, 5
FORM: Any = plugins.build("shapes", "causal")
KINDS = ("forward_kl", "reverse_kl", "jensen_shannon")


def drawn(seed: int, *, scale: float = 2.0) -> Any:
    return np.random.default_rng(seed).normal(size=(2, LENGTH, VOCABULARY)) * scale


def loss(kind: str, student: Any, teacher: Any, *, kept: int, mask: Any = None, half: bool = False) -> float:
    """What an objective makes of logits over the vocabulary, the teacher's kept as a transfer set keeps them."""
    tokens = np.arange(2 * LENGTH) % VOCABULARY
    lines = scored.of_logits(teacher.reshape(-1, VOCABULARY), tokens, kept=kept)
    if half:
        lines[:, : kept + 2] = lines[:, : kept + 2].astype(np.float16)
    told = torch.from_numpy(lines.reshape(2, LENGTH, -1)).double()
    said, told_ = FORM.opposed({FORM.answer: torch.from_numpy(student)}, {FORM.answer: told})
    counted = torch.ones((2, LENGTH), dtype=torch.bool) if mask is None else torch.from_numpy(mask)
    target = Target(told_, torch.full((2, LENGTH), -1), counted)
    return float(plugins.build("objectives", {"kind": kind, "temperature": 1.0}).loss(said, target))


def whole(kind: str, student: Any, teacher: Any) -> float:
    """The same over the whole vocabulary, in numpy."""
    q, p = log_softmax(student, axis=-1), log_softmax(teacher, axis=-1)
    m = np.logaddexp(p, q) - np.log(2)
    parts = {
        "forward_kl": np.exp(p) * (p - q),
        "reverse_kl": np.exp(q) * (q - p),
        "jensen_shannon": 0.5 * np.exp(p) * (p - m) + 0.5 * np.exp(q) * (q - m),
    }
    return float(parts[kind].sum(axis=-1).mean())


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), kept=st.integers(1, VOCABULARY - 1))
def test_it_is_never_below_zero_nor_above_that_of_the_whole_vocabulary(kind: str, seed: int, kept: int) -> None:
    """Taking outcomes together brings two distributions no farther apart (the data processing inequality)."""
    student, teacher = drawn(seed), drawn(seed + 1)
    assert -1e-6 <= loss(kind, student, teacher, kept=kept) <= whole(kind, student, teacher) + 1e-5


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), kept=st.integers(1, VOCABULARY - 1), half=st.booleans())
def test_it_is_zero_at_equality(kind: str, seed: int, kept: int, half: bool) -> None:
    """As far as half precision goes: a thousandth of a log-probability, squared."""
    same = drawn(seed)
    assert abs(loss(kind, same, same, kept=kept, half=half)) < (1e-4 if half else 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_with_all_tokens_but_one_it_is_that_of_the_whole_vocabulary(kind: str) -> None:
    student, teacher = drawn(1), drawn(2)
    expected = whole(kind, student, teacher)
    assert loss(kind, student, teacher, kept=VOCABULARY - 1) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 10**6), length=st.integers(1, LENGTH - 1))
def test_what_stands_behind_a_text_never_counts(kind: str, seed: int, length: int) -> None:
    student, teacher = drawn(seed), drawn(seed + 1)
    mask = np.arange(LENGTH)[None] < np.array([[LENGTH], [length]])
    other, told = student.copy(), teacher.copy()
    other[~mask], told[~mask] = 90.0, -90.0 * np.arange(VOCABULARY)
    before, after = (loss(kind, *both, kept=4, mask=mask) for both in ((student, teacher), (other, told)))
    assert after == pytest.approx(before, rel=1e-9)


def test_a_peer_is_heard_over_the_same_tokens() -> None:
    student, other, teacher = drawn(1), drawn(2), drawn(3)
    told = torch.from_numpy(scored.of_logits(teacher.reshape(-1, VOCABULARY), np.zeros(2 * LENGTH, int), kept=4))
    found = []
    for peer in (student, other):
        signals = {FORM.answer: told.reshape(2, LENGTH, -1).double(), PEER: torch.from_numpy(peer)}
        said, signals = FORM.opposed({FORM.answer: torch.from_numpy(student)}, signals)
        target = Target(signals, torch.full((2, LENGTH), -1), torch.ones((2, LENGTH), dtype=torch.bool))
        found.append(float(plugins.build("objectives", "mutual").loss(said, target)))
    assert found[0] == pytest.approx(0, abs=1e-9)
    assert found[1] > 0.1
