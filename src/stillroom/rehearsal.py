"""Rounds in which a student writes, its teacher scores what it wrote, and the student is fitted further.

    student ─► written ─► transfer ─► student ─► …

No teacher is in the training loop, and no student writes there. A round takes what was written as it comes, and each
step of it is an artifact: a killed run goes on in the middle of one, and of two recipes that differ in how many rounds
there are, one goes on where the other ended.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom import train
from stillroom.core import recipe, seeds
from stillroom.core.artifact import Artifact, Draft, Store, text_id
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpus import Rows, Train
from stillroom.objectives import Objective, Writing
from stillroom.students import GoesOn, Student
from stillroom.tasks import Task
from stillroom.teach import Opened
from stillroom.teachers import LoadedTeacher
from stillroom.transfer_set import OWN_WORDS, OwnWords, TransferSet, part_of

STAGE = "written"
_ASKED = "asked.parquet"
_PIECE = 256  # texts that are gone on with, and kept, before the next
_OWN = pa.schema([("id", pa.string()), ("text", pa.string()), ("of", pa.string()), ("begins", pa.int32())])


class AskMore(Protocol):
    """Asks a teacher about further texts: `transfer.collect` with all else chosen."""

    def __call__(self, loaded: LoadedTeacher, *, teacher: Artifact, parts: Sequence[Rows[Any]]) -> TransferSet:
        """What it said."""


def rehearse(
    student: Student,
    trained: Artifact,
    *,
    task: Task,
    corpus: corpora.Learnable,
    said: TransferSet,
    objectives: Sequence[Objective],
    settings: recipe.Train,
    ask: AskMore,
    loaded: Opened,
    teacher: Artifact,
    studied: Artifact,
    seed: int,
    store: Store,
    weight_bits: int = 7,
    report: Report = silent,
) -> Artifact:
    """The student after the rounds that one of the objectives asks for; where none does, the student as it is.

    Each round is a fit of its own, as long as the first, to that objective alone: dev chooses its best epoch, and the
    next goes on from there.
    """
    writing = next((one.writing for one in objectives if one.writing is not None), None)
    if writing is None:
        return trained
    lessons = [one for one in objectives if one.writing is not None]
    heard = [said] if loaded.scoring is loaded else []  # what a teacher went on with, it was not asked about as it is
    for number in range(1, writing.rounds + 1):
        chance = seeds.derive(seed, f"rehearsal/{number}")
        written = write(student, trained, writing, task=task, corpus=corpus, said=said, heard=heard, seed=chance,
                        store=store, report=report)  # fmt: skip
        fresh = Rows[Train](written.folder / _ASKED, written.file_digest(_ASKED), STAGE,
                            int(written.manifest["facts"]["asked"]))  # fmt: skip
        if fresh.count:
            heard = [*heard, ask(loaded.scoring, teacher=teacher, parts=(fresh,))]
        trained = train.fit(student, task=task, corpus=corpus, said=said, objectives=lessons, settings=settings,
                            further=train.Further(trained, OwnWords(written, heard)), studied=studied, seed=chance,
                            store=store, weight_bits=weight_bits, report=report)  # fmt: skip
    return trained


def write(
    student: Student,
    trained: Artifact,
    writing: Writing,
    *,
    task: Task,
    corpus: corpora.Learnable,
    said: TransferSet,
    heard: Sequence[TransferSet],
    seed: int,
    store: Store,
    report: Report = silent,
) -> Artifact:
    """What a student writes behind beginnings of the texts that it learns from, and which of it is to be asked about.

    A text that says nothing more than its beginning is left out, and so is one that stands among those to judge by.
    """

    def make(draft: Draft) -> None:
        rows = _drawn(said, writing.share, seed=seed)
        meter = Meter(report, stage=STAGE, total=len(rows), unit="texts")
        network = cast("GoesOn", student.reopen(trained.folder, task=task))
        network.module.eval()
        pieces = draft.folder / "pieces"
        pieces.mkdir(exist_ok=True)
        for number, start in enumerate(range(0, len(rows), _PIECE)):
            path, some = pieces / f"{number:06d}.parquet", rows[start : start + _PIECE]
            if not path.is_file():
                _keep(path, _gone_on(network, some, writing, task=task, seed=seed))
            meter.advance(len(some))
        every = [pq.read_table(one) for one in sorted(pieces.glob("[!.]*.parquet"))]
        _close(draft, pa.concat_tables([_OWN.empty_table(), *every]), corpus=corpus, heard=heard)
        draft.facts["drawn"] = len(rows)
        shutil.rmtree(pieces)

    described: dict[str, Any] = {"share": writing.share, "tokens": writing.tokens, "temperature": writing.temperature}
    described |= {"seed": seed, "task": task.model_dump(mode="json")}
    inputs = {"trained": trained.digest, "said": said.artifact.digest, "dev": corpus.dev.digest}
    inputs |= {one.role: one.digest for one in corpus.held_out}
    inputs |= {f"heard[{number}]": one.artifact.digest for number, one in enumerate(heard)}
    return store.obtain(STAGE, settings=described, inputs=inputs, make=make, resumable=True)


def _drawn(said: TransferSet, share: float, *, seed: int) -> list[tuple[str, str]]:
    """The texts whose end is to be written anew, as `(id, text)`, in the order in which they were asked about."""
    rows: list[tuple[str, str]] = []
    for shard in said.shards(["id", "text", "part"]):
        if part_of(shard) != "dev":
            rows += zip(shard["id"].to_pylist(), shard["text"].to_pylist(), strict=True)
    order = seeds.generator(seed, "rehearsal/texts").permutation(len(rows))
    return [rows[place] for place in np.sort(order[: round(share * len(rows))]).tolist()]


def _gone_on(
    network: GoesOn, rows: Sequence[tuple[str, str]], writing: Writing, *, task: Task, seed: int
) -> Iterator[dict[str, Any]]:
    """What is written behind a beginning of each."""
    begun = [task.beginning(text, rng=seeds.generator(seed, f"rehearsal/beginning/{one}")) for one, text in rows]
    written = network.go_on(begun, most=writing.tokens, temperature=writing.temperature, seed=seed)
    for (of, _), first, more in zip(rows, begun, written, strict=True):
        text = first + more
        yield {"id": text_id(text), "text": text, "of": of, "begins": len(first.encode())}


def _keep(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    pq.write_table(pa.Table.from_pylist(list(rows), schema=_OWN), draft)
    draft.rename(path)


def _close(draft: Draft, found: pa.Table, *, corpus: corpora.Learnable, heard: Sequence[TransferSet]) -> None:
    """Put down what is learned from, and what of it nobody was asked about yet."""
    told, fates = _sifted(found, corpus)
    pq.write_table(told, draft.folder / OWN_WORDS, compression="zstd")
    known = {one for had in heard for shard in had.shards(["id"]) for one in shard["id"].to_pylist()}
    asked = told.filter(pa.array([one not in known for one in told["id"].to_pylist()], type=pa.bool_()))
    pq.write_table(asked.select(["id", "text"]), draft.folder / _ASKED, compression="zstd")
    draft.facts.update({"texts": told.num_rows, "asked": asked.num_rows, "left_out": fates})


def _sifted(found: pa.Table, corpus: corpora.Learnable) -> tuple[pa.Table, dict[str, int]]:
    """What is worth asking about, and how much of the rest was left out, by why."""
    judged = (corpus.dev.ids(), *(part.ids() for part in corpus.held_out))
    held_out = {one.partition("-")[0] for ids in judged for one in ids}
    keep: NDArray[np.bool_] = np.ones(found.num_rows, dtype=np.bool_)
    fates: Counter[str] = Counter()
    seen: set[str] = set()
    for row, (one, text, begins) in enumerate(zip(*(found[name].to_pylist() for name in ("id", "text", "begins")),
                                                  strict=True)):  # fmt: skip
        more = text.encode()[begins:].strip()
        why = "nothing written" if not more else "held out" if one in held_out else "repeated" if one in seen else ""
        seen.add(one)
        if why:
            keep[row] = False
            fates[why] += 1
    return found.filter(pa.array(keep, type=pa.bool_())), dict(sorted(fates.items()))
