"""Proofreads files that people write: Markdown and plain text, with the line and column of each finding."""

from __future__ import annotations

import glob
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

from stillroom.core import drafts, edits, prose
from stillroom.core.edits import Edit
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.core.prose import Block
from stillroom.runtime import Predictor, load, reading
from stillroom.runtime.reading import Cut
from stillroom.tasks.proofreading import Correction

#: The environment variable that names a proofreader.
VARIABLE = "STILLROOM_PROOFREADER"
_SOON = 256  # paragraphs that are read before progress is told


@final
@dataclass(frozen=True)
class Finding:
    """A correction and where it stands in its file."""

    line: int
    column: int
    """Both from 1, in code points."""
    correction: Correction
    """Its places are those of the whole file, a mark of its encoding (BOM) left out."""

    def as_dict(self) -> dict[str, Any]:
        """The same as a program reads it."""
        return {"line": self.line, "column": self.column, **asdict(self.correction)}

    def as_line(self) -> str:
        """The same as people read it, behind the name of its file."""
        one = self.correction
        told = " → ".join(some.replace("\r", "").replace("\n", "⏎") or "∅" for some in (one.text, one.replacement))
        return f"{self.line}:{self.column}: {told} ({one.type}, {one.score:.2f}) {one.explanation}"


@final
@dataclass(frozen=True)
class Proofread:
    """A file and what was found in it."""

    path: Path
    findings: tuple[Finding, ...]
    cuts: tuple[Cut, ...]
    """What of it could not be read; mostly nothing."""
    fixed: bool

    def as_dict(self) -> dict[str, Any]:
        """The same as a program reads it."""
        return {
            "path": str(self.path),
            "findings": [one.as_dict() for one in self.findings],
            "cuts": [asdict(one) for one in self.cuts],
            "fixed": self.fixed,
        }


def proofreader(folder: Path | None, *, runner: str | None = None) -> Predictor:
    """The student that proofreads: a bundle, or a finished run.

    Raises:
        InputError: none is named, or it does something else.
    """
    making = "Make one with `stillroom run recipes/proofread.toml` (see docs/proofread.md)"
    if folder is None:
        todo = f"{making}, then name it: `--bundle work/runs/proofread`, or the variable {VARIABLE}."
        raise InputError(Problem("--bundle", "no proofreader", "the folder of a bundle or of a run", todo))
    predictor = load(folder, runner=runner)
    if not predictor.task.corrects:
        found = f"a student of the task `{predictor.task.kind}`"
        raise InputError(Problem(str(folder), found, "one that corrects texts", f"{making}."))
    return predictor


def files(patterns: Sequence[str]) -> list[Path]:
    """The files of some names and patterns, each once, in their order.

    Raises:
        InputError: some can't be read, with all of them.
    """
    found: dict[Path, None] = {}
    problems: list[Problem] = []
    for pattern in patterns:
        names = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]
        if not names:
            problems.append(Problem(pattern, "no file that the pattern finds", "one or more", "Check the pattern."))
        for name in names:
            if not (glob.has_magic(pattern) and Path(name).is_dir()):
                found[Path(name)] = None
    for path in found:
        problems += _unreadable(path)
    if problems:
        raise InputError(*problems)
    return list(found)


def _unreadable(path: Path) -> Iterator[Problem]:
    try:
        raw = path.read_bytes()
        raw.decode()
    except OSError as error:
        todo = 'Check the path; of a folder name the files: "docs/**/*.md".'
        yield Problem(str(path), f"no file that can be read ({str(error.strerror).lower()})", "a file of text", todo)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        yield Problem(f"{path}:{line}", f"bytes that are not {error.encoding}", "text in UTF-8", "Convert it first.")
    else:
        if b"\0" in raw:
            line = raw[: raw.index(b"\0")].count(b"\n") + 1
            yield Problem(f"{path}:{line}", "a NUL byte", "a file of text", "Leave it out, or convert it first.")


def proofread(
    predictor: Predictor, paths: Iterable[Path], *, fix: bool = False, report: Report = silent
) -> Iterator[Proofread]:
    """What is found in each file. `fix` makes the corrections, file by file, each whole or not at all."""
    meter = _Meter(report)
    for path in paths:
        mark, text = _opened(path)
        blocks = prose.blocks(text, form=prose.form_of(path))
        corrections, cuts = [], []
        for block, read in zip(blocks, reading.read_all(predictor, (one.text for one in blocks)), strict=True):
            corrections += list(located(block, read.prediction.corrections))
            cuts += list(_unread(block, read.cuts))
            meter.advance()
        if fix and corrections:
            with drafts.writing(path) as file:
                file.write(mark + mended(text, corrections))
        yield Proofread(path, tuple(_lined(text, corrections)), tuple(cuts), fixed=fix and bool(corrections))


def _opened(path: Path) -> tuple[str, str]:
    """The mark that some editors put before a text, and the text."""
    text = path.read_bytes().decode()
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    return mark, text.removeprefix(mark)


def located(block: Block, corrections: Iterable[Correction]) -> Iterator[Correction]:
    """The corrections of a block where they stand in its file; those that touch what is to be left alone are none."""
    for one in corrections:
        place = block.place(one.start, one.end)
        if place:
            yield replace(one, start=place[0], end=place[1])


def mended(text: str, corrections: Iterable[Correction]) -> str:
    """A file's text with corrections made."""
    return edits.applied(text, [Edit(one.start, one.end, one.replacement) for one in corrections])


def _unread(block: Block, cuts: Iterable[Cut]) -> Iterator[Cut]:
    for one in cuts:
        place = block.place(one.start, one.end)
        if one.end > one.start and place:
            yield Cut(*place, one.why)


def _lined(text: str, corrections: Sequence[Correction]) -> Iterator[Finding]:
    starts = line_starts(text)
    for one in corrections:
        line = bisect_right(starts, one.start)
        yield Finding(line, one.start - starts[line - 1] + 1, one)


def line_starts(text: str) -> list[int]:
    """Where each line of a text begins, by the line ends that editors know."""
    ends = (at + 1 for at, one in enumerate(text)
            if one == "\n" or (one == "\r" and not text.startswith("\n", at + 1)))  # fmt: skip
    return [0, *ends]


@final
class _Meter:
    """Tells how far it is once that takes a while."""

    def __init__(self, report: Report) -> None:
        self._report, self._done = report, 0
        self._meter: Meter | None = None

    def advance(self) -> None:
        """One paragraph more."""
        self._done += 1
        if self._done < _SOON:
            return
        if self._meter is None:
            self._meter = Meter(self._report, stage="proofread", total=None, unit="paragraphs")
            self._meter.advance(self._done - 1)
        self._meter.advance()
