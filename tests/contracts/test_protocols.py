"""What every protocol promises, held over every member that is found: nothing guessed, and faults in its own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stillroom.core import plugins
from stillroom.serve.faults import refusal
from stillroom.serve.protocols import ProtocolOfClients

NAMES = plugins.names("serve.protocols")
METHODS = {"GET", "POST"}


def built(name: str) -> ProtocolOfClients:
    found: ProtocolOfClients = plugins.build("serve.protocols", name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_its_addresses_are_its_own_and_each_is_described(name: str) -> None:
    paths = built(name).paths()
    assert paths
    for one in paths:
        assert one.method in METHODS
        assert one.at.startswith(built(name).prefixes or ("/",))
        assert one.summary.endswith(".")
        assert (one.method == "POST") == (one.body is not None)


def test_no_address_is_anothers() -> None:
    every = [(one.at, one.method) for name in NAMES for one in built(name).paths()]
    assert len(every) == len(set(every))


def test_one_of_them_speaks_where_nobody_else_does() -> None:
    assert [name for name in NAMES if not built(name).prefixes].count("predict") == 1


@pytest.mark.parametrize("name", NAMES)
def test_its_bodies_refuse_what_nothing_reads_and_guess_nothing(name: str) -> None:
    for one in built(name).paths():
        if one.body:
            config = one.body.model_config
            assert (config.get("extra"), config.get("strict"), config.get("frozen")) == ("forbid", True, True)


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_is_told_with_what_to_do(name: str) -> None:
    fault = refusal(418, "teapot", "body", "tea", "coffee", "Brew it again.")
    fault.headers["retry-after"] = "7"
    told = built(name).told(fault)
    found: Any = json.loads(bytes(told.body))
    assert told.status_code == 418
    assert told.headers["retry-after"] == "7"
    assert set(found) == {"error"}
    assert "Brew it again." in json.dumps(found)
