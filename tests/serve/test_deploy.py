"""What ships for deployments fits what the server does."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from stillroom.core import plugins
from stillroom.runtime.deferral import Prices
from stillroom.serve.meters import Meters
from stillroom.serve.settings import Serving

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_the_settings_are_settings() -> None:
    told = tomllib.loads((DEPLOY / "serve.toml").read_text(encoding="utf-8"))
    found, problems = plugins.check(Serving, told, where="")
    assert not problems
    assert found is not None
    assert [one.name for one in found.models] == ["reviews"]
    commented = re.sub(
        r"^# (?=\[|who|per_day|origins)", "", (DEPLOY / "serve.toml").read_text(encoding="utf-8"), flags=re.M
    )
    more, problems = plugins.check(Serving, tomllib.loads(commented), where="")
    assert not problems
    assert more is not None
    assert more.models[0].behind is not None
    assert more.models[0].behind.per_day == 2.0


def test_the_dashboard_asks_for_what_is_measured() -> None:
    told = json.loads((DEPLOY / "grafana.json").read_text(encoding="utf-8"))
    asked = {name for panel in told["panels"] for target in panel["targets"]
             for name in re.findall(r"stillroom_\w+", target["expr"])}  # fmt: skip
    meters = Meters()
    meters.request("/predict", status=200, seconds=0.1)
    meters.answered("m", texts=1, waited_s=0.1, took_s=0.1)
    meters.batch("m", 1, 0.1)
    meters.shed("overloaded")
    meters.escalated("m", why=None)
    meters.asked("m", 1, prices=Prices(teacher=1.0, student=1.0, currency="EUR"))
    meters.waiting("m", 1)
    meters.shed_by("m", "overloaded")
    meters.guarded("unicode", side="input", action="flag")
    meters.ready(True)
    there = {
        sample.name for family in text_string_to_metric_families(meters.read().decode()) for sample in family.samples
    }
    assert asked
    assert asked <= there


def test_the_unit_waits_longer_than_the_server_takes() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as systemd reads it
    unit.read_string((DEPLOY / "stillroom.service").read_text(encoding="utf-8"))
    told = tomllib.loads((DEPLOY / "serve.toml").read_text(encoding="utf-8"))
    takes = told["drain_seconds"] + Serving.model_fields["finish_seconds"].default
    assert int(unit["Service"]["TimeoutStopSec"]) > takes


def test_the_page_is_the_first_thing_that_people_see(client: TestClient) -> None:
    found = client.get("/")
    assert found.headers["content-type"].startswith("text/html")
    assert client.get("/", headers={"if-none-match": found.headers["etag"]}).status_code == 304
