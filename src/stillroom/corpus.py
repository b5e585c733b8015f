"""Stage one: rows from anywhere, checked, split, freed of twins across the splits, and kept with the rights in them.

What training may see and what it may not are types apart: `Rows[Train]`, `Rows[Dev]`, `Rows[Test]`. A function that
takes one can't be handed another, and one that fits takes `Learnable`, which has no test (mypy says so, over
`tests/typed/`; `refuse_test` says so at run time).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, final

import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import census, duplicates, intake
from stillroom.core import artifact, progress
from stillroom.core.artifact import Artifact, Draft, Store, text_id
from stillroom.core.errors import CorpusError, Problem
from stillroom.corpora import Source
from stillroom.duplicates import PRECEDENCE, Fates, Role
from stillroom.tasks import Task

__all__ = [
    "Corpus",
    "Dev",
    "HeldOut",
    "Learnable",
    "Rows",
    "Test",
    "Train",
    "key",
    "load",
    "refuse_test",
    "reopen",
    "rights",
    "text_id",
]

STAGE = "corpus"
_GROUP_ROWS = 16_384
_GROUP_BYTES = 16 << 20


class Train:
    """The role of rows that a student or teacher is fitted on."""


class Dev:
    """The role of rows that choices are made by."""


class Test:
    """The role of rows that only the evaluation sees."""

    __test__ = False  # or pytest would take it for one of its own


R = TypeVar("R")


@final
@dataclass(frozen=True)
class Rows(Generic[R]):
    """The rows of one split, read from its file when asked for.

    Columns: `id`, `text`, `label` (the position among the task's outputs, null where there is none), `domain`, and
    `column.<name>` for each further one.
    """

    path: Path
    digest: str
    """SHA-256 of the file."""
    role: str
    """`train`, `unlabelled`, `dev`, `test` or `outside`."""
    count: int

    def batches(self, size: int = 8192) -> Iterator[pa.RecordBatch]:
        """All columns, so many rows at a time."""
        yield from _batches(self.path, size)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in memory, all columns or some."""
        return pq.read_table(self.path, columns=None if columns is None else list(columns))

    def texts(self) -> Iterator[str]:
        """The texts alone."""
        yield from _column(self.path, "text")

    def ids(self) -> Iterator[str]:
        """The ids alone."""
        yield from _column(self.path, "id")


@final
@dataclass(frozen=True)
class HeldOut:
    """A split of the test for code that fits: which texts there are, and nothing of what they say."""

    _path: Path
    digest: str
    """SHA-256 of its file."""
    role: str
    """`test` or `outside`."""

    def ids(self) -> Iterator[str]:
        """Their ids."""
        yield from _column(self._path, "id")


def _column(path: Path, name: str) -> Iterator[str]:
    for batch in _batches(path, 8192, [name]):
        yield from batch.column(0).to_pylist()


def _batches(path: Path, size: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=size, columns=columns)


@final
@dataclass(frozen=True)
class Learnable:
    """The rows that a teacher or a student is fitted to and chosen by: a corpus without its test."""

    train: Rows[Train]
    unlabelled: Rows[Train]
    dev: Rows[Dev]
    held_out: tuple[HeldOut, ...] = ()
    """The ids of the rest, for a teacher that must have an answer to every text."""

    def __post_init__(self) -> None:
        for rows in (self.train, self.unlabelled, self.dev):
            refuse_test(rows)


@final
@dataclass(frozen=True)
class Corpus:
    """Rows that are ready: checked, split and free of twins across the splits."""

    artifact: Artifact
    train: Rows[Train]
    unlabelled: Rows[Train]
    dev: Rows[Dev]
    test: Rows[Test]
    outside: Rows[Test]
    """Labelled rows of other domains."""

    @property
    def learnable(self) -> Learnable:
        """What code that fits may see of it."""
        held_out = tuple(HeldOut(one.path, one.digest, one.role) for one in (self.test, self.outside))
        return Learnable(self.train, self.unlabelled, self.dev, held_out)

    @property
    def report(self) -> dict[str, Any]:
        """What was found in the rows and done with them."""
        return dict(self.artifact.read_json("report.json"))

    @property
    def made(self) -> bool:
        """Whether its texts but those of the test were made here, and not found."""
        return "made" in self.report

    @property
    def rights(self) -> dict[str, Any]:
        """Where they come from and on what basis they are used."""
        return rights(self.artifact)

    @property
    def stated_rights(self) -> dict[str, Any]:
        """The rights without the day on which anything was fetched here: the same everywhere, for what has a digest."""
        return dict(self.artifact.read_json("rights.json"))


def refuse_test(rows: Rows[Any]) -> None:
    """Stop code that fits or chooses from being handed rows of the test.

    Raises:
        TypeError: they are.
    """
    if rows.role in ("test", "outside"):
        raise TypeError(f"rows of the split `{rows.role}` are for the evaluation only; training must not see them")


def rights(found: Artifact) -> dict[str, Any]:
    """The rights in a corpus's rows: what was stated, and when what was fetched came to this machine.

    That day stands among the circumstances: the same rows have the same digest wherever and whenever they were fetched.
    """
    told: dict[str, Any] = found.read_json("rights.json")
    for part, day in found.circumstances.get("fetched", {}).items():
        (told[part] if part else told)["retrieved"] = day
        if day is None:
            told["gaps"].append(
                f"`{part}{'.' if part else ''}retrieved` is not known: nobody noted when it was fetched"
            )
    return told


def key(source: Source, *, task: Task) -> str:
    """The key of the corpus that `load` would make."""
    return artifact.key_of(STAGE, _settings(source, task), source.digests())


def load(source: Source, *, task: Task, store: Store, report: progress.Report = progress.silent) -> Corpus:
    """The corpus of a source, made where it is not there yet.

    Raises:
        CorpusError: rows that can't be used, or a split without any; all problems at once.
        MismatchError: the source's labels are not the task's.
        NoNetwork: something has to be fetched and can't be.
    """
    settings, inputs = _settings(source, task), source.digests()

    def make(draft: Draft) -> None:
        meter = progress.Meter(report, stage=STAGE, total=None, unit="rows")
        source.prepare(task, report=report)
        _make(draft.folder, source=source, task=task, inputs=inputs, meter=meter)
        days = {part: one.fetched() for part, one in {"": source, **source.inside}.items() if _tells_its_day(one)}
        if days:
            draft.circumstances["fetched"] = {part: day.isoformat() if day else None for part, day in days.items()}

    return reopen(store.obtain(STAGE, settings=settings, inputs=inputs, make=make))


def _settings(source: Source, task: Task) -> dict[str, Any]:
    return {
        "source": source.model_dump(mode="json", serialize_as_any=True),
        "labels": list(task.names),
        "task": task.kind,
        "gold": dict(task.gold_made_with),
        "duplicates": duplicates.SETTINGS,
    }


def reopen(found: Artifact) -> Corpus:
    """The corpus that an artifact holds."""
    counts = found.read_json("report.json")["rows"]

    def rows(role: str) -> Rows[Any]:
        name = f"{role}.parquet"
        return Rows(found.folder / name, found.file_digest(name), role, counts[role])

    return Corpus(found, rows("train"), rows("unlabelled"), rows("dev"), rows("test"), rows("outside"))


def _make(folder: Path, *, source: Source, task: Task, inputs: Mapping[str, str], meter: progress.Meter) -> None:
    spool = folder / "spool"
    exact = duplicates.Exact(spool)
    drafts = intake.gather(source, task=task, folder=spool, exact=exact, meter=meter)
    fates = exact.settle([drafts.sizes[role] for role in PRECEDENCE])
    meter.advance(0, step="looking for near twins")
    with contextlib.closing(duplicates.Near(spool, fates)) as near:
        first = 0
        for role in PRECEDENCE:
            for batch in drafts.batches(role):
                near.add(batch.column("text").to_pylist(), first=first)
                first += len(batch)
        near.settle()
    if source.near_twins == "drop":
        fates.drop_near()
    meter.advance(0, step="writing")
    counts = census.Census(fates, task=task)
    for role in PRECEDENCE:
        _write(folder / f"{role}.parquet", role, drafts=drafts, fates=fates, counts=counts)
    shutil.rmtree(spool)
    _check(counts, needed=("dev", "test") if source.has_test else ("dev",))
    made = {"made": dict(source.account(task))} if source.makes_texts else {}
    artifact.write_json(folder / "report.json", {**counts.report(empty=drafts.empty), **made})
    artifact.write_json(folder / "rights.json", _rights(source, inputs=inputs, rows=counts.rows))


def _write(path: Path, role: Role, *, drafts: intake.Drafts, fates: Fates, counts: census.Census) -> None:
    """The rows of a split that are kept, in row groups whose size does not depend on how they came."""
    schema = drafts.schema.remove(drafts.schema.get_field_index("where"))
    names = ["id", "text", "label", "domain", *(name for name in schema.names if name.startswith("column."))]
    schema = pa.schema([schema.field(name) for name in names])
    first = int(fates.starts[PRECEDENCE.index(role)])
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=names[3:]) as writer:
        held: list[pa.RecordBatch] = []
        for batch in drafts.batches(role):
            counts.place(batch, first=first)
            kept = _kept(batch, fates, first=first).select(names)
            first += len(batch)
            counts.count(role, kept)
            held.append(kept)
            if sum(len(b) for b in held) >= _GROUP_ROWS or sum(b.nbytes for b in held) >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(held, schema=schema), row_group_size=_GROUP_ROWS * 2)
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held, schema=schema), row_group_size=_GROUP_ROWS * 2)


