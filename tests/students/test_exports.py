"""Transformers of architectures other than BERT, whole and cut, in every form that they are exported in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stillroom.core import plugins
from tests.contracts.test_students import TASK, exports_serve, stirred, taught
from tests.students.test_transformer import begun, of

pytestmark = pytest.mark.slow  # tracing one takes seconds
CUT: dict[str, dict[str, Any]] = {
    "distilbert": {"heads": 2, "feed_forward": 20, "width": 20, "vocabulary": "corpus", "exits": [1]},
    "mpnet": {"feed_forward": 20, "width": 20, "vocabulary": "corpus", "exits": [1]},  # all of its heads share a bias
}


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
@pytest.mark.parametrize("kind", sorted(CUT))
def test_exports_are_served_as_it_is(kind: str, cut: bool, classifier_folder: Path, tmp_path: Path) -> None:
    settings = CUT[kind] if cut else {}
    network = begun(of(kind, classifier_folder, tmp_path / "teacher"), layers=2, **settings)
    (tmp_path / "saved").mkdir()
    taught(stirred(network)).save(tmp_path / "saved")
    again = plugins.build("students", "transformer").reopen(tmp_path / "saved", task=TASK)
    exports_serve(again, tmp_path / "saved", early=cut)
