"""A service around students by rule: what becomes of requests is seen without a student that takes its time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from stillroom.runtime.deferral import Prices
from stillroom.serve.batcher import Batcher
from stillroom.serve.escalation import Behind
from stillroom.serve.meters import Meters
from stillroom.serve.service import AT, Service
from stillroom.serve.settings import Model
from stillroom.serve.shelf import Lane, Shelf
from tests.serve.conftest import serving


def lane(
    student: Any,
    *,
    name: str = "toy",
    version: str = "a" * 12,
    pen: Any = None,
    behind: Behind | None = None,
    prices: Prices | None = None,
) -> Lane:
    """A student of `tests.runtime.test_reading`, as one that is served; a certificate is taken for granted."""
    student.tokens = lambda texts: sum(len(one.split()) for one in texts)
    student.digest, student.pen, student.cascade = f"sha256:{version}", pen, behind and "certified"
    model = Model(name=name, path=Path("nowhere"), behind=behind)
    return Lane(model, student, Batcher(student.predict, deadline_s=60), prices=prices or Prices(), stamp=None)


def service(*lanes: Lane, **told: Any) -> Service:
    """Serves them."""
    settings = serving(Path("nowhere"), **told)
    meters = Meters()
    shelf = Shelf(settings, meters)
    for one in lanes:
        shelf._lanes.setdefault(one.name, []).append(one)
    return Service(settings, shelf, meters)


def request(at: str = "/predict", *, receive: Callable[[], Any] | None = None) -> Any:
    """Somebody asks there."""
    return SimpleNamespace(scope={AT: at}, receive=receive)
