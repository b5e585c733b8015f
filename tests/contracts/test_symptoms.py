"""What every symptom promises, held over every member that is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom.core import plugins
from stillroom.symptoms import FOLDERS, Symptom

NAMES = plugins.names("symptoms")
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=NAMES)
def symptom(request: pytest.FixtureRequest) -> Symptom:
    built: Symptom = plugins.build("symptoms", request.param)
    return built


def test_there_are_members() -> None:
    assert {
        "cold_start",
        "export_loss",
        "far_texts",
        "few_rows",
        "idle_term",
        "label_order",
        "leak",
        "learning_rate",
        "padding",
        "sure_teacher",
        "under_floor",
        "unknown_tokens",
        "weak_teacher",
    } <= set(NAMES)


def test_says_what_it_looks_for_when_it_speaks_and_how_often_it_errs(symptom: Symptom) -> None:
    assert type(symptom).__doc__
    assert symptom.threshold
    assert symptom.false_alarms


def test_needs_stages_that_leave_an_artifact(symptom: Symptom) -> None:
    assert symptom.needs
    assert symptom.needs <= set(FOLDERS)


def test_explains_symptoms_that_there_are(symptom: Symptom) -> None:
    assert symptom.explains <= set(NAMES) - {symptom.kind}


def test_has_no_settings_so_that_no_run_can_silence_it(symptom: Symptom) -> None:
    assert set(type(symptom).model_fields) == {"kind"}


def test_is_planted_in_a_test(symptom: Symptom) -> None:
    told = (ROOT / "tests" / "test_doctor.py").read_text(encoding="utf-8")
    assert f'"{symptom.kind}"' in told


def test_says_what_it_could_not_see(symptom: Symptom) -> None:
    assert symptom.unseen("why").as_dict() == {"symptom": symptom.kind, "reason": "why"}
