"""Asks a student about texts from anywhere, many at a time and in their order; memory does not grow with them."""

from __future__ import annotations

import glob
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, final

from stillroom.core import drafts
from stillroom.core.errors import InputError, Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.runtime import Predictor, reading
from stillroom.runtime.reading import Reading

#: The longest line that is taken for a text, in bytes.
LONGEST_LINE = 1_000_000
STDIN = "-"
_AT_ONCE = 512
_TOLD = 20  # problems that are told one by one


@final
@dataclass(frozen=True)
class Row:
    """A text to ask about."""

    where: str
    """Its file and line."""
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """What stood beside it."""


@final
@dataclass(frozen=True)
class Answer:
    """What the student says of a row."""

    row: Row
    reading: Reading

    def as_dict(self) -> dict[str, Any]:
        """The row's fields, its text as `source`, and the prediction; cuts, where there are any."""
        cuts = {"cuts": self.reading.as_dict()["cuts"]} if self.reading.cuts else {}
        return {**self.row.fields, "source": self.row.text, **self.reading.prediction.as_dict(), **cuts}

    def as_line(self) -> str:
        """The prediction beside the text (or its file, where it has several lines), and what was not read of it."""
        beside = self.row.where if "\n" in self.row.text else self.row.text
        unread = [f"{one.start}–{one.end}" for one in self.reading.cuts if one.end > one.start]
        told = f"\t(characters {', '.join(unread)} were not read)" if unread else ""
        return f"{self.reading.prediction.as_line()}\t{beside}{told}"


def answers(
    predictor: Predictor, rows: Iterable[Row | Problem], *, length: int | None = None, report: Report = silent
) -> Iterator[Answer]:
    """An answer to each row, in their order and as rows come, of so many words at most as `length` says.

    What is wrong with other rows is told at the end.

    Raises:
        InputError: some rows could not be read, the others have been answered; or a length of what has none.
    """
    predictor.check_length(length)
    problems: list[Problem] = []
    wrong = 0
    meter: Meter | None = None
    waiting = iter(rows)
    while batch := list(islice(waiting, _AT_ONCE)):
        for one in batch:
            if isinstance(one, Problem):
                wrong += 1
                problems += [one] if len(problems) < _TOLD else []
        asked = [one for one in batch if isinstance(one, Row)]
        said = reading.read_all(predictor, [one.text for one in asked], length=length, at_once=_AT_ONCE)
        for row, found in zip(asked, said, strict=True):
            yield Answer(row, found)
        if meter or len(batch) == _AT_ONCE:  # few texts are soon done, and nothing need be told
            meter = meter or Meter(report, stage="predict", total=None, unit="texts")
            meter.advance(len(asked))
    if wrong > len(problems):
        rest = f"{wrong - len(problems):,} more rows that can't be read"
        problems.append(Problem("and so on", rest, "none", "Mend these first."))
    if problems:
        raise InputError(*problems)


def given(texts: Sequence[str]) -> Iterator[Row]:
    """Rows of texts."""
    return (Row(f"texts[{place}]", text) for place, text in enumerate(texts))


def lines(paths: Sequence[str], *, column: str | None = None, whole: bool = False) -> Iterator[Row | Problem]:
    """The rows of files, of all that a pattern finds, and of stdin (`-`), in their order.

    A line is a text; of a file that ends in `.jsonl`, and of every one where a `column` is given, it is an object, and
    the text its field `text` or the one of that name. `whole`: a file is one text.
    """
    for pattern in paths:
        names = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else [pattern]
        if not names:
            yield Problem(pattern, "no file that the pattern finds", "one or more", "Check the pattern.")
        for name in names:
            yield from _of_file(name, column=column, whole=whole)


def _of_file(name: str, *, column: str | None, whole: bool) -> Iterator[Row | Problem]:
    named = column or ("text" if Path(name).suffix == ".jsonl" else None)
    if name == STDIN:
        yield from _rows(sys.stdin.buffer, "stdin", named, whole=whole)
        return
    try:
        with Path(name).open("rb") as file:
            yield from _rows(file, name, named, whole=whole)
    except OSError as error:
        yield Problem(name, f"no file that can be read ({str(error.strerror).lower()})", "a file", "Check the path.")


def _rows(file: BinaryIO, name: str, column: str | None, *, whole: bool) -> Iterator[Row | Problem]:
    if whole and not column:
        text = _decoded(file.read(), name)
        yield Row(name, text) if isinstance(text, str) else text
        return
    for number, raw in enumerate(_raw_lines(file), start=1):
        where = f"{name}:{number}"
        if raw is None:
            todo = "If the file is one text, read it with `--whole`."
            yield Problem(where, f"a line of more than {LONGEST_LINE:,} bytes", "a text a line", todo)
            continue
        text = _decoded(raw.rstrip(b"\r\n"), where)
        if isinstance(text, str) and column:
            yield _row(text, where, column)
        else:
            yield Row(where, text) if isinstance(text, str) else text


def _raw_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """The lines of a file, None for one that is too long: no more than that much is ever held."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)
        yield None


def _decoded(raw: bytes, where: str) -> str | Problem:
    if b"\0" in raw:
        todo = "Is this a file of text? If it is UTF-16, convert it first."
        return Problem(where, "a NUL byte", "text in UTF-8", todo)
    try:
        return raw.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        found = f"bytes that are not {error.encoding} (the {error.start + 1}th)"
        return Problem(where, found, "text in UTF-8", "Convert it first.")


def _row(line: str, where: str, column: str) -> Row | Problem:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        found = (
            f"no JSON ({error.msg} at column {error.colno})" if isinstance(error, json.JSONDecodeError) else "no JSON"
        )
        return Problem(where, found, "an object a line", "Mend the line, or leave out `--field`.")
    if not isinstance(fields, dict):
        return Problem(where, f"a {type(fields).__name__}", "an object a line", "Mend the line.")
    text = fields.pop(column, None)
    if not isinstance(text, str):
        found = f"no text in the field `{column}`" if text is not None else f"no field `{column}`"
        return Problem(where, found, "a text", f"It has {_listed(fields)}: name one by `--field`, or mend the line.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair at character {error.start}"
        return Problem(where, found, "text that UTF-8 can write", "Replace the character.")
    return Row(where, text, fields)


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"`{one[:40]}`" for one in list(fields)[:5]) or "nothing else"


def as_lines(found: Iterable[Answer]) -> Iterator[str]:
    """For people: a line a text."""
    return (f"{one.as_line()}\n" for one in found)


def as_annotated(found: Iterable[Answer]) -> Iterator[str]:
    """For people: each text with what was found in it."""
    return (f"{one.reading.prediction.annotated(one.row.text)}\n" for one in found)


def as_jsonl(found: Iterable[Answer]) -> Iterator[str]:
    """An object a line."""
    return (json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in found)


def as_json(found: Iterable[Answer]) -> Iterator[str]:
    """One document: a list."""
    between = "[\n"
    for one in found:
        yield between + "  " + json.dumps(one.as_dict(), ensure_ascii=False, indent=2).replace("\n", "\n  ")
        between = ",\n"
    yield "[]\n" if between == "[\n" else "\n]\n"


def write(pieces: Iterable[str], *, out: Path | None = None, whole: bool = False) -> None:
    """Write to a file, whole or not at all; or to stdout, as it comes or where `whole` when all of it is there.

    Raises:
        OutsideError: the file can't be written.
    """
    if out:
        with drafts.writing(out) as file:
            file.writelines(pieces)
    elif whole:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
            file.seek(0)
            shutil.copyfileobj(file, sys.stdout)
    else:
        sys.stdout.writelines(pieces)
