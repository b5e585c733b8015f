"""Rows on their way in: each is checked, finds its split by the hash of its text, and is put down in a draft on disk.

Everything that is wrong with any row of any file is told in one error, alike problems shortened to a few. Memory does
not grow with the rows: a batch is held, the rest lies in one Arrow stream a split.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast, final

import pyarrow as pa

from stillroom.core import artifact
from stillroom.core.artifact import text_id
from stillroom.core.errors import CorpusError, Problem
from stillroom.core.progress import Meter
from stillroom.corpora import Row, Source, Split, Stream, role_of
from stillroom.duplicates import PRECEDENCE, Exact, Role
from stillroom.tasks import Task

_SHOWN = 20
_ALIKE = 5
_BATCH_ROWS = 4096
_BATCH_CHARACTERS = 4 << 20


@final
class Faults:
    """Collects what is wrong, keeps a few of each sort, and counts the rest."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._shown: list[Problem] = []

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, problem: Problem) -> None:
        """Note a problem; those that expected the same are alike."""
        self._counts[problem.expected] += 1
        if self._counts[problem.expected] <= _ALIKE and len(self._shown) < _SHOWN:
            self._shown.append(problem)

    def tell(self) -> None:
        """Raise what was noted.

        Raises:
            CorpusError: something was.
        """
        if not self._counts:
            return
        more = sum(self._counts.values()) - len(self._shown)
        rest = Problem(
            "the corpus",
            f"{more:,} more problems like these",
            "none",
            "Mend these and run again: what is left is listed then.",
        )
        raise CorpusError(*self._shown, *([rest] if more else []))


@final
class Drafts:
    """The rows of each split as they came, one Arrow stream a split."""

    def __init__(self, folder: Path, extras: tuple[str, ...], gold: pa.DataType) -> None:
        self._folder, self.extras = folder, extras
        names = ["id", "text", "domain", "where", *(f"column.{name}" for name in extras)]
        self.schema = pa.schema([*((name, pa.string()) for name in names), ("label", gold)])
        self.sizes = dict.fromkeys(PRECEDENCE, 0)
        self.empty = dict.fromkeys(PRECEDENCE, 0)

    @contextlib.contextmanager
    def writers(self) -> Iterator[dict[Role, Any]]:
        """A writer for each split."""
        with contextlib.ExitStack() as stack:
            yield {role: stack.enter_context(pa.ipc.new_stream(self._path(role), self.schema)) for role in PRECEDENCE}

    def batches(self, role: Role) -> Iterator[pa.RecordBatch]:
        """The rows of a split, in the order in which they came."""
        with pa.OSFile(str(self._path(role)), "rb") as file, pa.ipc.open_stream(file) as batches:
            yield from batches

    def _path(self, role: Role) -> str:
        return str(self._folder / f"{role}.arrow")


@final
class _Batch:
    """Rows of one split that are not written yet."""

    def __init__(self, role: Role, drafts: Drafts, exact: Exact) -> None:
        self._role, self._drafts, self._exact = role, drafts, exact
        self._columns: dict[str, list[Any]] = {name: [] for name in drafts.schema.names}
        self._characters = 0

    def add(self, row: Row, *, label: Any, domain: str) -> bool:
        """Take a row; True when it is time to write."""
        values = {"id": text_id(row.text), "text": row.text, "label": label, "domain": domain, "where": row.where}
        for name, value in values.items():
            self._columns[name].append(value)
        for name in self._drafts.extras:
            self._columns[f"column.{name}"].append(row.columns.get(name))
        self._characters += len(row.text)
        return len(self._columns["id"]) >= _BATCH_ROWS or self._characters >= _BATCH_CHARACTERS

    def write(self, writer: Any) -> int:
        """Put the rows down, and their hashes where equal ones are looked for."""
        ids, labels = self._columns["id"], self._columns["label"]
        if not ids:
            return 0
        writer.write_batch(pa.RecordBatch.from_pydict(self._columns, schema=self._drafts.schema))
        self._exact.add(
            bytes.fromhex("".join(ids)),
            rank=PRECEDENCE.index(self._role),
            first=self._drafts.sizes[self._role],
            labels=[-1 if label is None else _number(label) for label in labels],
        )
        self._drafts.sizes[self._role] += len(ids)
        self._columns = {name: [] for name in self._columns}
        self._characters = 0
        return len(ids)


def gather(source: Source, *, task: Task, folder: Path, exact: Exact, meter: Meter) -> Drafts:
    """Every row of a source, checked and put down.

    Raises:
        CorpusError: rows that can't be used; all problems at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drafts = Drafts(folder, source.extras(), task.gold_type())
    faults = Faults()
    streams = list(source.streams(task))
    given = {stream.split for stream in streams}
    with drafts.writers() as writers:
        batches = {role: _Batch(role, drafts, exact) for role in PRECEDENCE}
        for stream in streams:
            for row in stream.rows:
                fault = row if isinstance(row, Problem) else _fault(row, stream, task=task, source=source)
                if fault is not None:
                    faults.add(fault)
                    continue
                row = cast(Row, row)
                role = _role(row, stream.split, source=source, given=given)
                if not row.text.strip():
                    drafts.empty[role] += 1
                    continue
                label = None if role == "unlabelled" or row.label is None else task.code(row.label, row.text)
                if batches[role].add(row, label=label, domain=stream.domain):
                    meter.advance(batches[role].write(writers[role]))
        for role, batch in batches.items():
            meter.advance(batch.write(writers[role]))
    faults.tell()
    return drafts


def _role(row: Row, split: Split, *, source: Source, given: Collection[Split]) -> Role:
    if split == "labelled":
        return role_of(row.text, dev_share=source.dev_share, test_share=source.test_share, given=given)
    return split


def _fault(row: Row, stream: Stream, *, task: Task, source: Source) -> Problem | None:
    """What is wrong with a row, or None."""
    text = row.text
    if "\0" in text:
        return Problem(row.where, "a NUL byte in the text", "text without NUL bytes", "Remove it.")
    if len(text) > source.max_characters:
        todo = "Cut or remove it, or raise `max_characters` under [corpus]."
        expected = f"at most {source.max_characters:,} characters"
        return Problem(row.where, f"a text of {len(text):,} characters", expected, todo)
    if not _encodable(text):
        todo = "Correct or remove it: half a surrogate pair is no character."
        return Problem(row.where, "a text with a lone surrogate", "text that can be written as UTF-8", todo)
    if stream.split == "unlabelled" or not stream.gold:
        return None
    if not text.strip():
        if source.empty == "drop":
            return None
        todo = 'Fill or remove the row, or set `empty = "drop"` under [corpus].'
        return Problem(row.where, "an empty text", "a text", todo)
    if row.label is None or row.label == "":
        return Problem(row.where, "no label", "a label", "Add it, or give the file as `unlabelled`.")
    wrong = task.fault(row.label, text)
    return None if wrong is None else Problem(row.where, *wrong)


def _number(gold: Any) -> int:
    """A number that tells gold from other gold of the same text; a position is one."""
    if isinstance(gold, int):
        return gold
    return int.from_bytes(hashlib.sha256(artifact.canonical(gold)).digest()[:4], "big") >> 1


def _encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
