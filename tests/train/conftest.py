"""A ground that every test here may fit on."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillroom import corpus
from stillroom.core.artifact import Store
from stillroom.corpora.table import Table
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import sentences, write_csv
from tests.train.scenes import TASK, Ground


@pytest.fixture(scope="session")
def ground(classifier_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("train")
    store = Store(folder / "work")
    path = write_csv(folder / "toy.csv", sentences())
    rows = corpus.load(Table(labelled=str(path), dev_share=0.2, test_share=0.2), task=TASK, store=store)
    teacher = store.obtain("teacher", settings={}, inputs={}, make=lambda draft: None)
    return Ground(store, rows, teacher, Checkpoint(classifier_folder, name="tiny", task=TASK))
