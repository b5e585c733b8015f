"""From a path in a recipe to the files behind it: local or remote, one or a glob, or a folder of `datasets`."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast, final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from stillroom.core.errors import CorpusError, NoNetwork, Problem, StillroomError, nearest

_ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".parquet": "parquet",
    ".pq": "parquet",
}
#: The names under which a folder of several splits may keep each of ours.
_SPLITS = {"train": ("train",), "dev": ("dev", "validation", "valid"), "test": ("test",)}


@final
@dataclass(frozen=True)
class File:
    """A file that was found.

    `name` is what people are shown; `classes` holds the names of the classes where a column has their numbers.
    """

    name: str
    path: str
    system: Any
    format: str
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


def find(path: str, *, split: str, format: str) -> list[File]:
    """The files that a path stands for, in the order of their names.

    Raises:
        CorpusError: there is none, or what is there is of no known kind.
        NoNetwork: a remote place does not answer.
    """
    try:
        system, target = fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        todo = "Install the package that it names, or use a local path."
        raise CorpusError(Problem(path, f"a place that fsspec can't open ({error})", "a path or URL", todo)) from error
    with _translating(path, system):
        kind = _kind(system, target)
        if kind == "directory":
            return _folder(path.rstrip("/"), system, target, split=split)
        if kind is not None:
            return [_file(path, target, system, format)]
        if any(sign in path for sign in "*?["):
            matches = sorted(match for match in system.glob(target) if _kind(system, match) != "directory")
            if not matches:
                todo = "Correct the pattern; it is taken from the folder in which the command runs."
                raise CorpusError(Problem(path, "no file that matches", "at least one", todo))
            return [_file(_name(path, match, system), match, system, format) for match in matches]
        raise CorpusError(Problem(path, "no such file", "a file", _neighbour(system, target)))


def sha256(file: File) -> str:
    """The SHA-256 of a file's bytes as they lie there, read in pieces."""
    digest = hashlib.sha256()
    with _translating(file.name, file.system), file.system.open(file.path, "rb") as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
    return digest.hexdigest()


@contextlib.contextmanager
def opened(file: File) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed where its name ends in `.gz`."""
    with contextlib.ExitStack() as stack:
        with _translating(file.name, file.system):
            if isinstance(file.system, LocalFileSystem):
                stream: Any = stack.enter_context(open(file.path, "rb"))
            else:
                stream = stack.enter_context(file.system.open(file.path, "rb"))
        if file.path.endswith(".gz"):
            # The buffer makes reading by line several times quicker than gzip's own.
            stream = io.BufferedReader(cast(Any, gzip.GzipFile(fileobj=stream)), 1 << 18)
        yield cast(BinaryIO, stream)


def _kind(system: Any, target: str) -> str | None:
    """`file`, `directory` or another word of the file system's; None where there is nothing."""
    try:
        return str(system.info(target)["type"])
    except FileNotFoundError:
        return None


def _file(name: str, target: str, system: Any, form: str) -> File:
    if form == "auto":
        ending = os.path.splitext(target.removesuffix(".gz"))[1].lower()
        form = _ENDINGS.get(ending, "")
        if form == "" or (form == "parquet" and target.endswith(".gz")):
            found = f"the ending `{os.path.splitext(target)[1]}`"
            expected = f"{', '.join(_ENDINGS)} (those of lines also with .gz)"
            todo = "Say what it is: format = one of csv, tsv, jsonl, parquet, conll."
            raise CorpusError(Problem(name, found, expected, todo))
    return File(name, target, system, form)


def _name(given: str, match: str, system: Any) -> str:
    """The name of a globbed file, as relative as the pattern was."""
    if not isinstance(system, LocalFileSystem):
        return str(system.unstrip_protocol(match))
    return match if os.path.isabs(given) else os.path.relpath(match).replace(os.sep, "/")


def _neighbour(system: Any, target: str) -> str:
    """What may have been meant by a path where nothing is."""
    folder, name = os.path.split(target)
    if not isinstance(system, LocalFileSystem) or not os.path.isdir(folder):
        return "Correct the path; it is taken from the folder in which the command runs."
    others = sorted(os.listdir(folder))[:200]
    hint = nearest(name, others)
    return hint if hint.startswith("Did") else f"Correct the path; {folder} holds no such name."


def _folder(path: str, system: Any, target: str, *, split: str) -> list[File]:
    """The files of a folder that `save_to_disk` of the `datasets` library wrote."""
    if _kind(system, f"{target}/dataset_dict.json") is not None:
        splits = [str(name) for name in _json(system, f"{target}/dataset_dict.json", path)["splits"]]
        chosen = next((name for name in _SPLITS.get(split, ()) if name in splits), None)
        if chosen is None:
            todo = f"Name one of them: {', '.join(f'{path}/{name}' for name in splits)}."
            raise CorpusError(Problem(path, f"a folder of the splits {', '.join(splits)}", "one split", todo))
        return _folder(f"{path}/{chosen}", system, f"{target}/{chosen}", split=split)
    if _kind(system, f"{target}/state.json") is None:
        todo = f'Name the files in it, for example "{path}/*.csv".'
        raise CorpusError(Problem(path, "a folder", "a file, or a folder written by `datasets`", todo))
    state = _json(system, f"{target}/state.json", path)
    if state.get("_indices_data_files"):
        todo = "Write it again with flatten_indices() before save_to_disk()."
        raise CorpusError(Problem(path, "a folder whose rows are picked by a second file", "plain rows", todo))
    features = _json(system, f"{target}/dataset_info.json", path).get("features") or {}
    classes = {name: tuple(kind["names"]) for name, kind in features.items() if _is_class_label(kind)}
    names = [str(item["filename"]) for item in state["_data_files"]]
    return [File(f"{path.rstrip('/')}/{n}", f"{target}/{n}", system, "arrow", classes) for n in names]


def _is_class_label(kind: Any) -> bool:
    return isinstance(kind, dict) and kind.get("_type") == "ClassLabel" and isinstance(kind.get("names"), list)


def _json(system: Any, target: str, path: str) -> dict[str, Any]:
    try:
        found = json.loads(system.cat_file(target))
        if not isinstance(found, dict):
            raise ValueError("no object")
        return found
    except (ValueError, FileNotFoundError) as error:
        name = target.rsplit("/", 1)[-1]
        todo = "Write the folder again with save_to_disk()."
        raise CorpusError(Problem(f"{path}/{name}", "no JSON object", "what `datasets` writes", todo)) from error


@contextlib.contextmanager
def _translating(name: str, system: Any) -> Iterator[None]:
    """The errors of a file system in our words; each remote one has its own, so every one of theirs is caught."""
    try:
        yield
    except StillroomError:
        raise
    except OSError as error:
        if isinstance(system, LocalFileSystem):
            found = f"a file that can't be opened ({error.strerror or error})"
            todo = "Correct the path or its permissions."
            raise CorpusError(Problem(name, found, "a file that can be read", todo)) from error
        raise _unreachable(name, error) from error
    except Exception as error:  # each remote system has errors of its own
        if isinstance(system, LocalFileSystem):
            raise
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> NoNetwork:
    found = f"no answer that can be used ({type(error).__name__}: {str(error)[:120]})"
    todo = "Check the address, the network and the credentials, or copy the file here."
    return NoNetwork(Problem(name, found, "a remote file", todo))
