from __future__ import annotations

import fcntl
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stillroom.core import artifact
from stillroom.core.artifact import Draft, Store
from stillroom.core.errors import ArtifactError, DiskFull, OutsideError


def write(draft: Draft) -> None:
    (draft.folder / "a.txt").write_text("a", encoding="utf-8")
    (draft.folder / "deep").mkdir(exist_ok=True)
    (draft.folder / "deep" / "b.txt").write_text("b", encoding="utf-8")
    draft.facts["rows"] = 2
    draft.circumstances["mood"] = os.urandom(4).hex()


def made(root: Path) -> artifact.Artifact:
    return Store(root).obtain("corpus", settings={"x": 1}, inputs={"i": "d"}, make=write)


def test_same_content_has_the_same_digest_whatever_the_circumstances(tmp_path: Path) -> None:
    one, two = made(tmp_path / "one"), made(tmp_path / "two")
    assert one.digest == two.digest
    assert one.key == two.key
    assert one.circumstances["mood"] != two.circumstances["mood"]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    made(tmp_path)

    def never(draft: Draft) -> None:
        raise AssertionError("it was there")

    Store(tmp_path).obtain("corpus", settings={"x": 1}, inputs={"i": "d"}, make=never)


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest", "facts"])
def test_damage_is_found_and_told(tmp_path: Path, damage: str) -> None:
    found = made(tmp_path)
    manifest = found.folder / artifact.MANIFEST
    if damage == "changed":
        (found.folder / "deep" / "b.txt").write_text("B", encoding="utf-8")
    elif damage == "missing":
        (found.folder / "a.txt").unlink()
    elif damage == "manifest":
        manifest.write_text("{", encoding="utf-8")
    else:
        manifest.write_text(manifest.read_text(encoding="utf-8").replace('"rows": 2', '"rows": 3'), encoding="utf-8")
    with pytest.raises(ArtifactError, match="Remove") as caught:
        made(tmp_path)
    assert caught.value.exit_code == 3


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(draft: Draft) -> None:
        write(draft)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Store(tmp_path).obtain("corpus", settings={}, inputs={}, make=fail)
    assert not left(tmp_path)


def test_a_resumable_stage_finds_what_it_had(tmp_path: Path) -> None:
    seen: list[bool] = []

    def twice(draft: Draft) -> None:
        seen.append((draft.folder / "a.txt").exists())
        write(draft)
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).obtain("t", settings={}, inputs={}, make=twice, resumable=True)
    Store(tmp_path).obtain("t", settings={}, inputs={}, make=twice, resumable=True)
    assert seen == [False, True]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    def inside(draft: Draft) -> None:
        made(tmp_path)

    with pytest.raises(OutsideError, match="another process"):
        Store(tmp_path).obtain("corpus", settings={"x": 1}, inputs={"i": "d"}, make=inside)


def left(root: Path) -> list[Path]:
    """Every file, locks aside: those stay."""
    return [path for path in root.rglob("*") if path.is_file() and ".locks" not in path.parts]


def test_what_another_process_has_just_finished_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: it is finished after our look and before our lock."""
    plain, looks = Store.find, 0

    def find(store: Store, stage: str, key: str) -> artifact.Artifact | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            monkeypatch.setattr(Store, "find", plain)
            other = made(tmp_path)
            monkeypatch.setattr(Store, "find", find)
            assert other.key == key
            return None
        return plain(store, stage, key)

    def never(draft: Draft) -> None:
        raise AssertionError("it was there")

    monkeypatch.setattr(Store, "find", find)
    Store(tmp_path).obtain("corpus", settings={"x": 1}, inputs={"i": "d"}, make=never)
    assert looks == 2


def test_who_waits_for_a_lock_gets_the_one_that_others_are_held_by(tmp_path: Path) -> None:
    """A process that opened the lock's file while another held it, and then got it, keeps a third one out."""
    waiting: list[int] = []

    def wait(draft: Draft) -> None:
        write(draft)
        (lock,) = (path for path in tmp_path.rglob("*") if path.is_file() and "lock" in str(path.relative_to(tmp_path)))
        waiting.append(os.open(lock, os.O_RDWR))

    found = Store(tmp_path).obtain("corpus", settings={"x": 1}, inputs={"i": "d"}, make=wait)
    shutil.rmtree(found.folder)
    fcntl.flock(waiting[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        with pytest.raises(OutsideError, match="another process"):
            made(tmp_path)
    finally:
        os.close(waiting[0])
    assert made(tmp_path).digest == found.digest
    assert [path.name for path in (tmp_path / "corpus").iterdir()] == [found.key], "no lock among what was made"


def test_no_room_is_told_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """A file-size limit makes the system refuse a write, as a full disk does."""
    code = f"""
import resource, signal
from pathlib import Path
from stillroom.core import artifact
from stillroom.core.errors import DiskFull
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
def big(draft):
    (draft.folder / "big").write_bytes(b"x" * 100_000)
try:
    artifact.Store(Path({str(tmp_path)!r})).obtain("corpus", settings={{}}, inputs={{}}, make=big)
except DiskFull as error:
    print(error.exit_code, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("4 ")
    assert "Free some space" in done.stdout
    assert not left(tmp_path)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 10_000


def test_other_errors_of_the_system_are_not_called_a_full_disk(tmp_path: Path) -> None:
    def absent(draft: Draft) -> None:
        (draft.folder / "no" / "such").write_text("x", encoding="utf-8")

    with pytest.raises(FileNotFoundError):
        Store(tmp_path).obtain("corpus", settings={}, inputs={}, make=absent)
    assert DiskFull.exit_code == 4
