"""What can go wrong, drawn as one tree.

    StillroomError
    ├── InputError        exit 2   a recipe, a row or an argument is not usable
    │   ├── RecipeError            the recipe, with every problem at once
    │   ├── CorpusError            the rows
    │   └── MismatchError          parts that are each fine but do not fit together
    ├── ArtifactError     exit 3   a directory of ours is damaged, foreign or half there
    └── OutsideError      exit 4   the disk, the network or an installation
        ├── DiskFull
        ├── NoNetwork
        └── MissingExtra

A gate that says no is an answer, not an error: it exits with 1.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, final

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@final
@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where it stands, what was found, what was expected, what to do."""

    where: str
    found: str
    expected: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}. {self.todo}"


class StillroomError(Exception):
    """The root: carries every problem found, so that all of them can be mended in one go."""

    exit_code: ClassVar[int] = 4

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems

    def as_dict(self) -> dict[str, object]:
        """The error as a program reads it."""
        return {
            "error": type(self).__name__,
            "exit_code": self.exit_code,
            "problems": [asdict(problem) for problem in self.problems],
        }


class InputError(StillroomError):
    """Something that the user gave is not usable."""

    exit_code = 2


class RecipeError(InputError):
    """The recipe can't be run as it stands."""


class CorpusError(InputError):
    """The rows can't be used as they stand."""


class MismatchError(InputError):
    """Two parts that are each fine do not fit together."""


class ArtifactError(StillroomError):
    """A directory that a stage wrote is damaged, foreign or half there."""

    exit_code = 3


class OutsideError(StillroomError):
    """The world outside this program said no."""


class DiskFull(OutsideError):
    """There is no room left to write."""


class Occupied(OutsideError):
    """Another process is at work on the same thing."""


class NoNetwork(OutsideError):
    """Something had to be fetched and could not be."""


class MissingExtra(OutsideError):
    """A part of the installation is missing."""


def missing_extra(extra: str, *, package: str, needed_by: str) -> MissingExtra:
    """The error for a package that an extra would have brought, with the line that installs it."""
    return MissingExtra(
        Problem(
            where=needed_by,
            found=f"no package `{package}` in this environment",
            expected=f"the extra `{extra}`",
            todo=f"Install it: pip install 'stillroom[{extra}]'",
        )
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """A clause that names the nearest valid name, or lists the valid ones when none is near."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return f"Known here: {', '.join(known)}." if known else "Nothing is known here."


@contextlib.contextmanager
def translating_full_disk(folder: Path) -> Iterator[None]:
    """Turn the operating system's word for a full disk into ours."""
    try:
        yield
    except Exception as error:
        # Some libraries keep only the words of the system's error (pyarrow), and not even its class (safetensors).
        words = ("No space left", "File too large", "quota exceeded")
        full = getattr(error, "errno", None) in _NO_ROOM or any(one in str(error) for one in words)
        if not full:
            raise
        raise DiskFull(
            Problem(
                where=str(folder),
                found="no room left on the disk (or a quota or file-size limit was met)",
                expected="room for what this stage writes",
                todo="Free some space and run the same command again: what is finished is kept.",
            )
        ) from error
