"""Checkpoints to be opened, spoilt and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillroom.core.artifact import Draft
from stillroom.core.errors import StillroomError
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint, HuggingFace
from tests.conftest import LABELS

TASK = Classification(labels=LABELS)


@pytest.fixture
def copy(classifier_folder: Path, tmp_path: Path) -> Path:
    """A checkpoint to be spoilt."""
    return Path(shutil.copytree(classifier_folder, tmp_path / "model"))


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def prepared(folder: Path | str, tmp_path: Path, **settings: Any) -> Draft:
    draft = Draft(tmp_path / "draft")
    draft.folder.mkdir(exist_ok=True)
    teacher = HuggingFace(model=str(folder), **settings)
    nothing: Any = None
    teacher.prepare(draft, task=TASK, corpus=nothing, fit=nothing, seed=1, report=nothing)
    return draft


def opened(folder: Path | str, **settings: Any) -> Checkpoint:
    loaded = HuggingFace(model=str(folder), **settings).open(Path("unused"), task=TASK)
    assert isinstance(loaded, Checkpoint)
    return loaded


def refusal(error: type[StillroomError], act: Callable[[], object]) -> str:
    """What a refusal says, once it is seen to have its four parts."""
    with pytest.raises(error) as caught:
        act()
    for problem in caught.value.problems:
        assert all((problem.where, problem.found, problem.expected, problem.todo)), problem
    return str(caught.value)
