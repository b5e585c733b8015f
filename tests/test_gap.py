"""The gap between made and real texts: seen where it was planted, and not where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillroom import gap, gates
from stillroom.core import recipe
from stillroom.gap import Side
from tests.corpora.examples import sentences

SETTINGS = recipe.Evaluate(resamples=500)


def side(count: int, *, seed: int, agree: float, sure: float = 2.0, prefix: str = "") -> Side:
    """Texts of which the student names the teacher's label on a share."""
    rng = np.random.default_rng(seed)
    texts = [prefix + text for text in sentences(400 * seed + count, seed=0)[400 * seed :]]
    teacher = rng.normal(0, 0.1, (count, 2)).astype(np.float32)
    teacher[np.arange(count), rng.integers(0, 2, count)] += sure
    same = rng.random(count) < agree
    student = np.where(same[:, None], teacher, -teacher).astype(np.float32)
    return Side([f"{rng.integers(1 << 62):032x}" for _ in texts], texts, teacher, student)


def measure(made: Side, real: Side, **changes: Any) -> dict[str, Any]:
    asked = {"names_labels_only": False, "settings": SETTINGS, "seed": 7, **changes}
    return gap.measure(made, real, **asked)


def test_made_like_real_shows_none() -> None:
    found = measure(side(400, seed=1, agree=0.9), side(400, seed=2, agree=0.9))
    assert found["told_apart"]["low"] < 0.5 < found["told_apart"]["high"]
    less = found["agreement"]["real_minus_made"]
    assert less["low"] <= 0 <= less["high"]
    assert abs(found["confidence"]["real_minus_made"]["value"]) < 0.01
    assert "No difference is shown" in found["sentence"]


def test_made_far_from_real_is_seen() -> None:
    made, real = side(400, seed=1, agree=0.98, prefix="zzz "), side(400, seed=2, agree=0.8, sure=0.5)
    found = measure(made, real)
    assert found["told_apart"]["low"] > 0.95
    assert found["agreement"]["real_minus_made"]["high"] < 0
    assert found["agreement"]["real_minus_made"]["value"] == pytest.approx(-0.18, abs=0.06)
    assert found["confidence"]["real_minus_made"]["high"] < 0
    assert "agrees less with its teacher" in found["sentence"]
    assert "−" in found["sentence"]


def test_the_mean_confidence_is_that_of_the_softmax() -> None:
    made = side(200, seed=1, agree=1.0)
    odds = np.exp(made.teacher.astype(np.float64))
    sure = (odds / odds.sum(axis=1, keepdims=True)).max(axis=1)
    found = measure(made, side(200, seed=2, agree=1.0))["confidence"]["made"]
    assert found["value"] == pytest.approx(sure.mean(), rel=1e-6)
    half = 1.96 * sure.std(ddof=1) / np.sqrt(len(sure))
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, rel=0.2)


def test_without_real_text_it_says_so() -> None:
    none = side(0, seed=2, agree=1.0)
    found = measure(side(200, seed=1, agree=0.9), none)
    assert found["agreement"]["made"]["value"] is not None
    for path in ("told_apart", "agreement.real", "agreement.real_minus_made", "confidence.real_minus_made"):
        figure: Any = found
        for name in path.split("."):
            figure = figure[name]
        assert figure["value"] is None
        assert "`real` source" in figure["reason"]
    assert "not measurable" in found["sentence"]


def test_few_real_texts_are_no_ground_for_a_classifier() -> None:
    found = measure(side(200, seed=1, agree=0.9), side(20, seed=2, agree=0.9))
    assert found["told_apart"]["value"] is None
    assert found["agreement"]["real"]["n"] == 20
    assert "30 are needed" in found["sentence"]


def test_a_teacher_that_only_names_labels_is_not_asked_how_sure_it_is() -> None:
    made, real = side(200, seed=1, agree=0.9), side(200, seed=2, agree=0.9)
    found = measure(made, real, names_labels_only=True)
    assert all(one["value"] is None and "names a label" in one["reason"] for one in found["confidence"].values())
    assert found["agreement"]["real_minus_made"]["value"] is not None


def test_gates_know_every_figure() -> None:
    found = measure(side(200, seed=1, agree=0.9), side(200, seed=2, agree=0.9))
    told = {f"gap.{name}" for name in gap.FIGURES}
    assert told <= set(gates.measures({"gap": found}))
    assert told <= set(gates.vocabulary(["accuracy"]))
