"""What every symptom promises, held over every member that is found."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from stillroom import doctor
from stillroom.core import artifact, plugins
from stillroom.symptoms import FOLDERS, Symptom
from tests.symptoms.scenes import PLANTED, plain

ROOT = Path(__file__).parents[1]
NAMES = plugins.names("symptoms")
# Tests that plant a fault tell so when they are imported.
for _name in ("test_doctor", *(f"symptoms.{one.stem}" for one in (ROOT / "symptoms").glob("test_*.py"))):
    importlib.import_module(f"tests.{_name}")


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> doctor.Examination:
    """The examination of a run that has come nowhere."""
    folder = tmp_path_factory.mktemp("work") / "runs" / "nothing"
    artifact.write_json(folder / "run.json", {"name": "nothing", "stages": {}})
    artifact.write_json(folder / "recipe.resolved.json", plain("nothing", "rows.csv", "said.jsonl"))
    return doctor.examine(folder)


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


def test_is_found_where_a_test_plants_it(symptom: Symptom) -> None:
    """Those tests are held to finding what they plant."""
    assert symptom.kind in PLANTED


def test_says_what_it_could_not_see(symptom: Symptom, nothing: doctor.Examination) -> None:
    """In a run that has come nowhere, each names every stage that it misses."""
    assert nothing.findings == ()
    reasons = {one.symptom: one.reason for one in nothing.unseen}
    assert all(stage in reasons[symptom.kind] for stage in symptom.needs)
