"""A language model in a GGUF file: what reading it takes."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from stillroom.core import plugins
from stillroom.tasks.generation import Generation
from tests.contracts.test_teachers import write_gguf


def test_its_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    reader = gguf.GGUFReader

    def reading(path: str) -> gguf.GGUFReader:
        parsed.append(path)
        return reader(path)

    monkeypatch.setattr(gguf, "GGUFReader", reading)
    teacher = plugins.build("teachers", {"kind": "gguf", **write_gguf(tmp_path)})
    loaded = teacher.open(tmp_path, task=Generation(kept=4))
    assert [Path(one).name for one in parsed] == ["tiny.gguf"]
    assert gguf.GGUFReader is reading, "afterwards the library is as it was"
    assert loaded.layers == 2
