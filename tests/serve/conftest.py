"""A server in this process, of the toy run's bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from stillroom.serve import app
from stillroom.serve.settings import Serving
from tests.conftest import Travelled


def serving(folder: Path, **told: Any) -> Serving:
    """Settings for one student, which is not watched."""
    return Serving.model_validate({"models": [{"name": "toy", "path": folder}], "watch_seconds": 0, **told})


@pytest.fixture(scope="session")
def folder(travelled: Travelled) -> Path:
    """The folder of a finished run."""
    return travelled.work / "runs" / travelled.recipe["name"]


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    """Somebody who asks."""
    with TestClient(app.make(serving(folder)), raise_server_exceptions=True) as found:
        yield found