def _kept(batch: pa.RecordBatch, fates: Fates, *, first: int) -> pa.RecordBatch:
    """The rows of a batch that are kept; repeats (of test and outside) get a number behind their id."""
    cause = fates.cause[first : first + len(batch)]
    numbers = {row: fates.repeats[row] for row in range(first, first + len(batch)) if row in fates.repeats}
    if numbers:
        ids = batch.column("id").to_pylist()
        for row, number in numbers.items():
            ids[row - first] += f"-{number}"
        batch = batch.set_column(batch.schema.get_field_index("id"), "id", pa.array(ids, pa.string()))
    return batch if not cause.any() else batch.filter(pa.array(cause == 0))


def _rights(source: Source, *, inputs: Mapping[str, str], rows: Mapping[Role, int]) -> dict[str, Any]:
    """The rights as they are recorded, with what is missing from them under `gaps`."""
    stated = _stated(source)
    gaps = [f"`{name}` is not stated" for name in _unstated(source)]
    inside = {name: {**_stated(one), "purpose": one.purpose} for name, one in source.inside.items()}
    for part, one in source.inside.items():
        gaps += [f"`{part}.{name}` is not stated" for name in _unstated(one)]
    if source.purpose == "evaluation" and (rows["train"] or rows["unlabelled"]):
        gaps.append("`purpose` is evaluation, yet there are rows to train on")
    return {**stated, "purpose": source.purpose, **inside, "inputs": dict(inputs), "gaps": gaps}


def _stated(source: Source) -> dict[str, str | None]:
    """What a recipe states of whose text it is."""
    retrieved = source.retrieved.isoformat() if source.retrieved else None
    return {"source": source.source, "licence": source.licence, "retrieved": retrieved, "basis": source.basis}


def _unstated(source: Source) -> list[str]:
    told = {"retrieved"} if _tells_its_day(source) else set()
    return [name for name, value in _stated(source).items() if not value and name not in told]


def _tells_its_day(source: Source) -> bool:
    """Whether it is for the source to say when its rows were retrieved, as its recipe doesn't."""
    return source.fetches and source.retrieved is None


def _check(counts: census.Census, *, needed: Sequence[Role]) -> None:
    """Refuse a corpus that can't carry a journey.

    Raises:
        CorpusError: a split that is needed has no rows.
    """
    problems = [
        Problem(f"the split `{role}`", "no rows", "at least one", counts.why_none(role))
        for role in needed
        if not counts.rows[role]
    ]
    if not counts.rows["train"] and not counts.rows["unlabelled"]:
        where = "the splits `train` and `unlabelled`"
        problems.append(Problem(where, "no rows", "some to train on", counts.why_none("train")))
    if problems:
        raise CorpusError(*problems)
