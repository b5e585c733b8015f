"""Asks the teacher once: texts with what it said, shard by shard, under one manifest.

A shard is a run of rows in corpus order, written whole or not at all. A killed run leaves its finished shards; a rerun
asks only for what is missing, so nothing is paid for twice. Inside a shard texts of like length are batched together.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core import artifact, recipe, seeds, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.core.progress import Event, Meter, Report, silent
from stillroom.corpus import Rows
from stillroom.objectives import GOLD, PEER, Objective
from stillroom.students import Student
from stillroom.tasks import Task
from stillroom.teachers import Identity, LoadedTeacher, Precision, refuse_other_labels

STAGE = "transfer"
_PROBE = "probe.json"
_LEDGER = "ledger.jsonl"
_PROBE_TEXTS = 32
_PHRASE_WORDS = (1, 2, 3, 4, 5, 6, 8)


@final
@dataclass(frozen=True)
class TransferSet:
    """What the teacher said. Reading it takes one shard of memory at a time."""

    artifact: Artifact

    @property
    def teacher(self) -> Mapping[str, Any]:
        """Who said it."""
        found: Mapping[str, Any] = self.artifact.manifest["facts"]["teacher"]
        return found

    @property
    def rows(self) -> int:
        """How many texts it holds."""
        return int(self.artifact.manifest["facts"]["texts"])

    @property
    def recorded(self) -> frozenset[str]:
        """The names of what was recorded."""
        return frozenset(self.artifact.manifest["facts"]["signals"])

    def shards(self) -> Iterator[pa.Table]:
        """Tables with `id`, `text`, `part` (`train`, `unlabelled`, `dev` …) and `logits`."""
        for path in sorted(self.artifact.folder.glob("shard-*.parquet")):
            yield pq.read_table(path).replace_schema_metadata({"shard": path.stem})

    def further(self, shard: pa.Table) -> list[signals.Place]:
        """Where a shard's other signals are, if it has any; they are read when they are asked for."""
        name = (shard.schema.metadata or {}).get(b"shard", b"").decode()
        path = self.artifact.folder / f"{name}.safetensors"
        if self.recorded == signals.LOGITS:
            return []
        if not signals.over_tokens(self.recorded):
            return [signals.Place(path, np.ones(shard.num_rows, dtype=np.int64))]
        return [signals.Place(path, signals.tensors(path).get_tensor(signals.TOKENS).astype(np.int64))]


@final
@dataclass(frozen=True)
class _Shard:
    """Texts to be asked about, in the order of the corpus."""

    name: str
    part: str
    ids: Sequence[str]
    texts: Sequence[str]


def collect(
    loaded: LoadedTeacher,
    *,
    teacher: Artifact,
    parts: Sequence[Rows[Any]],
    task: Task,
    settings: recipe.Transfer,
    seed: int,
    store: Store,
    held_out: Sequence[Rows[Any]] = (),
    wanted: frozenset[str] = signals.LOGITS,
    report: Report = silent,
) -> TransferSet:
    """Ask the teacher about every text of the parts, or find that it was asked. Only what is wanted is recorded.

    No phrase is made that is a text of `held_out`: nothing of those rows is read but their ids.

    Raises:
        MismatchError: its labels are not the task's.
        CorpusError: texts that it has no answer for.
        InputError: answers that are no numbers.
        DiskFull: no room; finished shards are kept.
    """

    def make(draft: Draft) -> None:
        identity = loaded.identify()
        refuse_other_labels(identity.labels, task=task, where="teacher")
        probe = _probe(loaded, draft, parts, settings=settings)
        report(Event(STAGE, note=f"asking in {probe['precision']}: {probe['reason']}"))
        shards = _shards(parts, held_out=held_out, settings=settings, seed=seed)
        total = None if settings.phrases_per_row else sum(part.count for part in parts)
        meter = Meter(report, stage=STAGE, total=total, unit="texts")
        _ask(loaded, draft, shards, settings=settings, precision=probe["precision"], wanted=wanted, meter=meter)
        _close(draft, identity, probe=probe, parts=parts, wanted=wanted)

    inputs = {"teacher": teacher.digest, **{part.role: part.digest for part in parts}}
    # The seed only matters where phrases are drawn: without them, every seed shares one transfer set.
    if settings.phrases_per_row:
        inputs |= {part.role: part.digest for part in held_out}
    described = {
        **settings.model_dump(mode="json", exclude={"also"}),
        "seed": seed if settings.phrases_per_row else None,
    }
    described |= {"signals": sorted(wanted)}
    return TransferSet(store.obtain(STAGE, settings=described, inputs=inputs, make=make, resumable=True))


