"""A directory that a stage wrote: whole or not at all, and able to prove that it is what it was.

A *key* is the hash of what goes in (stage, settings, digests of the inputs), known before the work: a finished key is
not worked again. A *digest* is the hash of what came out (every file's SHA-256) and is what others cite. Time,
host and seconds are *circumstances*: recorded, and outside the digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from stillroom.core import processes
from stillroom.core.errors import ArtifactError, Occupied, OutsideError, Problem, translating_full_disk

MANIFEST = "manifest.json"
SCHEMA = 1
_SEEN_SECONDS = 90.0  # a network file system may keep what it knew of a folder for a minute
_LOCKS = ".locks"  # beside the stages, so that a stage's folder holds artifacts and drafts alone


def canonical(value: object) -> bytes:
    """The one way that we write JSON which is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def text_id(text: str) -> str:
    """The id of a text, the same wherever the text turns up: 128 bits of its SHA-256."""
    return sha256(text.encode("utf-8", "surrogatepass"))[:32]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of(stage: str, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The key of a piece of work, known before it is done."""
    return sha256(canonical({"schema": SCHEMA, "stage": stage, "settings": settings, "inputs": inputs}))[:24]


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and programs: whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    make_folder(path.parent)
    with translating_full_disk(path.parent):
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)


def make_folder(folder: Path) -> None:
    """Make a folder, with those above it, where there is none.

    Raises:
        OutsideError: it can't be made there, or not be written to.
    """
    why = "no right to write"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fine = os.access(folder, os.W_OK | os.X_OK)
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        fine, why = False, str(error.strerror).lower()
    if not fine:
        todo = "Choose another place, or mend its rights."
        raise OutsideError(Problem(str(folder), f"no folder to write into ({why})", "one that can be made", todo))


@final
@dataclass(frozen=True)
class Artifact:
    """A finished directory with its manifest."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def key(self) -> str:
        """What it was made from."""
        return str(self.manifest["key"])

    @property
    def digest(self) -> str:
        """What it holds."""
        return str(self.manifest["digest"])

    @property
    def circumstances(self) -> Mapping[str, Any]:
        """When, where and how fast it was made: outside the digest."""
        found: Mapping[str, Any] = self.manifest["circumstances"]
        return found

    def file_digest(self, name: str) -> str:
        """The SHA-256 of one of its files."""
        return str(self.manifest["files"][name])

    def read_json(self, name: str) -> Any:
        """One of its JSON files."""
        return json.loads((self.folder / name).read_text(encoding="utf-8"))


@final
@dataclass
class Draft:
    """A directory in the making. `facts` go into manifest and digest, `circumstances` only into the manifest."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    circumstances: dict[str, Any] = field(default_factory=dict)


def load(folder: Path) -> Artifact:
    """The artifact in a folder, every file checked against the manifest.

    Raises:
        ArtifactError: no manifest, an unreadable one, or files that are not what it says; all of them are named.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
        digest = manifest["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        if not folder.exists():
            todo = "Check the path."
            raise ArtifactError(Problem(str(folder), "no such folder", "a run or an artifact", todo)) from error
        raise ArtifactError(
            Problem(
                str(folder / MANIFEST),
                f"no manifest that can be read ({type(error).__name__})",
                "the manifest of a finished artifact",
                "Remove the folder and run the stage again.",
            )
        ) from error
    problems = [_damage(folder, name, expected) for name, expected in files.items()]
    found = [problem for problem in problems if problem is not None]
    if not found and _digest(files, manifest) != digest:
        found = [_damaged(folder / MANIFEST, "facts that do not match its own digest", digest)]
    if found:
        raise ArtifactError(*found)
    return Artifact(folder, manifest)


def copied(found: Artifact, folder: Path) -> None:
    """Put a copy of an artifact into a folder, whole or not at all; what was there before is gone."""
    make_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}.draft")
    with translating_full_disk(folder.parent):
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(found.folder, draft)
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(draft, folder)


def _damage(folder: Path, name: str, expected: str) -> Problem | None:
    path = folder / name
    if not path.is_file():
        return _damaged(path, "no such file", expected)
    actual = file_sha256(path)
    return None if actual == expected else _damaged(path, f"SHA-256 {actual[:16]}…", expected)


def _damaged(path: Path, found: str, expected: str) -> Problem:
    return Problem(
        str(path), found, f"SHA-256 {expected[:16]}…", f"Remove {path.parent} and run again: the stage is redone."
    )


def _digest(files: Mapping[str, str], manifest: Mapping[str, Any]) -> str:
    return sha256(canonical({"files": files, "facts": manifest["facts"], "stage": manifest["stage"]}))


@final
@dataclass(frozen=True)
class Store:
    """The work folder: one directory a stage, one directory in it a key."""

    root: Path

    @property
    def books(self) -> Path:
        """Where those who are paid keep account: no artifact, since it grows and outlives what was made with it."""
        return self.root / "books"

    def find(self, stage: str, key: str) -> Artifact | None:
        """A finished artifact, checked, or None where there is none."""
        folder = self.root / stage / key
        return load(folder) if folder.is_dir() else None

    def obtain(
        self,
        stage: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        make: Callable[[Draft], None],
        resumable: bool = False,
        shared: bool = False,
    ) -> Artifact:
        """The artifact that these settings and inputs give: found, or made by `make` in a draft.

        A resumable stage finds in the draft what a killed run had finished; the others start from an empty one.
        Of several processes that a launcher started the main one makes it, and the others wait; where the work is
        `shared`, all of them run `make`, the others in copies of the draft that are thrown away.

        Raises:
            DiskFull: there was no room for it.
            OutsideError: somebody else is making the same thing, or one of our processes is gone.
        """
        key = key_of(stage, settings, inputs)
        if not processes.is_main():
            return self._await(stage, key, make=make)

        def begin(draft: Draft) -> None:
            if shared:
                draft.circumstances["processes"] = processes.count()
                processes.tell(True)
                processes.meet()
            make(draft)

        found = self._obtain(stage, key, settings=settings, inputs=inputs, make=begin, resumable=resumable)
        processes.tell(False)
        return found

    def _await(self, stage: str, key: str, *, make: Callable[[Draft], None]) -> Artifact:
        """What the main process finds or makes; where that is shared work, do it beside it first."""
        if processes.hear():
            with tempfile.TemporaryDirectory(prefix="stillroom-") as folder:
                shutil.copytree(_seen(self.root / stage / f".draft-{key}"), folder, dirs_exist_ok=True)
                processes.meet()
                make(Draft(Path(folder)))
            processes.hear()
        return load(_seen(self.root / stage / key))

    def _obtain(
        self,
        stage: str,
        key: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        make: Callable[[Draft], None],
        resumable: bool,
    ) -> Artifact:
        found = self.find(stage, key)
        if found is not None:
            return found
        folder = self.root / stage / f".draft-{key}"
        with translating_full_disk(folder):
            make_folder(folder.parent)
            with alone(self.root / _LOCKS / f"{stage}-{key}", folder):
                # Another process may have made it between our look and our lock.
                found = self.find(stage, key)
                if found is None:
                    with self._draft(stage, key, settings=settings, inputs=inputs, resumable=resumable) as draft:
                        make(draft)
                    found = load(self.root / stage / key)
        return found

    @contextlib.contextmanager
    def _draft(
        self,
        stage: str,
        key: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        resumable: bool,
    ) -> Iterator[Draft]:
        """A draft that becomes `<stage>/<key>` when the block ends well, and stays one when it does not."""
        folder = self.root / stage / f".draft-{key}"
        if not resumable and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        draft = Draft(folder)
        started = datetime.now(UTC)
        try:
            yield draft
            self._finish(draft, stage, key, settings, inputs, started)
        except BaseException:
            if not resumable:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        os.replace(folder, self.root / stage / key)

    def _finish(
        self,
        draft: Draft,
        stage: str,
        key: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        started: datetime,
    ) -> None:
        files = {
            path.relative_to(draft.folder).as_posix(): file_sha256(path)
            for path in sorted(draft.folder.rglob("*"))
            if path.is_file()
        }
        manifest: dict[str, Any] = {
            "schema": SCHEMA,
            "stage": stage,
            "key": key,
            "settings": settings,
            "inputs": dict(inputs),
            "facts": draft.facts,
            "files": files,
        }
        manifest["digest"] = _digest(files, manifest)
        manifest["circumstances"] = {
            "started": started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 3),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "stillroom": _version(),
            **draft.circumstances,
        }
        write_json(draft.folder / MANIFEST, manifest)


def _seen(folder: Path) -> Path:
    """A folder that the main process made, once this one sees it too.

    Raises:
        OutsideError: it never does.
    """
    until = time.monotonic() + _SEEN_SECONDS
    while not folder.is_dir():
        if time.monotonic() > until:
            expected = "what the main process made there"
            todo = "Put the work folder where all hosts see it."
            raise OutsideError(Problem(str(folder), "no such folder on this host", expected, todo))
        time.sleep(0.05)
    return folder


def _version() -> str:
    from stillroom import __version__

    return __version__


@contextlib.contextmanager
def alone(path: Path, folder: Path) -> Iterator[None]:
    """Hold a lock, whose file stays: where one is removed, two can hold what each takes for the same.

    Raises:
        Occupied: another process holds it.
    """
    from filelock import FileLock, Timeout  # only here: whoever loads a bundle locks nothing

    make_folder(path.parent)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Occupied(
            Problem(str(folder), "another process at work on it", "to be alone", "Wait for it, or stop it.")
        ) from error
    try:
        yield
    finally:
        lock.release()
