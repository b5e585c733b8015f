"""Whether what is judged was seen before: rows of dev, test and outside that stand in what somebody learned from.

Sides are held against each other by their texts (`overlap`), in this order; each of the last three against all before:

    teacher      what the teacher was trained on, as far as files of it are named (`evaluate.teacher_saw`)
    train, unlabelled
    transfer     texts of the transfer set that are in no split: made of training rows
    written      what the teacher wrote and the student learned
    dev, test, outside

The search is kept beside the stages (`work/contamination/`), so that students of the same texts share it. Whether the
teacher itself was fitted to test rows is told by provenance: of one that was made here it is known, of others it is
not, and is never called clean.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import overlap, slices, transfer_set
from stillroom.core import artifact, plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store, text_id
from stillroom.core.errors import Problem
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpora import Source
from stillroom.corpus import Corpus, Rows
from stillroom.intake import Faults
from stillroom.intervals import not_measurable
from stillroom.overlap import METHODS, Search
from stillroom.slices import Slice
from stillroom.table import STUDENT, TEACHER, Table
from stillroom.tasks import Task
from stillroom.teachers import Teacher
from stillroom.transfer_set import TransferSet

STAGE = "contamination"
FILE, FLAGS = "contamination.json", "flags.parquet"
LEARNED = ("teacher", "train", "unlabelled", "transfer", "written")
JUDGED = ("dev", "test", "outside")
PARTS = ("all", "clean", "contaminated")
#: Every figure, as gates and documents name it.
FIGURES = (
    *(f"{side}_rows_shared" for side in (*JUDGED, "teacher")),
    *(f"scores.{part}.{what}" for part in PARTS for what in (TEACHER, STUDENT, "retention")),
)

_BATCH = 4096
_LISTED = 50  # flagged rows in the evaluation; all of them are in the search's own artifact
_SCHEMA = pa.schema([("id", pa.string()), ("of", pa.string()), ("with", pa.string()), ("other", pa.string()),
                     ("method", pa.string())])  # fmt: skip

Texts = Iterator[tuple[Sequence[str], Sequence[str]]]


@final
@dataclass(frozen=True)
class _Side:
    """Texts of one kind with their ids, some at a time, as often as they are asked for."""

    name: str
    read: Callable[[], Texts]

    def ids(self, wanted: Iterable[int]) -> dict[int, str]:
        """The ids of some of its rows, by their numbers."""
        found: dict[int, str] = {}
        numbers, first = np.unique(np.fromiter(wanted, dtype=np.int64)), 0
        for ids, _ in self.read() if len(numbers) else ():
            low, high = np.searchsorted(numbers, [first, first + len(ids)])
            found |= {number: ids[number - first] for number in numbers[low:high].tolist()}
            first += len(ids)
        return found


def files(settings: recipe.Evaluate) -> Source | None:
    """The files of what the teacher was trained on, as a source of rows; None where none are named."""
    if not settings.teacher_saw:
        return None
    found: Source = plugins.build("corpora", {"kind": "table", "test": settings.teacher_saw, "label": ""})
    return found


def search(
    *,
    corpus: Corpus,
    said: TransferSet,
    teacher: Teacher,
    task: Task,
    settings: recipe.Evaluate,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """Search every pair of sides, or find that it was done.

    Raises:
        CorpusError: a file of what the teacher was trained on is not there, or has no column `text`.
    """
    saw = files(settings)

    def make(draft: Draft) -> None:
        sides = _sides(corpus, said, saw, task=task)
        meter = Meter(report, stage=STAGE, total=None, unit="texts")
        spool = draft.folder / "spool"
        with contextlib.closing(Search(spool, [side.name for side in sides], judged=JUDGED)) as found:
            for side in sides:
                for _, texts in side.read():
                    found.add(side.name, texts)
                    meter.advance(len(texts))
            shared = found.settle()
        shutil.rmtree(spool)
        pq.write_table(_flags(shared, sides), draft.folder / FLAGS, compression="zstd")
        counts = {name: {"rows": rows, "short": found.short[name]} for name, rows in found.rows.items()}
        told = {"sides": counts, "pairs": _pairs(shared, found.rows)}
        told |= {"fitted_here": teacher.needs_gold, "files_named": saw is not None}
        artifact.write_json(draft.folder / FILE, told)

    described = {"search": overlap.SETTINGS, "fitted_here": teacher.needs_gold, "writes": task.form.may_write}
    inputs = {"said": said.artifact.digest, **{part.role: part.digest for part in _splits(corpus)}}
    inputs |= {} if saw is None else {f"teacher.{name}": digest for name, digest in saw.digests().items()}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def _splits(corpus: Corpus) -> tuple[Rows[Any], ...]:
    return (corpus.train, corpus.unlabelled, corpus.dev, corpus.test, corpus.outside)


def _sides(corpus: Corpus, said: TransferSet, saw: Source | None, *, task: Task) -> list[_Side]:
    splits = {part.role: _Side(part.role, partial(_of_split, part)) for part in _splits(corpus)}
    found = {
        **splits,
        "teacher": _Side("teacher", partial(_of_files, saw, task)),
        "transfer": _Side("transfer", partial(_of_transfer, corpus, said)),
        "written": _Side("written", partial(_of_answers, said, task)),
    }
    return [found[name] for name in (*LEARNED, *JUDGED)]


def _of_split(part: Rows[Any]) -> Texts:
    for batch in part.batches(_BATCH):
        yield batch.column("id").to_pylist(), batch.column("text").to_pylist()


def _of_transfer(corpus: Corpus, said: TransferSet) -> Texts:
    """The texts of the transfer set that are not of a split of this very corpus."""
    asked: Mapping[str, str] = said.artifact.manifest["inputs"]
    known = {part.role for part in _splits(corpus) if asked.get(part.role) == part.digest}
    for shard in said.shards(["id", "text", "part"]):
        if shard.num_rows and transfer_set.part_of(shard) not in known:
            yield shard["id"].to_pylist(), shard["text"].to_pylist()


def _of_answers(said: TransferSet, task: Task) -> Texts:
    """What the teacher wrote, where the student learned it; the id of a text is the hash of what was written."""
    if not task.form.may_write:
        return
    for shard in said.shards():
        if shard.num_rows and transfer_set.part_of(shard) != "dev":
            written = [text for text in task.form.written(task.form.answers(shard)) if text]
            yield [text_id(text) for text in written], written


def _of_files(saw: Source | None, task: Task) -> Texts:
    faults = Faults()
    texts: list[str] = []
    for stream in saw.streams(task) if saw is not None else ():
        for row in stream.rows:
            if isinstance(row, Problem):
                faults.add(row)
            elif row.text:
                texts.append(row.text)
            if len(texts) == _BATCH:
                yield [text_id(text) for text in texts], texts
                texts = []
    faults.tell()
    yield [text_id(text) for text in texts], texts


def _pairs(shared: Mapping[str, overlap.Shared], rows: Mapping[str, int]) -> list[dict[str, Any]]:
    """How many rows of each judged side share with each side before it, by method, and by any."""
    order, told = (*LEARNED, *JUDGED), []
    for of in JUDGED:
        for other in order[: order.index(of)]:
            if not rows[of] or not rows[other]:
                continue
            hits = {method: {row for side, row in shared[method][other] if side == of} for method in METHODS}
            counts = {method: len(found) for method, found in hits.items()}
            told.append({"of": of, "with": other, "rows": rows[of], "others": rows[other], **counts,
                         "any": len(set().union(*hits.values()))})  # fmt: skip
    return told


def _flags(shared: Mapping[str, overlap.Shared], sides: Sequence[_Side]) -> pa.Table:
    """Each judged row that shares, with whom, and by what method: ids and no texts."""
    wanted: dict[str, set[int]] = {side.name: set() for side in sides}
    for hits in shared.values():
        for other, found in hits.items():
            for (of, row), twin in found.items():
                wanted[of].add(row)
                wanted[other].add(twin)
    ids = {side.name: side.ids(wanted[side.name]) for side in sides}
    lines = [
        {"id": ids[of][row], "of": of, "with": other, "other": ids[other][twin], "method": method}
        for method, hits in shared.items()
        for other, found in hits.items()
        for (of, row), twin in found.items()
    ]
    return pa.Table.from_pylist(lines, schema=_SCHEMA)


def tell(
    found: Artifact, told: Mapping[str, Any], *, table: Table | None, settings: recipe.Evaluate, seed: int
) -> dict[str, Any]:
    """What the search found, as JSON can hold it, with scores on all, clean and contaminated test rows.

    `told` is what the comparison told of all test rows (`comparison.compare`), `table` what it was told of.
    """
    counts: Mapping[str, Any] = found.read_json(FILE)
    flags = pq.read_table(found.folder / FLAGS).to_pylist()
    shared = {side: {one["id"] for one in flags if one["of"] == side and one["with"] in (*LEARNED, "dev")}
              for side in JUDGED}  # fmt: skip
    seen = _seen(counts, flags)
    figures = {side: _count(len(ids), counts["sides"][side]["rows"], side) for side, ids in shared.items()}
    listed = [one for one in flags if one["of"] == "test"]
    return {
        **{f"{side}_rows_shared": figure for side, figure in figures.items()},
        "teacher_rows_shared": seen,
        "sides": [{"side": side, **one} for side, one in counts["sides"].items()],
        "pairs": counts["pairs"],
        "scores": _scores(shared["test"], told, table=table, settings=settings, seed=seed),
        "flagged": listed[:_LISTED],
        "sentences": [_of_rows(figures["test"], counts["sides"]["test"]["short"]), _of_teacher(counts, seen)],
    }


def nothing(reason: str) -> dict[str, Any]:
    """The scores where there is nothing to score: every figure is there, not measurable, and says why."""
    unknown = not_measurable(0, reason).as_dict()
    return {part: dict.fromkeys((TEACHER, STUDENT, "retention"), unknown) for part in PARTS}


def _count(count: int, rows: int, side: str) -> dict[str, Any]:
    """How many rows of so many: all were looked at, so that there is no interval."""
    return {"value": count, "n": rows} if rows else not_measurable(0, f"no row of the split `{side}`").as_dict()


def _seen(counts: Mapping[str, Any], flags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """How many test rows the teacher is known to have been fitted to or chosen by, or that nobody knows."""
    sides = (("teacher",) if counts["files_named"] else ()) + (("train", "dev") if counts["fitted_here"] else ())
    rows = counts["sides"]["test"]["rows"]
    if not sides:
        todo = "name its training files under `evaluate.teacher_saw`"
        return not_measurable(rows, f"what the teacher was trained on is not known: {todo}").as_dict()
    return _count(len({one["id"] for one in flags if one["of"] == "test" and one["with"] in sides}), rows, "test")


def _scores(
    shared: set[str], told: Mapping[str, Any], *, table: Table | None, settings: recipe.Evaluate, seed: int
) -> dict[str, Any]:
    """The first metric that is retained, on all test rows and on both parts of them."""
    name = next(iter(told["retention"]), None)
    if table is None or name is None:
        return {"metric": name, **nothing("no row to test on")}
    systems = {one: told["systems"][one]["scores"][name] for one in (TEACHER, STUDENT)}
    scores: dict[str, Any] = {"all": {**systems, "retention": told["retention"][name]}}
    inside = np.array([table.ids[row] in shared for row in table.test.tolist()], dtype=np.bool_)
    if not inside.any():
        none = nothing("no test row is contaminated")["contaminated"]
        return {"metric": name, **scores, "clean": scores["all"], "contaminated": none}
    parts = [Slice(STAGE, part, table.test[rows]) for part, rows in (("clean", ~inside), ("contaminated", inside))]
    rng = seeds.generator(seed, "evaluate/contamination")
    measured = slices.compare(table, parts, metric=plugins.build("metrics", name), settings=settings, rng=rng)
    for one in measured:
        pair = {TEACHER: one.teacher, STUDENT: one.student, "retention": one.retention}
        scores[one.slice.name] = {what: figure.as_dict() for what, figure in pair.items()}
    return {"metric": name, **scores}


def _of_rows(figure: Mapping[str, Any], short: int) -> str:
    if figure["value"] is None:
        return f"Whether test rows were seen before is not measurable: {figure['reason']}."
    if not figure["value"]:
        return (
            f"None of {figure['n']:,} test rows was found in what was learned from or chosen by: neither equal, nor "
            f"nearly, nor with thirteen words in a row ({short:,} have fewer)."
        )
    return (
        f"{figure['value']:,} of {figure['n']:,} test rows share their text with what was learned from or chosen by: "
        "scores on these may measure memory."
    )


def _of_teacher(counts: Mapping[str, Any], seen: Mapping[str, Any]) -> str:
    """What is known of the teacher's training, by provenance."""
    named = f"{counts['sides']['teacher']['rows']:,} texts of files that were named as what it was trained on"
    if counts["fitted_here"]:
        start = "The teacher was fitted here, to the training rows, and chosen by dev"
        start += f"; {named} were searched too" if counts["files_named"] else ""
        rest = "What the weights that it began with had seen before is not known."
    elif counts["files_named"]:
        start, rest = f"The teacher was made elsewhere; {named} were searched", "Whether these are all is not known."
    else:
        return (
            "Whether the teacher was trained on the test rows is not known: it was made elsewhere. Files of what it "
            "was trained on, named under `evaluate.teacher_saw`, would settle it."
        )
    many = f"{seen['value']:,} of {seen['n']:,} test rows are" if seen["value"] else "no test row is"
    return f"{start}: {many} among them. {rest}"
