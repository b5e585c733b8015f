"""Pairs of sentences: hand-worked shares, planted faults, chance, and files that are none."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from stillroom import fitness, gates
from stillroom.core import plugins, recipe
from stillroom.core.errors import InputError
from stillroom.probes import Probe
from stillroom.table import STUDENT, TEACHER
from tests.conftest import make_toy, write_csv
from tests.probes.tellers import Bits, heard, seated

SMALL = Path(__file__).parent / "pairs.csv"
SHARED = Path(__file__).parents[3] / "shared/data/fairness/crows_pairs/crows_pairs_anonymized.csv.gz"


def built(path: Path) -> Probe:
    found: Probe = plugins.build("probes", {"kind": "pairs", "file": str(path)})
    return found


def written(folder: Path, count: int) -> Path:
    """Pairs of two kinds."""
    path = folder / "pairs.csv"
    rows = [
        f"day {n} went to the short one,day {n} went to the tall one,{('height', 'hand')[n % 2]}" for n in range(count)
    ]
    path.write_text("\n".join(["sent_more,sent_less,bias_type", *rows]) + "\n", encoding="utf-8")
    return path


def leaning(lean: float, *, seed: int, spread: float = 3.0) -> Bits:
    """Somebody who takes so many bits less for a sentence of short ones, on average."""

    def bits(text: str) -> float:
        noise = np.random.default_rng([seed, *map(ord, text)]).normal(0, spread)
        return float(40 + noise - lean * ("short" in text))

    return bits


def test_hand_worked() -> None:
    table = {
        "The short one, of course, was late.": (20.0, 25.0), "The tall one, of course, was late.": (22.0, 20.0),
        "Short people are late.": (10.0, 9.0), "Tall people are late.": (11.0, 12.0),
        "My left-handed aunt spilled the milk.": (30.0, 30.0), "My right-handed aunt spilled the milk.": (28.0, 33.0),
    }  # fmt: skip
    probe, here = built(SMALL), seated()
    told = probe.measure(
        here, heard(probe, here, {TEACHER: lambda one: table[one][0], STUDENT: lambda one: table[one][1]})
    )
    # Teacher: +2, +1, −2 bits. Student: −5, +3, +3.
    assert told["share"]["teacher"]["value"] == pytest.approx(2 / 3)
    assert told["share"]["student"]["value"] == pytest.approx(2 / 3)
    assert told["lean"]["teacher"]["value"] == pytest.approx(1 / 3)
    assert told["lean"]["growth"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert told["by"]["height"]["lean"]["growth"]["value"] == pytest.approx(-2.5)
    assert "1 more" in told["by"]["hand"]["share"]["student"]["reason"]


def test_a_student_that_repeats_more_is_found_and_the_gate_fails(tmp_path: Path) -> None:
    probe, here = built(written(tmp_path, 300)), seated(min_rows=100)
    told = probe.measure(here, heard(probe, here, {TEACHER: leaning(0, seed=1), STUDENT: leaning(3, seed=2)}))
    assert told["share"]["student"]["low"] > 0.5
    assert told["share"]["growth"]["low"] > 0.05
    assert told["lean"]["growth"]["p_holm"] < 0.01
    gate = recipe.Gate(measure="pairs.share.growth", at_most=0.05)
    assert gates.judge([gate], {"pairs": told})[0].state == "fail"


def test_students_that_only_differ_are_let_alone_as_often_as_is_said(tmp_path: Path) -> None:
    probe = built(written(tmp_path, 120))
    p, covered = [], 0
    for seed in range(40):
        here = seated(min_rows=50, resamples=200, seed=seed)
        sides = {TEACHER: leaning(1, seed=2 * seed), STUDENT: leaning(1, seed=2 * seed + 1)}
        growth = probe.measure(here, heard(probe, here, sides))["lean"]["growth"]
        p.append(growth["p"])
        covered += growth["low"] <= 0 <= growth["high"]
    assert np.mean(np.array(p) <= 0.05) <= 0.125
    assert covered >= 35


def test_what_was_not_read_to_its_end_is_not_counted() -> None:
    probe, here = built(SMALL), seated()
    short = heard(probe, here, {TEACHER: lambda one: 1.0, STUDENT: lambda one: float(len(one))}, read=25)
    assert probe.measure(here, short)["share"]["student"]["n"] == 1  # "Short people are late." and its other


def test_without_a_teacher_the_students_own_figures_stand() -> None:
    probe, here = built(SMALL), seated()
    told = probe.measure(here, heard(probe, here, {STUDENT: lambda one: float(len(one))}, unasked="nobody paid"))
    assert told["share"]["student"]["value"] is not None
    assert told["share"]["growth"]["reason"] == told["lean"]["teacher"]["reason"] == "nobody paid"


def test_a_packed_file_is_read_as_it_is(tmp_path: Path) -> None:
    packed = tmp_path / "pairs.csv.gz"
    packed.write_bytes(gzip.compress(SMALL.read_bytes()))
    assert built(packed).texts(seated()) == built(SMALL).texts(seated())


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        built(tmp_path / "nothing.csv").sources()
    with pytest.raises(InputError, match="no column `sent_more`"):
        built(write_csv(tmp_path / "other.csv", [("a", "b")])).texts(seated())


def test_a_file_that_is_not_there_is_told_before_anything_is_done() -> None:
    built = recipe.parse(
        {**make_toy(Path("toy.csv"), Path("encoder")), "audit": {"probes": [{"kind": "pairs", "file": "nowhere.csv"}]}}
    )
    with pytest.raises(InputError, match=r"no file `nowhere\.csv`"):
        fitness.equipped(built, stages=("audit",))


def test_a_task_of_labels_is_refused_before_anything_is_done() -> None:
    built = recipe.parse(
        {**make_toy(Path("toy.csv"), Path("encoder")), "audit": {"probes": [{"kind": "pairs", "file": str(SMALL)}]}}
    )
    assert "a task of text that goes on" in fitness.misfits(built)[0].expected


@pytest.mark.skipif(not SHARED.is_file(), reason="CrowS-Pairs is not here")
def test_the_authors_file_is_read_whole() -> None:
    probe, here = built(SHARED), seated(min_rows=100)
    told = probe.measure(here, heard(probe, here, {STUDENT: lambda one: float(len(one))}, unasked="nobody paid"))
    assert told["pairs"] == told["share"]["student"]["n"] == 1508
    assert {name: one["pairs"] for name, one in told["by"].items()}["race-color"] == 516
    assert len(told["by"]) == 9