def _probe(
    loaded: LoadedTeacher, draft: Draft, parts: Sequence[Rows[Any]], *, settings: recipe.Transfer
) -> dict[str, Any]:
    """Which precision to ask in: the quicker one only where it was seen to agree. Kept: a rerun does not ask again."""
    path = draft.folder / _PROBE
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept
    asked: dict[str, Any] = {"precision": "fp32", "reason": "asked for" if settings.precision == "fp32" else ""}
    if settings.precision == "bf16":
        asked = {"precision": "bf16", "reason": "asked for"}
    elif settings.precision == "auto" and "bf16" not in loaded.precisions:
        asked["reason"] = "nothing quicker than fp32 here"
    elif settings.precision == "auto":
        texts = _first_texts(parts)
        both = [
            _probabilities(loaded.ask(texts, precision=one, tokens_per_batch=settings.tokens_per_batch)[0]["logits"])
            for one in ("fp32", "bf16")
        ]
        gap = float(np.abs(both[0] - both[1]).max()) if texts else 0.0
        precision: Precision = "bf16" if gap <= settings.bound else "fp32"
        asked = {
            "precision": precision,
            "reason": f"probabilities differ by at most {gap:.4f} on {len(texts)} texts; the bound is {settings.bound}",
            "texts": len(texts),
            "largest_difference": gap,
            "bound": settings.bound,
        }
    artifact.write_json(path, asked)
    return asked


def _first_texts(parts: Sequence[Rows[Any]]) -> list[str]:
    for part in parts:
        for batch in part.batches(_PROBE_TEXTS):
            return [str(text) for text in batch.column("text").to_pylist()]
    return []


def _probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: NDArray[np.float32] = odds / odds.sum(axis=1, keepdims=True)
    return found


def _ask(
    loaded: LoadedTeacher,
    draft: Draft,
    shards: Iterable[_Shard],
    *,
    settings: recipe.Transfer,
    precision: Precision,
    wanted: frozenset[str],
    meter: Meter,
) -> None:
    price = loaded.identify().price_per_million_texts
    for shard in shards:
        path = draft.folder / f"{shard.name}.parquet"
        spend = {"spend": f"{(meter.done + len(shard.ids)) * price / 1e6:.2f}"} if price else {}
        if path.is_file():
            meter.advance(len(shard.ids), kept="from an earlier run", **spend)
            continue
        started = time.perf_counter()
        said, tokens = loaded.ask(
            shard.texts, precision=precision, tokens_per_batch=settings.tokens_per_batch, wanted=wanted
        )
        further = {name: one for name, one in said.items() if name != "logits"}
        if further:  # first: it is the table that says that a shard is whole
            _write_further(path.with_suffix(".safetensors"), shard, further)
        _write(path, shard, said["logits"])
        line = {"shard": shard.name, "texts": len(shard.ids), "tokens": tokens}
        line["seconds"] = time.perf_counter() - started
        with (draft.folder / _LEDGER).open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(line) + "\n")
        meter.advance(len(shard.ids), **spend)


def _shards(
    parts: Sequence[Rows[Any]], *, held_out: Sequence[Rows[Any]], settings: recipe.Transfer, seed: int
) -> Iterator[_Shard]:
    known = _Known()
    if settings.phrases_per_row:
        for part in (*parts, *held_out):
            for batch in part.batches(settings.shard_rows):
                for one in batch.column("id").to_pylist():
                    known.is_new(one.partition("-")[0])
    for part in parts:
        for number, batch in enumerate(part.batches(settings.shard_rows)):
            # A test may repeat a text under ids that end in -2, -3 …: the teacher is asked once.
            columns = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
            asked = [(one, text) for one, text in columns if "-" not in one]
            name = f"shard-{part.role}-{number:06d}"
            yield _Shard(name, part.role, [one for one, _ in asked], [text for _, text in asked])
            if part.role == "train" and settings.phrases_per_row:
                phrases = _phrases(asked, per_row=settings.phrases_per_row, seed=seed)
                new = {one: text for text in phrases if known.is_new(one := artifact.text_id(text))}
                yield _Shard(f"{name}-phrases", "phrases", list(new), list(new.values()))


