"""A finished run that a test may change."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import Travelled

#: The toy's test has too few rows for less.
EPSILON = 0.3


def copied(travelled: Travelled, folder: Path) -> Path:
    """The folder of a copy of the finished run, with all of its work."""
    shutil.copytree(travelled.work, folder / "work")
    run = folder / "work" / "runs" / travelled.run.recipe.name
    (run / "cascade.json").unlink(missing_ok=True)
    return run


def edited(path: Path, *keys: str, value: object) -> None:
    """A value of a JSON file, replaced; None takes it out."""
    told = json.loads(path.read_text(encoding="utf-8"))
    place = told
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    path.write_text(json.dumps(told), encoding="utf-8")
