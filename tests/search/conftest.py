"""A search that every test here may look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillroom import pipeline
from stillroom.corpus import Rows
from tests.conftest import sentences, write_csv
from tests.search.scenes import Searched, asked


@pytest.fixture(scope="session")
def searched(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """One search. Reading a row of the test before the chosen student's own run is an error in it."""
    folder = tmp_path_factory.mktemp("searched")
    table = write_csv(folder / "toy.csv", sentences())
    confirming: list[bool] = []
    travel, methods = pipeline.run, ("table", "batches", "texts")
    kept = {name: getattr(Rows, name) for name in methods}

    def run(*args: Any, **keywords: Any) -> Any:
        confirming.append(True)
        return travel(*args, **keywords)

    def guarded(name: str) -> Any:
        def read(rows: Rows[Any], *args: Any, **keywords: Any) -> Any:
            assert confirming or rows.role not in ("test", "outside"), "a peek at the test"
            return kept[name](rows, *args, **keywords)

        return read

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "run", run)
        for name in methods:
            patch.setattr(Rows, name, guarded(name))
        found = Searched(asked(table, encoder_folder), folder / "work")
    assert confirming == [True], "confirmed once"
    return found
