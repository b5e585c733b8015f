"""A file is there whole or as it was before, under the rights that it had."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stillroom.core import drafts
from stillroom.core.errors import OutsideError


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "text.txt"
    with drafts.writing(path) as file:
        file.write("one\r\ntwo\n")
        assert not path.exists()
    assert path.read_bytes() == b"one\r\ntwo\n"
    with pytest.raises(KeyError), drafts.writing(path) as file:  # noqa: PT012  what happens in between is the point
        file.write("half")
        raise KeyError
    assert path.read_bytes() == b"one\r\ntwo\n"
    assert [one.name for one in path.parent.iterdir()] == ["text.txt"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755])
def test_rights_stay(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "text.txt"
    path.write_text("before", encoding="utf-8")
    path.chmod(mode)
    with drafts.writing(path) as file:
        file.write("after")
    assert path.stat().st_mode & 0o7777 == mode


def test_a_new_file_has_the_rights_of_new_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with drafts.writing(tmp_path / "new") as file:
            file.write("x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("before", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to(real)
    with drafts.writing(tmp_path / "link.txt") as file:
        file.write("after")
    assert (tmp_path / "link.txt").is_symlink()
    assert real.read_text(encoding="utf-8") == "after"


def test_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    for place in (tmp_path, tmp_path / "taken" / "text.txt"):
        with pytest.raises(OutsideError), drafts.writing(place):
            pass
