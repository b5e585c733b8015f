"""What a small model drafts and a large one keeps: token for token, and draw for draw, what the large one writes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from stillroom.core import plugins
from stillroom.core.errors import MismatchError
from stillroom.core.probabilities import softmax
from stillroom.runtime import speculation
from stillroom.runtime.runners.onnx_causal import Graph
from stillroom.teachers.huggingface import HuggingFace
from tests.conftest import phrases

TOKENS = 4


class Table:
    """A model that tells a token by the two before it, from a table; what it remembers are the tokens."""

    def __init__(self, seed: int, *, sure: float = 1.5, tokens: str = "four") -> None:
        self.tokens = tokens
        self.logits = np.random.default_rng(seed).normal(size=(TOKENS + 1, TOKENS, TOKENS)).astype(np.float32) * sure
        self.read = 0

    @property
    def nothing(self) -> tuple[int, ...]:
        return ()

    def go_on(self, ids: Any, past: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        self.read += len(ids)
        whole = (-1, *past, *ids.tolist())
        told = [self.logits[whole[at - 1], whole[at]] for at in range(len(past) + 1, len(whole))]
        return np.stack(told), whole[1:]

    def forget(self, past: tuple[int, ...], *, kept: int) -> tuple[int, ...]:
        assert 0 < kept <= len(past)
        return past[:kept]


def alone(model: Any, ids: list[int], *, most: int) -> tuple[int, ...]:
    """The likeliest token at each step, the whole text read anew."""
    text = list(ids)
    for _ in range(most):
        text.append(int(model.go_on(np.array(text), model.nothing)[0][-1].argmax()))
    return tuple(text[len(ids) :])


@given(seed=st.integers(0, 10**6), ahead=st.integers(1, 6), most=st.integers(1, 15), begins=st.integers(1, 4))
def test_without_chance_it_writes_what_the_large_one_writes(seed: int, ahead: int, most: int, begins: int) -> None:
    draft, large = Table(seed), Table(seed + 1)
    ids = [token % TOKENS for token in range(begins)]
    found = speculation.write(draft, large, ids, most=most, ahead=ahead, rng=np.random.default_rng(0))
    assert found.tokens == alone(large, ids, most=most)
    assert found.accepted <= found.drafted
    assert found.readings + found.accepted == most


def test_by_chance_it_draws_as_the_large_one_draws() -> None:
    """The first two tokens, of 16 ways to write them, drawn 3,000 times beside the exact odds."""
    draft, large, temperature = Table(5), Table(6), 0.8
    steps = {(a, b): ((-1, 0, a), (0, a, b)) for a in range(TOKENS) for b in range(TOKENS)}
    exact = [
        np.prod([softmax(large.logits[before, last][None] / temperature)[0, token] for before, last, token in some])
        for some in steps.values()
    ]
    rng, counts = np.random.default_rng(1), Counter[tuple[int, ...]]()
    kept = 0
    for _ in range(3000):
        found = speculation.write(draft, large, [0], most=3, ahead=2, temperature=temperature, rng=rng)
        counts[found.tokens[:2]] += 1
        kept += found.accepted
    assert 0 < kept < 6000, "some guesses are kept, and some are not"
    assert chisquare([counts[key] for key in steps], 3000 * np.array(exact)).pvalue > 1e-3


def test_who_drafts_for_itself_is_always_kept() -> None:
    found = speculation.write(Table(3), Table(3), [1], most=11, ahead=4, temperature=1.0, rng=np.random.default_rng(2))
    assert found.accepted == found.drafted == 8
    assert found.readings == 3


def test_each_token_is_read_once_but_for_what_was_not_kept() -> None:
    draft, large = Table(1), Table(2)
    found = speculation.write(draft, large, [0, 1, 2], most=12, ahead=3, rng=np.random.default_rng(0))
    assert large.read == 3 + found.drafted + found.readings - 1


def test_it_stops_behind_an_end() -> None:
    large = Table(9)
    whole = alone(large, [0], most=12)
    end = whole[4]
    found = speculation.write(Table(8), large, [0], most=12, ends={end}, ahead=5, rng=np.random.default_rng(0))
    assert found.tokens == whole[: whole.index(end) + 1]


@pytest.mark.slow
def test_a_draft_of_other_tokens_is_refused() -> None:
    with pytest.raises(MismatchError, match="other tokens than the large model's"):
        speculation.write(Table(1), Table(1, tokens="other four"), [0], most=3, rng=np.random.default_rng(0))


def test_exported_models_draft_for_each_other(speaker_folder: Path, tmp_path: Path) -> None:
    task: Any = plugins.build("tasks", {"kind": "generation", "kept": 4, "writes": 12})
    graphs, read = [], None
    for layers in (1, 2):
        (folder := tmp_path / str(layers)).mkdir()
        student: Any = plugins.build("students", {"kind": "decoder", "layers": layers})
        student.study(HuggingFace(model=str(speaker_folder)).open(folder, task=task), folder)
        network = student.begin(task=task, studied=folder, texts=iter(()), seed=1)
        plugins.build("formats", "onnx_causal").write(network, folder)
        graphs.append(Graph.open(folder, file="causal.onnx", threads=1))
        read = network.encode
    assert read is not None
    accepted = 0
    for text in (" ".join(one.split()[:2]) for one in phrases()[::12]):
        ids = read([text])[0].tolist()
        found = speculation.write(graphs[0], graphs[1], ids, most=12, ahead=3, rng=np.random.default_rng(0))
        assert found.tokens == alone(graphs[1], ids, most=12)
        accepted += found.accepted
    assert accepted > 0
