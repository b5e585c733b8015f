"""Faults in what teacher and corpus say, planted into synthetic pairs: each is found, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stillroom import doctor
from stillroom.core import artifact, two_samples
from stillroom.symptoms import ANSWER, Unseen
from stillroom.symptoms.far_texts import FarTexts
from tests.symptoms.scenes import GREEK, PLANTED, Pair, binomial_tail, of_vectors, symptoms


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 20))])
def test_a_pair_that_is_well_is_left_in_peace(tmp_path: Path, seed: int) -> None:
    found = doctor.examine(Pair(seed).write(tmp_path))
    assert found.findings == ()
    assert found.tests >= 3


def _swapped(pair: Pair) -> None:
    pair.logits = {role: one[:, ::-1] for role, one in pair.logits.items()}


def _sharpened(pair: Pair) -> None:
    pair.logits = {role: 50 * one for role, one in pair.logits.items()}


def _certain(pair: Pair) -> None:
    """As sure as can be, and right."""
    pair.logits = {role: 40.0 * np.eye(2)[gold] for role, gold in pair.gold.items()}


def _leaked(pair: Pair) -> None:
    pair.texts["train"][:5] = pair.texts["test"][:5]


def _twinned(pair: Pair) -> None:
    pair.texts["train"][:5] = [f"{one}!" for one in pair.texts["test"][:5]]


def _few(pair: Pair) -> None:
    for part in (pair.texts, pair.gold, pair.logits):
        part["train"] = part["train"][:20]


def _far(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    pair.texts["test"] = [" ".join(rng.choice(GREEK, 9)) for _ in pair.texts["test"]]


def _ignorant(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    pair.others = {**pair.others, "baseline": pair.logits["test"]}
    pair.logits = {role: rng.normal(0, 0.1, size=one.shape) for role, one in pair.logits.items()}


FAULTS: list[tuple[Callable[[Pair], None], set[str], str]]
FAULTS = [
    (_swapped, {"label_order"}, "task.labels"),
    (_sharpened, {"sure_teacher"}, "objective.temperature"),
    (_certain, {"sure_teacher"}, "objective.temperature"),
    (_leaked, {"leak"}, "corpus.unlabelled"),
    (_twinned, {"leak"}, "corpus.unlabelled"),
    (_few, {"few_rows"}, "corpus.unlabelled"),
    (_far, {"far_texts"}, "corpus.unlabelled"),
    (_ignorant, {"weak_teacher"}, "teacher"),
]
PLANTED.update(*(expected for _, expected, _ in FAULTS))


@pytest.mark.parametrize(("fault", "expected", "key"), FAULTS)
def test_a_planted_fault_is_found_and_no_other(
    tmp_path: Path, fault: Callable[[Pair], None], expected: set[str], key: str
) -> None:
    pair = Pair(1)
    fault(pair)
    found = doctor.examine(pair.write(tmp_path))
    assert symptoms(found) == expected
    assert key in found.findings[0].keys
    assert found.findings[0].evidence
    assert all((tmp_path / fact.artifact / "manifest.json").is_file() for fact in found.findings[0].evidence)


@pytest.mark.parametrize("seed", range(4))
def test_a_pair_of_vectors_that_is_well_is_left_in_peace(tmp_path: Path, seed: int) -> None:
    found = doctor.examine(of_vectors(seed).write(tmp_path))
    assert found.findings == ()
    blind = {one.symptom for one in found.unseen if "can't read the answers" in one.reason}
    assert blind == {"cold_start", "export_loss", "label_order", "sure_teacher", "weak_teacher"}
    assert not any("failed" in one.reason for one in found.unseen)


@pytest.mark.parametrize(
    ("fault", "expected", "key"), [one for one in FAULTS if one[1] <= {"leak", "few_rows", "far_texts"}]
)
def test_a_fault_of_texts_is_found_among_vectors_too(
    tmp_path: Path, fault: Callable[[Pair], None], expected: set[str], key: str
) -> None:
    pair = of_vectors(1)
    fault(pair)
    found = doctor.examine(pair.write(tmp_path))
    assert symptoms(found) == expected
    assert key in found.findings[0].keys


def test_soft_labels_that_are_hard_ones_are_noted_where_the_teacher_is_right(tmp_path: Path) -> None:
    """It is no fault of the pair: a note, with the entropy, and p-values that show nothing."""
    pair = Pair(1)
    _certain(pair)
    (finding,) = doctor.examine(pair.write(tmp_path)).findings
    assert (finding.severity, finding.p) == ("note", None)
    assert finding.evidence[0].value == pytest.approx(0, abs=1e-6)
    assert "next to nothing beyond the label" in finding.told


def test_texts_of_another_kind_beside_texts_like_the_test_do_no_harm(tmp_path: Path) -> None:
    pair, rng = Pair(1), np.random.default_rng(0)
    pair.texts["more"] = [" ".join(rng.choice(GREEK, 9)) for _ in pair.texts["train"]]
    pair.logits["more"] = pair.logits["train"]
    pair.taught = {"train": "train", "more": "unlabelled"}
    assert "far_texts" not in symptoms(doctor.examine(pair.write(tmp_path)))
    pair.taught = {"more": "unlabelled"}
    assert "far_texts" in symptoms(doctor.examine(pair.write(tmp_path / "alone")))


def _more(pair: Pair, part: str, texts: list[str]) -> None:
    """Another part of the texts that were learned from."""
    pair.texts["more"], pair.logits["more"] = texts, pair.logits["train"][: len(texts)]
    pair.taught = {**pair.taught, "more": part}


@pytest.mark.parametrize("alike", ["{}", "{}!"])
def test_texts_that_were_made_are_searched_for_the_test(tmp_path: Path, alike: str) -> None:
    """They stand in the transfer set under the name of the rule that made them."""
    pair = Pair(1)
    _more(pair, "masking", [alike.format(text) for text in pair.texts["test"][:5]])
    assert symptoms(doctor.examine(pair.write(tmp_path))) == {"leak"}


def test_texts_that_nobody_learns_from_are_no_leak(tmp_path: Path) -> None:
    pair = Pair(1)
    _more(pair, "outside", pair.texts["test"][:5])
    assert symptoms(doctor.examine(pair.write(tmp_path))) == set()


def test_all_parts_are_far_only_where_each_of_them_is_shown_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearest part may be the larger one: its p-value says nothing of the small one."""
    pair = Pair(1)
    _more(pair, "unlabelled", [f"{text}!" for text in pair.texts["train"][:40]])
    hits = {160: (70, 100), 40: (15, 20)}  # by texts of a side
    monkeypatch.setattr(two_samples, "told_apart", lambda one, other, *, needed_by: hits[len(one)])
    seen = list(FarTexts().look(doctor._open(pair.write(tmp_path))))
    assert [one.p for one in seen if not isinstance(one, Unseen)] == [pytest.approx(binomial_tail(15, 20, 0.5))]


def test_a_sample_is_the_same_whatever_the_shards(tmp_path: Path) -> None:
    pair = Pair(1)
    _more(pair, "unlabelled", [f"{text} more" for text in pair.texts["train"][:40]])
    case = doctor._open(pair.write(tmp_path))
    whole = sorted(artifact.text_id(text) for role in ("train", "more") for text in pair.texts[role])
    assert case.some(60, columns=["text"])["id"].to_pylist() == whole[:60]
    assert case.some(1000, columns=["text", ANSWER])["id"].to_pylist() == whole
    assert case.parts == {"train": 200, "unlabelled": 40}
