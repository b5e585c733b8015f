"""Files that people write: what is found stands at its line and column, what is mended is mended whole, code stays."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from stillroom import proofread
from stillroom.core.errors import InputError
from stillroom.core.progress import Event
from stillroom.proofread import Finding
from tests.conftest import Command, Said, Travelled

PAGE = "# Teh page\n\nWe recieved `teh` [teh *old*](http://teh)\n> 👍🏽 teh end\n\n```\nteh\n```\n"
RIGHT = "# The page\n\nWe received `teh` [the *old*](http://teh)\n> 👍🏽 the end\n\n```\nteh\n```\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def ask(command: Command, bundle: Path, *words: object) -> Said:
    return command("proofread", *words, "--bundle", bundle)


def test_what_is_found_stands_at_its_line_and_column(command: Command, proofreader_folder: Path, page: Path) -> None:
    said = ask(command, proofreader_folder, page)
    assert (said.code, said.err) == (1, "")
    places = [line.removeprefix(f"{page}:").split(" (")[0] for line in said.out.splitlines()]
    assert places == ["1:3: Teh → The", "3:4: recieved → received", "3:20: teh → the", "4:6: teh → the"]
    assert "(spelling, 1.00) This is no word" in said.out
    assert page.read_text(encoding="utf-8") == PAGE
    named = ask(command, proofreader_folder, page, "--json")
    (one,) = named.json()["files"]
    assert (named.code, named.json()["left"], one["path"], one["fixed"]) == (1, 4, str(page), False)
    assert [PAGE[found["start"] : found["end"]] for found in one["findings"]] == ["Teh", "recieved", "teh", "teh"]
    assert ask(command, proofreader_folder, page, "--check").out == f"{page}: 4 to correct\n"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_fix_changes_nothing_else(
    command: Command,
    proofreader_folder: Path,
    page: Path,
    ends: str,
    mark: str,
) -> None:
    page.write_bytes((mark + PAGE.replace("\n", ends)).encode())
    page.chmod(0o640)
    said = ask(command, proofreader_folder, page, "--fix")
    assert said.code == 0
    assert "4 corrected" in said.err
    assert page.read_bytes().decode() == mark + RIGHT.replace("\n", ends)
    assert stat.S_IMODE(page.stat().st_mode) == 0o640
    assert [one.name for one in page.parent.iterdir()] == ["page.md"]
    assert ask(command, proofreader_folder, page) == Said(0, "", "")


def test_several_files_and_patterns(command: Command, proofreader_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name, text in (("b.txt", "teh\n"), ("deep/a.md", "fine\n"), ("deep/c.md", "    teh code\n\nteh\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    said = ask(command, proofreader_folder, tmp_path / "b.txt", tmp_path / "**" / "*.md", tmp_path / "b.txt", "--json")
    told = [(Path(one["path"]).name, len(one["findings"])) for one in said.json()["files"]]
    assert (said.code, told) == (1, [("b.txt", 1), ("a.md", 0), ("c.md", 1)])
    assert ask(command, proofreader_folder, tmp_path / "deep" / "a.md") == Said(0, "", "")


def test_all_that_can_not_be_read_is_told_before_anything_is_done(
    command: Command,
    proofreader_folder: Path,
    page: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    (tmp_path / "nul.txt").write_bytes(b"\n\n\0")
    words = [page, *(tmp_path / name for name in ("none.txt", "latin.txt", "nul.txt", "x*.md")), tmp_path]
    said = ask(command, proofreader_folder, *words, "--fix", "--json")
    assert said.code == 2
    assert {one["where"].removeprefix(str(tmp_path)) for one in said.json()["problems"]} == {
        "/none.txt", "/latin.txt:2", "/nul.txt:3", "/x*.md", ""
    }  # fmt: skip
    assert page.read_text(encoding="utf-8") == PAGE


def test_without_a_proofreader_it_is_told_how_to_make_one(
    command: Command, page: Path, travelled: Travelled, proofreader_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv(proofread.VARIABLE, raising=False)
    said = command("proofread", page, "--json")
    assert said.code == 2
    assert "recipes/proofread.toml" in said.json()["problems"][0]["todo"]
    assert proofread.VARIABLE in said.json()["problems"][0]["todo"]
    other = ask(command, travelled.run.folder, page, "--json")
    assert (other.code, "classification" in other.json()["problems"][0]["found"]) == (2, True)
    monkeypatch.setenv(proofread.VARIABLE, str(proofreader_folder))
    assert command("proofread", page, "--check").code == 1
    assert command("proofread", page, "--check", "--fix").code == 2


def test_long_work_is_told_of(proofreader_folder: Path, tmp_path: Path) -> None:
    path, events = tmp_path / "long.md", list[Event]()
    path.write_text("teh line\n\n" * 400, encoding="utf-8")
    predictor = proofread.proofreader(proofreader_folder)
    (found,) = proofread.proofread(predictor, [path], report=events.append)
    assert [one.line for one in found.findings] == list(range(1, 801, 2))
    assert [one.done for one in events[1:]] == list(range(255, 401))


def test_what_is_read_in_python_is_what_is_shown(proofreader_folder: Path, page: Path) -> None:
    (found,) = proofread.proofread(proofread.proofreader(proofreader_folder), proofread.files([str(page)]))
    assert json.loads(json.dumps(found.as_dict()))["findings"][1]["replacement"] == "received"
    one: Any = found.findings[1].correction
    gone = Finding(2, 1, one.__class__(0, 3, "a\r\nb", "", "spacing", 0.5, "Why."))
    assert gone.as_line() == "2:1: a⏎b → ∅ (spacing, 0.50) Why."
    with pytest.raises(InputError):
        proofread.files([str(page), "none"])
