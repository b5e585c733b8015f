"""Brings ONNX Runtime for browsers: from a folder that somebody names, or by npm with our lock file, once."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stillroom.core import artifact
from stillroom.core.errors import InputError, NoNetwork, OutsideError, Problem, translating_full_disk
from stillroom.corpora import cache_folder

PACKAGE = "onnxruntime-web"
NAMES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_HERE = Path(__file__).parent
_ASKED = ("package.json", "package-lock.json")
_SECONDS = 600
_TODO = f"Or name a folder with the files of {PACKAGE}: --runtime FOLDER."


def files(given: Path | None) -> Sequence[Path]:
    """The files that run a graph in a browser.

    Raises:
        InputError: the folder lacks one.
        OutsideError: there is no npm, or it could not fetch them.
    """
    if given is not None:
        return _in(given)
    lock = artifact.file_sha256(_HERE / _ASKED[1])
    folder = cache_folder() / "web" / lock[:24]
    if not all((folder / name).is_file() for name in NAMES):
        _fetch(folder)
    return [folder / name for name in NAMES]


def _in(given: Path) -> Sequence[Path]:
    for folder in (given, given / "dist", given / "node_modules" / PACKAGE / "dist"):
        if all((folder / name).is_file() for name in NAMES):
            return [folder / name for name in NAMES]
    expected = f"the files {', '.join(NAMES)} of {PACKAGE}"
    raise InputError(
        Problem(str(given), "a folder without them", expected, "Name the package's folder, or its `dist`.")
    )


def _fetch(folder: Path) -> None:
    """Have npm fetch what the lock file says, and put what is needed of it into the cache, whole."""
    npm = shutil.which("npm")
    if npm is None:
        raise OutsideError(Problem(PACKAGE, "no program `npm`", "npm, of Node.js", f"Install Node.js. {_TODO}"))
    artifact.make_folder(folder.parent)
    with (
        translating_full_disk(folder.parent),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-", ignore_cleanup_errors=True) as place,
    ):
        for name in _ASKED:
            shutil.copyfile(_HERE / name, Path(place) / name)
        reason = _run(npm, Path(place))
        got = Path(place) / "node_modules" / PACKAGE / "dist"
        if not all((got / name).is_file() for name in NAMES):
            found = f"npm without {PACKAGE} ({reason})"
            todo = f"Go online once and export again. {_TODO}"
            raise NoNetwork(Problem(PACKAGE, found, "what package-lock.json names", todo))
        for name in NAMES:
            artifact.make_folder(folder)
            (got / name).replace(folder / name)


def _run(npm: str, place: Path) -> str:
    """Why npm did not do it; nothing: it did. It runs no script of a package, and checks each against the lock file."""
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev"]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return " ".join(said[:2]).strip()[:200] if done.returncode else ""
