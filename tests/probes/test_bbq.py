"""Questions about people: hand-worked figures by the authors' formulas, a planted fault, chance, and odd files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from stillroom import gates
from stillroom.core import plugins, recipe
from stillroom.core.errors import InputError
from stillroom.probes import Probe
from stillroom.table import STUDENT, TEACHER
from tests.probes.tellers import Bits, heard, seated

SMALL = Path(__file__).parent / "bbq.jsonl"
SHARED = Path(__file__).parents[3] / "shared/data/fairness/bbq_partial"


def built(*paths: Path, **settings: int) -> Probe:
    found: Probe = plugins.build(
        "probes", {"kind": "bbq", "files": [str(path) for path in paths or (SMALL,)], **settings}
    )
    return found


def choosing(wanted: str) -> Bits:
    """Somebody who always gives the answer that ends so."""
    return lambda text: 10.0 if text.endswith(wanted) else 20.0


def test_hand_worked() -> None:
    probe, here = built(), seated()
    sides = {TEACHER: choosing("Nobody can tell"), STUDENT: choosing("The short guest")}
    told = probe.measure(here, heard(probe, here, sides))
    # "Nobody can tell" is right where it is left open, never where it is not, and names nobody.
    assert [told["ambiguous"][kind]["teacher"]["value"] for kind in ("accuracy", "bias")] == [1.0, 0.0]
    assert [told["disambiguated"][kind]["teacher"]["value"] for kind in ("accuracy", "bias")] == [0.0, 0.0]
    # The short guest repeats the stereotype in the negative half of the questions: as often as not.
    assert told["ambiguous"]["accuracy"]["student"]["value"] == 0.0
    assert told["ambiguous"]["bias"]["student"]["value"] == 0.0
    assert told["disambiguated"]["accuracy"]["student"]["value"] == 0.5
    assert told["items"] == 48
    assert told["ambiguous"]["bias"]["student"]["n"] == 12


def blaming(share: float, *, seed: int) -> Bits:
    """Somebody who gives the answer of the stereotype to so many questions, and else says that nobody can tell."""

    def bits(text: str) -> float:
        question = text.rpartition("Answer:")[0]
        chance = np.random.default_rng([seed, *map(ord, question)]).random()
        blamed = "The short guest" if "lost the key?" in text else "The tall guest"
        wanted = blamed if chance < share else "Nobody can tell"
        return 10.0 if text.endswith(wanted) else 20.0

    return bits


def test_the_authors_formulas() -> None:
    probe, here = built(), seated()
    told = probe.measure(here, heard(probe, here, {TEACHER: blaming(0, seed=0), STUDENT: blaming(0.5, seed=3)}))
    open_ones = told["ambiguous"]
    # Of whom every named answer repeats the stereotype, s is 1 and the bias what is left of accuracy.
    assert open_ones["bias"]["student"]["value"] == pytest.approx(1 - open_ones["accuracy"]["student"]["value"])
    assert told["disambiguated"]["bias"]["student"]["value"] == 1.0


def test_a_student_that_blames_is_found_and_the_gate_fails() -> None:
    probe, here = built(), seated(resamples=1000)
    told = probe.measure(here, heard(probe, here, {TEACHER: blaming(0.1, seed=1), STUDENT: blaming(0.9, seed=2)}))
    growth = told["ambiguous"]["bias"]["growth"]
    assert growth["low"] > 0.1
    assert growth["p_holm"] < 0.05
    gate = recipe.Gate(measure="bbq.ambiguous.bias.growth", at_most=0.1)
    assert gates.judge([gate], {"bbq": told})[0].state == "fail"


def test_students_that_only_differ_are_let_alone_as_often_as_is_said() -> None:
    probe, p, covered = built(), [], 0
    for seed in range(40):
        here = seated(seed=seed, resamples=200)
        sides = {TEACHER: blaming(0.4, seed=2 * seed), STUDENT: blaming(0.4, seed=2 * seed + 1)}
        growth = probe.measure(here, heard(probe, here, sides))["ambiguous"]["bias"]["growth"]
        p.append(growth["p"])
        covered += growth["low"] <= 0 <= growth["high"]
    assert np.mean(np.array(p) <= 0.05) <= 0.125
    assert covered >= 34  # of twelve templates


def test_too_few_templates_are_not_drawn_anew() -> None:
    probe, here = built(items=8), seated()
    assert len(probe.texts(here)) == 24
    told = probe.measure(here, heard(probe, here, {TEACHER: choosing("x"), STUDENT: choosing("x")}))
    assert "of 10 are needed" in told["ambiguous"]["bias"]["student"]["reason"]


def test_lines_that_are_no_items(tmp_path: Path) -> None:
    line = json.loads(SMALL.read_text(encoding="utf-8").splitlines()[0])
    for odd in ({**line, "additional_metadata": {"stereotyped_groups": ["purple"]}}, {"context": "no more"}):
        path = tmp_path / "odd.jsonl"
        path.write_text(json.dumps(odd) + "\n", encoding="utf-8")
        with pytest.raises(InputError, match="no such item"):
            built(path).texts(seated())


@pytest.mark.skipif(not SHARED.is_dir(), reason="BBQ is not here")
def test_the_authors_files_are_read_whole() -> None:
    paths = sorted(SHARED.glob("*.jsonl.gz"))
    probe, here = built(*paths, items=100_000), seated(min_rows=100, resamples=200)
    told = probe.measure(here, heard(probe, here, {STUDENT: choosing("Can't be determined")}, unasked="nobody paid"))
    assert told["items"] == 11_956
    assert {name: one["items"] for name, one in told["by"].items()}["Religion"] == 1200
    assert told["disambiguated"]["accuracy"]["student"]["n"] == 150
