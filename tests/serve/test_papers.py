"""The card and the report of a student, and that the report's own styles may work while nothing else of it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from stillroom.serve import app
from stillroom.serve.settings import Serving
from tests.conftest import Travelled


@pytest.fixture(scope="module")
def client(travelled: Travelled) -> Iterator[TestClient]:
    """Somebody who asks for the run as `run`, and for its bundle as `alone`."""
    folder = Path(travelled.run.folder)
    bundle = travelled.run.artifacts["export"].folder
    told = {"models": [{"name": "run", "path": folder}, {"name": "alone", "path": bundle}], "watch_seconds": 0}
    with TestClient(app.make(Serving.model_validate(told))) as found:
        yield found


def test_the_runs_own_are_sent(client: TestClient, travelled: Travelled) -> None:
    dossier = Path(travelled.run.folder) / "dossier"
    assert client.get("/models/run/papers").json() == {"papers": ["card", "report"]}
    card = client.get("/models/run/card")
    assert card.headers["content-type"] == "text/markdown; charset=utf-8"
    assert card.content == (dossier / "model_card.md").read_bytes()
    report = client.get("/models/run/report")
    assert report.content == (dossier / "report.html").read_bytes()


def test_the_report_may_look_as_it_does_and_run_nothing(client: TestClient) -> None:
    report = client.get("/models/run/report")
    (policy,) = report.headers.get_list("content-security-policy")  # two would both hold
    rules = dict(one.strip().partition(" ")[::2] for one in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["style-src"] == "'unsafe-inline'"
    assert "script-src" not in rules
    assert report.headers["x-content-type-options"] == "nosniff"
    (own,) = client.get("/").headers.get_list("content-security-policy")
    assert "style-src 'self'" in own
    assert "unsafe" not in own


def test_a_bundle_has_the_card_that_it_was_shipped_with_and_no_report(client: TestClient) -> None:
    assert client.get("/models/alone/papers").json() == {"papers": ["card"]}
    assert client.get("/models/alone/card").text.startswith("---")
    none = client.get("/models/alone/report")
    assert (none.status_code, none.json()["error"]["code"]) == (404, "no_paper")


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e%2f%2e%2e", "run%2fdossier"])
def test_nothing_else_is(client: TestClient, name: str) -> None:
    assert client.get(f"/models/{name}/card").status_code == 404
