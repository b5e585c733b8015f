"""Nobody waits long here."""

from __future__ import annotations

import pytest

from stillroom.teachers.endpoint import client


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as people would, or goes through somebody's proxy."""
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.002)
    monkeypatch.setenv("NO_PROXY", "*")