@final
class _Known:
    """Which ids were seen, in eight megabytes however many there are: a Bloom filter.

    It never takes a known id for a new one. At three million ids it takes a new one for known in a hundred, which for
    phrases drawn by chance is a phrase less.
    """

    _BITS = 1 << 26

    def __init__(self) -> None:
        self._seen = bytearray(self._BITS // 8)

    def is_new(self, one: str) -> bool:
        """Whether this id is new; from now on it is not."""
        number, new = int(one, 16), False
        for shift in (0, 26, 52):
            place = (number >> shift) % self._BITS
            bit = 1 << (place & 7)
            new |= not self._seen[place >> 3] & bit
            self._seen[place >> 3] |= bit
        return new


def _phrases(rows: Sequence[tuple[str, str]], *, per_row: int, seed: int) -> list[str]:
    """Runs of words cut out of training rows, a generator a row, so that no row's phrases depend on another's."""
    found: dict[str, None] = {}
    for one, text in rows:
        words = text.split()
        rng = seeds.generator(seed, f"transfer/phrases/{one}")
        for length in rng.choice(_PHRASE_WORDS, size=per_row).tolist():
            if len(words) > length:
                start = int(rng.integers(len(words) - length + 1))
                found[" ".join(words[start : start + length])] = None
    return list(found)


def _write(path: Path, shard: _Shard, logits: NDArray[np.float32]) -> None:
    classes = logits.shape[1]
    with np.errstate(over="ignore"):
        half = logits.astype(np.float16)
    _refuse_not_finite(shard, half)
    flat = pa.array(half.reshape(-1), type=pa.float16())
    table = pa.table(
        {
            "id": pa.array(shard.ids, type=pa.string()),
            "text": pa.array(shard.texts, type=pa.string()),
            "part": pa.array([shard.part] * len(shard.ids), type=pa.string()).dictionary_encode(),
            "logits": pa.FixedSizeListArray.from_arrays(flat, classes),
        }
    )
    draft = path.with_name(f".{path.name}.draft")
    pq.write_table(table, draft, compression="zstd")
    draft.rename(path)


def _write_further(path: Path, shard: _Shard, said: Mapping[str, NDArray[Any]]) -> None:
    from safetensors.numpy import save_file

    for name, one in said.items():
        if not np.isfinite(one).all():
            found = f"`{name}` that is not finite in half precision"
            todo = "Look at the teacher's weights, or ask for another signal."
            raise InputError(Problem(f"teacher, {shard.name}", found, "numbers between -65504 and 65504", todo))
    draft = path.with_name(f".{path.name}.draft")
    save_file({name: np.ascontiguousarray(one) for name, one in said.items()}, draft)
    draft.rename(path)


def _refuse_not_finite(shard: _Shard, logits: NDArray[np.float16]) -> None:
    """Nothing can be learned from what is no number, and one such row would spoil every weight of a student.

    Raises:
        InputError: the teacher said something that is not finite in half precision.
    """
    odd = [shard.ids[row] for row in np.flatnonzero(~np.isfinite(logits).all(axis=1)).tolist()]
    if odd:
        found = f"outputs that are not finite in half precision for {len(odd)} texts (ids {', '.join(odd[:5])} …)"
        todo = "Look at the teacher: its weights, or what was recorded of it."
        raise InputError(Problem(f"teacher, {shard.name}", found, "logits between -65504 and 65504", todo))


def _close(
    draft: Draft, identity: Identity, *, probe: dict[str, Any], parts: Sequence[Rows[Any]], wanted: frozenset[str]
) -> None:
    """Put into the manifest what makes the set understandable on its own; time and money stand outside the digest."""
    for leftover in draft.folder.glob(".*.draft"):
        leftover.unlink()
    ledger = draft.folder / _LEDGER
    lines = _whole_lines(ledger) if ledger.is_file() else []
    ledger.unlink(missing_ok=True)
    # A run that was killed between writing a shard and its line has lost the line, not the shard.
    texts = sum(pq.read_metadata(path).num_rows for path in draft.folder.glob("shard-*.parquet"))
    draft.facts.update(
        {
            "teacher": identity.as_dict(),
            "signals": {
                name: {"dtype": "float16", "axes": signals.axes(name)}
                | ({"classes": list(identity.labels)} if name == "logits" else {})
                for name in sorted(wanted)
            },
            "precision": probe,
            "parts": {part.role: part.count for part in parts},
            "texts": texts,
        }
    )
    seconds = sum(line["seconds"] for line in lines)
    draft.circumstances["ledger"] = {
        "shards": lines,
        "texts": texts,
        "tokens": sum(line["tokens"] for line in lines),
        "seconds": seconds,
        "texts_per_second": sum(line["texts"] for line in lines) / seconds if seconds else None,
        "spend": texts * identity.price_per_million_texts / 1e6,
    }


def _whole_lines(ledger: Path) -> list[dict[str, Any]]:
    """The lines of a ledger; one that a full disk cut short is left out, as its time is lost but not its shard."""
    found = []
    for line in ledger.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def wanted(objectives: Sequence[Objective], *, student: Student, loaded: LoadedTeacher) -> frozenset[str]:
    """Every signal that a mixture asks of a teacher; a teacher is only opened where insides are asked for."""
    inside = any(one.needs - {"logits", "embedding", GOLD, PEER} for one in objectives)
    layers = loaded.layers if inside else 0
    asked = [one.wants(student_layers=student.depth(layers), teacher_layers=layers).teacher for one in objectives]
    return signals.LOGITS.union(*asked)


def refuse_other_teacher(said: TransferSet, *, tokenizer: str | None, task: Task) -> None:
    """Refuse a student that can't use this transfer set.

    Raises:
        MismatchError: other labels, or a student that reads with another tokenizer than the teacher's.
    """
    refuse_other_labels(said.teacher["labels"], task=task, where=f"transfer set {said.artifact.key}")
    if tokenizer is not None and tokenizer != said.teacher["tokenizer"]:
        found = f"a student that reads with tokenizer {tokenizer[:12]}"
        expected = f"the teacher's, {str(said.teacher['tokenizer'])[:12]}"
        todo = "Start the student from the teacher that was asked, or ask this one."
        raise MismatchError(Problem(f"transfer set {said.artifact.key}", found, expected, todo))
