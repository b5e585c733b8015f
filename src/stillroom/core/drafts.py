"""Files that are written whole or not at all, with the rights of what stood there before."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from stillroom.core import artifact
from stillroom.core.errors import OutsideError, Problem, translating_full_disk


@contextlib.contextmanager
def writing(path: Path) -> Iterator[TextIO]:
    """A file that is written bit by bit, in UTF-8 and with the line ends that it is given, and there at the end.

    Until then, and where something fails, what was there stays. Of a link the file behind it is written.

    Raises:
        OutsideError: it can't be written there.
    """
    path = path.resolve()
    if path.is_dir():
        raise OutsideError(Problem(str(path), "a folder", "a file to write", "Name a file."))
    artifact.make_folder(path.parent)
    with translating_full_disk(path.parent):
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".draft", dir=path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                yield file
            _like(path, Path(name))
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _like(path: Path, draft: Path) -> None:
    """Give a draft the rights of the file that it is for, or those of a new one."""
    try:
        before = path.stat()
    except FileNotFoundError:
        draft.chmod(0o666 & ~_refused())
        return
    draft.chmod(before.st_mode & 0o7777)
    with contextlib.suppress(OSError, AttributeError):  # only root gives files away, and Windows knows no such thing
        os.chown(draft, before.st_uid, before.st_gid)


def _refused() -> int:
    """The rights that new files do not get, which can only be read by setting them."""
    found = os.umask(0o022)
    os.umask(found)
    return found
