"""Whether what is judged was seen before: rows of dev, test and outside that stand in what somebody learned from.

Each is held against every side before it (`sides`): by the words of both (`overlap`) and, where a student of vectors
is named, by what they mean (`meaning`). Sides that were learned from are held against each other too, by their words,
and counted. The search is kept beside the stages, in `work/contamination/`, so that students of the same texts share
it. Whether the teacher itself was fitted to test rows is told by provenance: of one that was made here it is known, of
others it is not, and no such teacher is called clean.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import meaning, overlap, sides, slices
from stillroom.core import artifact, plugins, recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Corpus
from stillroom.intervals import not_measurable
from stillroom.meaning import MEANING
from stillroom.overlap import METHODS, Search, Shared
from stillroom.sides import BY_DESIGN, COUNTED, JUDGED, LEARNED, Side
from stillroom.slices import Slice
from stillroom.table import STUDENT, TEACHER, Table
from stillroom.tasks import Task
from stillroom.teachers import Teacher
from stillroom.transfer_set import TransferSet

STAGE = "contamination"
FILE, FLAGS = "contamination.json", "flags.parquet"
PARTS = ("all", "clean", "contaminated")
#: Every figure, as gates and documents name it.
FIGURES = (
    *(f"{side}_rows_shared" for side in (*JUDGED, "teacher")),
    "test_rows_alike",
    *(f"scores.{part}.{what}" for part in PARTS for what in (TEACHER, STUDENT, "retention")),
)

_LISTED = 50  # flagged rows in the evaluation; all of them are in the search's own artifact
_SCHEMA = pa.schema([("id", pa.string()), ("of", pa.string()), ("with", pa.string()), ("other", pa.string()),
                     ("method", pa.string())])  # fmt: skip


def search(
    *,
    corpus: Corpus,
    said: TransferSet,
    teacher: Teacher,
    task: Task,
    settings: recipe.Evaluate,
    store: Store,
    brought: Sequence[str] = (),
    report: Report = silent,
) -> Artifact:
    """Search every pair of sides, or find that it was done. `brought` are texts that probes bring along.

    Raises:
        CorpusError: a file of what the teacher was trained on is not there, or has no column `text`.
        InputError: the student that is to embed texts gives something else.
    """
    saw = sides.files(settings)
    embed, embedder = (None, "") if settings.embedder is None else meaning.embedder(settings.embedder)

    def make(draft: Draft) -> None:
        every = sides.every(corpus, said, saw, task=task, brought=brought)
        spool = draft.folder / "spool"
        found, shared = _by_words(every, spool, meter=Meter(report, stage=STAGE, total=None, unit="texts"))
        if embed is not None:
            shared[MEANING] = meaning.find({side.name: side.texts for side in every}, found.rows, embed=embed,
                                           least=settings.least_cosine, folder=spool, judged=JUDGED)  # fmt: skip
        shutil.rmtree(spool)
        pq.write_table(_flags(shared, every), draft.folder / FLAGS, compression="zstd")
        counts = {name: {"rows": rows, "short": found.short[name]} for name, rows in found.rows.items()}
        told: dict[str, Any] = {"sides": counts, "pairs": _pairs(shared, found), "methods": list(shared),
                                "by_design": _by_design(found.rows, fitted_here=teacher.fitted_here)}  # fmt: skip
        told |= {"fitted_here": teacher.fitted_here, "files_named": saw is not None}
        artifact.write_json(draft.folder / FILE, told)

    described = {"search": overlap.SETTINGS, "fitted_here": teacher.fitted_here, "writes": task.form.may_write}
    described["counted"] = [list(pair) for pair in COUNTED]
    described |= {} if embed is None else {"least_cosine": settings.least_cosine}
    inputs = {"said": said.artifact.digest, **{part.role: part.digest for part in sides.splits(corpus)}}
    inputs |= {"brought": artifact.sha256(artifact.canonical(list(brought)))} if brought else {}
    inputs |= {} if embed is None else {"embedder": embedder}
    inputs |= {} if saw is None else {f"teacher.{name}": digest for name, digest in saw.digests().items()}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make)


def _by_words(every: Sequence[Side], spool: Path, *, meter: Meter) -> tuple[Search, dict[str, Shared]]:
    """What the sides share by their words, beside who searched."""
    with contextlib.closing(Search(spool, [side.name for side in every], judged=JUDGED, counted=COUNTED)) as found:
        for side in every:
            for texts in side.texts():
                found.add(side.name, texts)
                meter.advance(len(texts))
        return found, found.settle()


def _pairs(shared: Mapping[str, Shared], found: Search) -> list[dict[str, Any]]:
    """How many rows of each side share with each side before it, by method, and by any but meaning."""
    order, rows = (*LEARNED, *JUDGED), found.rows
    told = [{"of": of, "with": other, "rows": rows[of], "others": rows[other], **counts}
            for (of, other), counts in found.counts().items() if rows[of] and rows[other]]  # fmt: skip
    for of in JUDGED:
        for other in order[: order.index(of)]:
            if not rows[of] or not rows[other]:
                continue
            hits = {method: {row for side, row in found[other] if side == of} for method, found in shared.items()}
            counts = {method: len(found) for method, found in hits.items()}
            told.append({"of": of, "with": other, "rows": rows[of], "others": rows[other], **counts,
                         "any": len(set().union(*(hits[method] for method in METHODS)))})  # fmt: skip
    return told


def _by_design(rows: Mapping[str, int], *, fitted_here: bool) -> list[dict[str, str]]:
    """The pairs that were not held against each other, or need not be, and why."""
    told = {pair: why for pair, why in BY_DESIGN.items() if rows[pair[0]] and rows[pair[1]]}
    if fitted_here:
        seen = {"train": "the teacher was fitted here, to these rows", "dev": "the teacher was chosen by these rows"}
        told |= {(of, "teacher"): why for of, why in seen.items() if rows[of]}
    return [{"of": of, "with": other, "why": why} for (of, other), why in told.items()]


def _flags(shared: Mapping[str, Shared], every: Sequence[Side]) -> pa.Table:
    """Each judged row that shares, with whom, and by what method: ids and no texts."""
    wanted: dict[str, set[int]] = {side.name: set() for side in every}
    for hits in shared.values():
        for other, found in hits.items():
            for (of, row), twin in found.items():
                wanted[of].add(row)
                wanted[other].add(twin)
    ids = {side.name: side.ids(wanted[side.name]) for side in every}
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
    every = pq.read_table(found.folder / FLAGS).to_pylist()
    flags = [one for one in every if one["method"] != MEANING]
    shared, alike = (
        {side: {one["id"] for one in some if one["of"] == side and one["with"] in (*LEARNED, "dev")} for side in JUDGED}
        for some in (flags, [one for one in every if one["method"] == MEANING])
    )
    seen = _seen(counts, flags)
    figures = {side: _count(len(ids), counts["sides"][side]["rows"], side) for side, ids in shared.items()}
    listed = [one for one in every if one["of"] == "test"]
    return {
        **{f"{side}_rows_shared": figure for side, figure in figures.items()},
        "teacher_rows_shared": seen,
        "test_rows_alike": _alike(len(alike["test"]), counts),
        "sides": [{"side": side, **one} for side, one in counts["sides"].items()],
        "pairs": counts["pairs"],
        "by_design": counts["by_design"],
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
    return {"value": count, "n": rows} if rows else not_measurable(0, f"there is no text of `{side}`").as_dict()


def _alike(count: int, counts: Mapping[str, Any]) -> dict[str, Any]:
    """How many test rows mean nearly what was learned: no proof that they were seen, and counted by itself."""
    rows = counts["sides"]["test"]["rows"]
    if MEANING not in counts["methods"]:
        reason = "texts were not compared by what they mean: name a run of vectors under `evaluate.embedder`"
        return not_measurable(rows, reason).as_dict()
    return _count(count, rows, "test")


def _seen(counts: Mapping[str, Any], flags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """How many test rows the teacher is known to have been fitted to or chosen by, or that nobody knows."""
    known = (("teacher",) if counts["files_named"] else ()) + (("train", "dev") if counts["fitted_here"] else ())
    rows = counts["sides"]["test"]["rows"]
    if not known:
        todo = "name its training files under `evaluate.teacher_saw`"
        return not_measurable(rows, f"what the teacher was trained on is not known: {todo}").as_dict()
    return _count(len({one["id"] for one in flags if one["of"] == "test" and one["with"] in known}), rows, "test")


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
    parts = [
        Slice("test rows", part, table.test[rows]) for part, rows in (("clean", ~inside), ("contaminated", inside))
    ]
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
        start, rest = (
            f"The teacher, or a part of it, was made elsewhere; {named} were searched",
            "Whether these are all is not known.",
        )
    else:
        return (
            "Whether the teacher was trained on the test rows is not known: it was made elsewhere, or a part of it "
            "was. Files of what it was trained on, named under `evaluate.teacher_saw`, would settle it."
        )
    many = f"{seen['value']:,} of {seen['n']:,} test rows are" if seen["value"] else "no test row is"
    return f"{start}: {many} among them. {rest}"
