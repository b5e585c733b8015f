"""Files of lines, read one line at a time: csv, tsv and jsonl.

A line ends with a line feed and with nothing else: other characters that Python counts as line ends (U+0085, U+2028,
form feeds) stand inside real texts.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, final

from stillroom.core.errors import Problem
from stillroom.corpora import Row
from stillroom.corpora.table.columns import Wanted

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@final
@dataclass(frozen=True)
class Line:
    """A line as it was read; where it has a problem, its text only keeps the parser in step."""

    text: str
    where: str
    problem: Problem | None = None


@final
class Lines:
    """The decoded lines of a file, each held alone."""

    def __init__(self, file: BinaryIO, *, name: str, encoding: str, max_characters: int) -> None:
        self._file, self.name, self._encoding = file, name, encoding
        self.max_characters = max_characters
        # No character takes more than four bytes, so a longer line can be refused without being read to its end.
        self._max_bytes = 4 * max_characters + 2

    def __iter__(self) -> Iterator[Line]:
        number, offset = 0, 0
        try:
            while data := self._file.readline(self._max_bytes):
                number += 1
                where = f"{self.name}, line {number}"
                if len(data) == self._max_bytes and not data.endswith(b"\n"):
                    yield Line("\n", where, self._too_long(where, f"more than {self._max_bytes:,} bytes"))
                    offset += len(data) + self._skip_line()
                    continue
                yield self._line(data, where=where, offset=offset)
                offset += len(data)
        except (EOFError, OSError, zlib.error) as error:
            where = f"{self.name}, after line {number}"
            found = f"data that can't be read ({error})"
            yield Line("\n", where, Problem(where, found, "a whole file", "Copy or compress the file again."))

    def _line(self, data: bytes, *, where: str, offset: int) -> Line:
        start = data.removeprefix(_BOM) if offset == 0 else data
        try:
            text = start.decode(self._encoding)
            problem = None
        except UnicodeDecodeError as error:
            text = start.decode(self._encoding, errors="replace")
            problem = self._undecodable(data, error.start + len(data) - len(start), where=where, offset=offset)
        if "\0" in text and problem is None:
            problem = Problem(
                f"{where} (byte {offset + data.find(0):,})",
                "a NUL byte",
                "text without NUL bytes",
                "Remove it: the file was damaged, or is not a text file.",
            )
        if len(text) > self.max_characters:
            return Line("\n", where, self._too_long(where, f"{len(text):,} characters"))
        return Line(text if problem is None else text.replace("\0", " "), where, problem)

    def _undecodable(self, data: bytes, position: int, *, where: str, offset: int) -> Problem:
        if offset == 0 and data.startswith(_UTF_16):
            todo = "The file looks like UTF-16: save it as UTF-8."
        elif self._encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
            todo = 'If the file is latin-1 or Windows text, set `encoding = "latin-1"` or `"cp1252"` under [corpus].'
        else:
            todo = "Set `encoding` under [corpus] to the file's own."
        return Problem(
            f"{where} (byte {offset + position:,})",
            f"the byte 0x{data[position]:02x}, which is not {self._encoding} here",
            f"text encoded as {self._encoding}",
            todo,
        )

    def _too_long(self, where: str, found: str) -> Problem:
        return Problem(
            where,
            f"a line of {found}",
            f"at most {self.max_characters:,} characters",
            "Cut or remove it, or raise `max_characters` under [corpus].",
        )

    def _skip_line(self) -> int:
        skipped = 0
        while data := self._file.readline(self._max_bytes):
            skipped += len(data)
            if data.endswith(b"\n"):
                break
        return skipped


@final
class _Record:
    """Hands lines to the csv parser and remembers what belongs to the record that it is at."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.where = ""
        self.problem: Problem | None = None

    def begin(self) -> None:
        """A new record starts with the next line."""
        self.where = ""
        self.problem = None

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.where = self.where or line.where
            self.problem = self.problem or line.problem
            yield line.text


def separated(lines: Lines, *, wanted: Wanted, delimiter: str, quoted: bool) -> Iterator[Row | Problem]:
    """The rows of a csv or tsv file with a header."""
    # The limit belongs to the whole process; it is only ever raised, so nobody else's reading gets stricter.
    csv.field_size_limit(max(csv.field_size_limit(), lines.max_characters))
    record = _Record(lines)
    reader = csv.reader(
        iter(record), delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE, strict=quoted
    )
    header: list[str] | None = None
    while True:
        record.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield record.problem or _broken(record.where, error)
            return  # where quotes are out of step, what follows can't be told apart
        if record.problem is not None:
            yield record.problem
            if header is None:
                return
        elif not cells:
            continue
        elif header is None:
            header = [name.strip() for name in cells]
            if problems := wanted.missing(header, where=record.where):
                yield from problems
                return
            present = wanted.present(header)
            places = [header.index(name) for name in present]
        elif len(cells) != len(header):
            yield _uneven(record.where, len(cells), len(header), quoted=quoted)
        else:
            yield wanted.row({n: cells[i] for n, i in zip(present, places, strict=True)}, where=record.where)


def _broken(where: str, error: csv.Error) -> Problem:
    return Problem(
        where,
        f"a row that can't be parsed ({error})",
        "rows of fields, with a quote that opens also closed",
        'Correct the quotes, or set `quoting = "no"` under [corpus]. The rest of the file was not read.',
    )


def _uneven(where: str, found: int, expected: int, *, quoted: bool) -> Problem:
    todo = (
        "Put texts that hold the separator in quotes."
        if quoted
        else 'Take the separator out of the text, or set `quoting = "yes"` under [corpus] if quotes group fields.'
    )
    return Problem(where, f"{found} fields", f"{expected} fields, as in the header", todo)


def jsonl(lines: Lines, *, wanted: Wanted) -> Iterator[Row | Problem]:
    """The rows of a file with a JSON object on each line."""
    for line in lines:
        if line.problem is not None:
            yield line.problem
        elif line.text.strip():
            yield from _object(line, wanted)


def _object(line: Line, wanted: Wanted) -> Iterator[Row | Problem]:
    try:
        values: Any = json.loads(line.text)
    except (json.JSONDecodeError, RecursionError) as error:
        place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        found = error.msg if isinstance(error, json.JSONDecodeError) else "values nested too deeply"
        todo = "Correct the line. A file that is one JSON array has to be written one object a line."
        yield Problem(f"{line.where}{place}", f"broken JSON ({found})", "a JSON object", todo)
        return
    if not isinstance(values, dict):
        todo = 'Write objects such as {"text": "…", "label": "…"}.'
        yield Problem(line.where, f"a JSON {type(values).__name__}", "a JSON object", todo)
        return
    if problems := wanted.missing(list(values), where=line.where):
        yield from problems
    else:
        yield wanted.row(values, where=line.where)
