"""Writes a folder that runs a bundle's student in a browser: a page, the student, nothing that asks a server.

What the page does is in `page/`: scripts of ours, each by the name of the member whose answers it gives. A student of
tables needs nothing else; a graph runs in ONNX Runtime's WebAssembly, which `_runtime` brings.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from stillroom import runtime
from stillroom.core import artifact, plugins, scripted
from stillroom.core.errors import (
    ArtifactError,
    InputError,
    MismatchError,
    Problem,
    translating_full_disk,
)
from stillroom.core.scripted import Scripted
from stillroom.runtime import Predictor
from stillroom.web import _runtime

LIMIT_MB = 50
LIST = "files.json"
TOLD = "student.json"
_HERE = Path(__file__).parent
_PAGE, _STYLE, _WORKER = _HERE / "page", _HERE / "style.css", "sw.js"
_STUDENT, _RUNTIME = "student", "runtime"
_DIGEST = "{{digest}}"  # in the service worker: a browser takes a new version where a byte of it differs
_SCHEMA = 1
_MEGABYTE = 1e6


@final
@dataclass(frozen=True)
class Written:
    """A folder for a browser."""

    folder: Path
    runner: str
    digest: str
    sizes: Mapping[str, int]
    """Of each file, in bytes."""

    @property
    def size_mb(self) -> float:
        """Of all."""
        return sum(self.sizes.values()) / _MEGABYTE

    def as_dict(self) -> dict[str, Any]:
        """The folder as a program reads it."""
        return {"folder": str(self.folder), "runner": self.runner, "digest": self.digest,
                "files": len(self.sizes), "size_mb": round(self.size_mb, 3)}  # fmt: skip


def write(
    bundle: str | Path,
    *,
    out: Path,
    runner: str | None = None,
    onnxruntime: Path | None = None,
) -> Written:
    """Write the student of a bundle, or of a run, into a folder that any web server can hand out.

    `runner` names one of the bundle's; without it, it is the default, or where no browser runs that or it would be
    too large, the smallest of the others. `onnxruntime` is a folder with the files of onnxruntime-web; without it, npm
    fetches what the lock file says. A folder that this wrote before is replaced.

    Raises:
        ArtifactError: no bundle, or one whose answers here are not those that it was shipped with.
        MismatchError: no browser gives this student's answers, or not in less than 50 MB.
        InputError: the folder holds something else.
        OutsideError: npm, or what it fetches, is not there.
    """
    found = runtime.load(bundle)
    _refuse_foreign(out)
    name, parts = _chosen(found, runner, onnxruntime)
    predictor = runtime.load(found.folder, runner=name, verify=True)
    draft = out.with_name(f".{out.name}.draft")
    with translating_full_disk(out.parent):
        shutil.rmtree(draft, ignore_errors=True)
        artifact.make_folder(draft / _STUDENT)
        _fill(draft, predictor, parts, title=_title(Path(bundle), predictor))
        digest = _list(draft)
        verify(draft)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(draft, out)
    return Written(out, name, digest, {path.relative_to(out).as_posix(): path.stat().st_size for path in _files(out)})


def verify(folder: Path) -> None:
    """Check every file of a folder for a browser against its list, and that the service worker is of that list.

    Raises:
        ArtifactError: a file is missing, or is not what it was; all of them are named.
    """
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        files: Mapping[str, Mapping[str, Any]] = listed["files"]
        worker = (folder / _WORKER).read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = Problem(str(folder / LIST), "no list that can be read", "that of an export", "Export it again.")
        raise ArtifactError(problem) from error
    damaged = [
        Problem(
            str(folder / name), "not the file that was written", f"SHA-256 {told['sha256'][:16]}…", "Export it again."
        )
        for name, told in files.items()
        if not (folder / name).is_file() or artifact.file_sha256(folder / name) != told["sha256"]
    ]
    if not damaged and artifact.file_sha256(folder / LIST) not in worker:
        todo = "Export it again."
        damaged = [Problem(str(folder / _WORKER), "a service worker of another list", "this one's digest in it", todo)]
    if damaged:
        raise ArtifactError(*damaged)


def _chosen(found: Predictor, named: str | None, onnxruntime: Path | None) -> tuple[str, Mapping[str, Path | str]]:
    """The runner that a browser is given, and its files by their names in the folder: where they are, or their text."""
    told = json.loads((found.folder / runtime.BUNDLE).read_text(encoding="utf-8"))["runners"]
    if named is not None and named not in told:
        runtime.load(found.folder, runner=named)  # says so
    others = sorted(told.keys() - {found.runner}, key=lambda one: _bytes(found.folder, told[one]["files"]))
    task = found.task.in_browser()
    problems: list[Problem] = []
    for name in [named] if named else [found.runner, *others]:
        try:
            own = plugins.build("runtime.runners", told[name]["settings"]).in_browser(found.folder)
            parts = _parts(found, own, task, onnxruntime)
            _refuse_large(name, parts)
        except MismatchError as error:
            problems += error.problems
            continue
        return name, parts
    raise MismatchError(*problems)


def _parts(found: Predictor, runner: Scripted, task: Scripted, onnxruntime: Path | None) -> Mapping[str, Path | str]:
    for family, one in (("runners", runner), ("tasks", task)):
        if not (_PAGE / family / f"{one.told['kind']}.js").is_file():  # somebody else's member
            raise scripted.refused(f"`{one.told['kind']}` of the {family}, for which no script is here")
    needs = Scripted({}).holding(runner=runner, task=task)
    parts: dict[str, Path | str] = {f"{_STUDENT}/{name}": found.folder / name for name in needs.files}
    parts |= {f"{_STUDENT}/{name}": text for name, text in needs.made.items()}
    parts |= {f"{_STUDENT}/{TOLD}": json.dumps(needs.told, ensure_ascii=False)}
    card = found.folder / "model_card.md"
    parts |= {"model_card.md": card} if card.is_file() else {}
    parts |= {path.relative_to(_PAGE).as_posix(): path for path in _files(_PAGE)} | {_STYLE.name: _STYLE}
    if needs.graph:
        parts |= {f"{_RUNTIME}/{path.name}": path for path in _runtime.files(onnxruntime)}
    return parts


def _refuse_large(name: str, parts: Mapping[str, Path | str]) -> None:
    sizes = {name: one.stat().st_size if isinstance(one, Path) else len(one.encode()) for name, one in parts.items()}
    if sum(sizes.values()) < LIMIT_MB * _MEGABYTE:
        return
    large = sorted(sizes, key=lambda one: -sizes[one])[:4]
    told = ", ".join(f"{one} {sizes[one] / _MEGABYTE:.1f}" for one in large)
    found = f"{sum(sizes.values()) / _MEGABYTE:.1f} MB with the runner `{name}` (MB: {told})"
    todo = "Export the bundle with the format `onnx_int8` too, or a smaller student."
    raise MismatchError(Problem("web", found, f"less than {LIMIT_MB} MB, which a phone fetches and keeps", todo))


def _fill(draft: Path, predictor: Predictor, parts: Mapping[str, Path | str], *, title: str) -> None:
    for name, one in parts.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(one, Path):
            shutil.copyfile(one, path)
        else:
            path.write_text(one, encoding="utf-8", newline="")
    told = json.loads((draft / _STUDENT / TOLD).read_text(encoding="utf-8"))
    golden = (predictor.folder / runtime.GOLDEN).read_text(encoding="utf-8").splitlines()
    told |= {
        "title": title,
        "runner_name": predictor.runner,
        "digest": predictor.digest,
        "temperature": predictor.temperature,
        "parity": predictor.parity,
        "golden": [json.loads(line) for line in golden],
    }
    (draft / _STUDENT / TOLD).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


def _title(given: Path, predictor: Predictor) -> str:
    """The name of the run, or what a bundle is for."""
    return given.resolve().name if (given / runtime.RUN).is_file() else predictor.task.kind.replace("_", " ")


def _list(draft: Path) -> str:
    """Write the list of all files with their digests, and its own into the service worker."""
    files = {
        path.relative_to(draft).as_posix(): {"sha256": artifact.file_sha256(path), "size": path.stat().st_size}
        for path in _files(draft)
        if path.name != _WORKER
    }
    artifact.write_json(draft / LIST, {"schema": _SCHEMA, "files": files})
    digest = artifact.file_sha256(draft / LIST)
    worker = draft / _WORKER
    worker.write_text(worker.read_text(encoding="utf-8").replace(_DIGEST, digest), encoding="utf-8")
    return digest


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))


def _bytes(folder: Path, names: list[str]) -> int:
    return sum((folder / name).stat().st_size for name in names)


def _refuse_foreign(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        ours = json.loads((out / LIST).read_text(encoding="utf-8"))["schema"] == _SCHEMA
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        expected = "nothing, or a folder that an export for the web wrote"
        raise InputError(Problem(str(out), "something else there", expected, "Name another place: --out FOLDER."))
