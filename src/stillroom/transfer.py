"""Asks the teacher once: texts with what it said, shard by shard, under one manifest.

A shard is a run of rows in corpus order, written whole or not at all. A killed run leaves its finished shards; a rerun
asks only for what is missing, so nothing is paid for twice. Inside a shard texts of like length are batched together.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import augment
from stillroom.augmentations import Augmentation
from stillroom.core import artifact, plugins, recipe, signals
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
_COUNTS = b"made"  # where a shard of made texts tells what became of them
_SCRATCH = "sketches"


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

    @property
    def layers(self) -> int:
        """How many layers the teacher has, where it was asked about them; else 0."""
        return int(self.artifact.manifest["facts"]["layers"])

    @property
    def names_labels_only(self) -> bool:
        """Whether the teacher named labels and gave no logits."""
        return "logits" not in self.recorded

    def shards(self) -> Iterator[pa.Table]:
        """Tables with `id`, `text`, `part` (`train`, `unlabelled`, `dev` …) and `logits` (or `label`, a position)."""
        for path in sorted(self.artifact.folder.glob("shard-*.parquet")):
            yield pq.read_table(path).replace_schema_metadata({"shard": path.stem})

    def further(self, shard: pa.Table) -> list[signals.Place]:
        """Where a shard's other signals are, if it has any; they are read when they are asked for."""
        name = (shard.schema.metadata or {}).get(b"shard", b"").decode()
        path = self.artifact.folder / f"{name}.safetensors"
        if not self.recorded - signals.ANSWERS:
            return []
        if not signals.over_tokens(self.recorded):
            return [signals.Place(path, np.ones(shard.num_rows, dtype=np.int64))]
        return [signals.Place(path, signals.tensors(path).get_tensor(signals.TOKENS).astype(np.int64))]


def answers(shard: pa.Table) -> NDArray[Any]:
    """What the teacher answered to each row of a shard: logits `[rows, classes]`, or labels `[rows]`."""
    if "label" in shard.column_names:
        return np.asarray(shard["label"].to_numpy(), dtype=np.int64)
    column = shard["logits"].combine_chunks()
    flat: NDArray[np.float16] = column.flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.float32).reshape(-1, column.type.list_size)


@final
@dataclass(frozen=True)
class _Shard:
    """Texts to be asked about, in the order of the corpus."""

    name: str
    part: str
    ids: Sequence[str]
    texts: Sequence[str]
    made: augment.Made | None = None
    """Where its texts were made of rows: of which, and by what."""
    of: str = ""
    """The shard of those rows."""


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

    Where texts are made of training rows, none is one of `held_out`, or nearly: of those rows only ids are kept and
    sketches of what they look like (`stillroom.sketches`), which are removed when the texts are made.

    Raises:
        MismatchError: its labels are not the task's.
        CorpusError: texts that it has no answer for.
        InputError: answers that are no numbers.
        DiskFull: no room; finished shards are kept.
    """
    # Texts are made of rows to learn from, never of those that something is judged on.
    rules = settings.augment if any(part.role == augment.source_of(parts) for part in parts) else ()

    def make(draft: Draft) -> None:
        identity = loaded.identify()
        refuse_other_labels(identity.labels, task=task, where="teacher")
        probe = _probe(loaded, draft, parts, settings=settings)
        report(Event(STAGE, note=f"asking in {probe['precision']}: {probe['reason']}"))
        workshop = None
        if rules:
            workshop = augment.Workshop(rules, loaded=loaded, parts=parts, held_out=held_out, seed=seed,
                                        folder=draft.folder / _SCRATCH)  # fmt: skip
        shards = _shards(parts, workshop=workshop, settings=settings)
        total = None if rules else sum(part.count for part in parts)
        meter = Meter(report, stage=STAGE, total=total, unit="texts")
        _ask(loaded, draft, shards, settings=settings, precision=probe["precision"], wanted=wanted, meter=meter)
        _close(draft, identity, probe=probe, parts=parts, wanted=wanted, rules=rules)
        draft.facts["layers"] = loaded.layers if wanted - signals.ANSWERS - {"embedding"} else 0

    inputs = {"teacher": teacher.digest, **{part.role: part.digest for part in parts}}
    # The seed only matters where texts are made: without them, every seed shares one transfer set.
    if rules:
        inputs |= {part.role: part.digest for part in held_out}
        inputs |= {f"augment[{n}].{name}": sha for n, rule in enumerate(rules) for name, sha in rule.digests().items()}
    described = settings.model_dump(mode="json", serialize_as_any=True, exclude={"also"})
    described |= {"seed": seed if rules else None, "augment": [rule.model_dump(mode="json") for rule in rules]}
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
        asked, counts = len(shard.ids), None
        if shard.made is not None:
            of_rows = answers(pq.read_table(draft.folder / f"{shard.of}.parquet"))
            shard, said, counts = _sift(shard, said, of_rows)
        further = {name: one for name, one in said.items() if name not in signals.ANSWERS}
        if further:  # first: it is the table that says that a shard is whole
            _write_further(path.with_suffix(".safetensors"), shard, further)
        _write(path, shard, said, counts=counts)
        line = {"shard": shard.name, "texts": asked, "tokens": tokens}
        line["seconds"] = time.perf_counter() - started
        with (draft.folder / _LEDGER).open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(line) + "\n")
        meter.advance(asked, **spend)


def _sift(
    shard: _Shard, said: Mapping[str, NDArray[Any]], of_rows: NDArray[Any]
) -> tuple[_Shard, dict[str, NDArray[Any]], dict[str, Any]]:
    """What is left of a shard of made texts now that the teacher has spoken of them; and the count."""
    assert shard.made is not None  # noqa: S101 (nothing else is sifted)
    keep, counts = shard.made.keep(said["logits"] if "logits" in said else said["label"], of_rows=of_rows)
    kept = {}
    for name, one in said.items():
        axes = signals.token_axes(name)
        kept[name] = one[np.repeat(keep, said[signals.TOKENS] ** axes) if axes else keep]
    left = np.flatnonzero(keep).tolist()
    ids, texts = [shard.ids[place] for place in left], [shard.texts[place] for place in left]
    return replace(shard, ids=ids, texts=texts), kept, counts


def _shards(
    parts: Sequence[Rows[Any]], *, workshop: augment.Workshop | None, settings: recipe.Transfer
) -> Iterator[_Shard]:
    for part in parts:
        for number, batch in enumerate(part.batches(settings.shard_rows)):
            # A test may repeat a text under ids that end in -2, -3 …: the teacher is asked once.
            columns = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
            asked = [(one, text) for one, text in columns if "-" not in one]
            name = f"shard-{part.role}-{number:06d}"
            yield _Shard(name, part.role, [one for one, _ in asked], [text for _, text in asked])
            if workshop is not None and part.role == workshop.source:
                for made in workshop.made(asked):
                    own = f"{name}-made-{made.number:02d}"
                    yield _Shard(own, made.rule.kind, list(made.texts), list(made.texts.values()), made, name)


def _write(
    path: Path, shard: _Shard, said: Mapping[str, NDArray[Any]], *, counts: Mapping[str, Any] | None = None
) -> None:
    columns = {
        "id": pa.array(shard.ids, type=pa.string()),
        "text": pa.array(shard.texts, type=pa.string()),
        "part": pa.array([shard.part] * len(shard.ids), type=pa.string()).dictionary_encode(),
    }
    if "logits" in said:
        with np.errstate(over="ignore"):
            half = said["logits"].astype(np.float16)
        _refuse_not_finite(shard, half)
        flat = pa.array(half.reshape(-1), type=pa.float16())
        columns["logits"] = pa.FixedSizeListArray.from_arrays(flat, half.shape[1])
    else:
        columns["label"] = pa.array(said["label"], type=pa.int32())
    table = pa.table(columns)
    if counts is not None:
        table = table.replace_schema_metadata({_COUNTS: artifact.canonical(counts)})
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
    draft: Draft,
    identity: Identity,
    *,
    probe: dict[str, Any],
    parts: Sequence[Rows[Any]],
    wanted: frozenset[str],
    rules: Sequence[Augmentation],
) -> None:
    """Put into the manifest what makes the set understandable on its own; time and money stand outside the digest."""
    shutil.rmtree(draft.folder / _SCRATCH, ignore_errors=True)
    for leftover in draft.folder.glob(".*.draft"):
        leftover.unlink()
    ledger = draft.folder / _LEDGER
    lines = _whole_lines(ledger) if ledger.is_file() else []
    ledger.unlink(missing_ok=True)
    # A run that was killed between writing a shard and its line has lost the line, not the shard.
    found = [pq.read_metadata(path) for path in sorted(draft.folder.glob("shard-*.parquet"))]
    texts = sum(one.num_rows for one in found)
    counts = [json.loads(one.metadata[_COUNTS]) for one in found if _COUNTS in (one.metadata or {})]
    asked = texts + sum(augment.asked(one) for one in counts)
    recorded = wanted - signals.ANSWERS | {identity.answers}
    draft.circumstances["objectives"] = possible(frozenset(signals.kind(name) for name in recorded))
    draft.facts.update(
        {
            "teacher": identity.as_dict(),
            "signals": {
                name: {"dtype": "int32" if name == "label" else "float16", "axes": signals.axes(name)}
                | ({"classes": list(identity.labels)} if name in signals.ANSWERS else {})
                for name in sorted(recorded)
            },
            "precision": probe,
            "parts": {part.role: part.count for part in parts},
            "texts": texts,
        }
        | ({"augment": augment.total(rules, counts, labels=identity.labels)} if rules else {})
    )
    seconds = sum(line["seconds"] for line in lines)
    draft.circumstances["ledger"] = {
        "shards": lines,
        "texts": asked,
        "tokens": sum(line["tokens"] for line in lines),
        "seconds": seconds,
        "texts_per_second": sum(line["texts"] for line in lines) / seconds if seconds else None,
        "spend": asked * identity.price_per_million_texts / 1e6,
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
    inside = any(one.needs - signals.ANSWERS - {"embedding", GOLD, PEER} for one in objectives)
    layers = loaded.layers if inside else 0
    asked = [one.wants(student_layers=student.depth(layers), teacher_layers=layers).teacher for one in objectives]
    return signals.LOGITS.union(*asked) - {"label"}


def possible(kinds: frozenset[str]) -> dict[str, str]:
    """Every objective there is: `possible` with these kinds of signals, or what keeps it from being so."""
    found = {}
    for name in plugins.names("objectives"):
        needs: frozenset[str] = getattr(plugins.member("objectives", name), "needs", frozenset())
        missing = sorted(needs - {GOLD, PEER} - signals.implied(kinds))
        found[name] = f"not possible: it needs {', '.join(missing)}" if missing else "possible"
    return found


def refuse_unsaid(said: TransferSet, objectives: Sequence[Objective]) -> None:
    """Refuse objectives that ask for more than was recorded.

    Raises:
        MismatchError: they do; all of them at once.
    """
    known = signals.implied(frozenset(signals.kind(name) for name in said.recorded))
    problems = []
    for number, one in enumerate(objectives):
        missing = sorted(one.needs - {GOLD, PEER} - known)
        if missing:
            found = f"`{one.kind}`, which needs {', '.join(missing)}"
            expected = f"one that makes do with {', '.join(sorted(known))}"
            problems.append(
                Problem(f"objective[{number}]", found, expected, "Choose another, or ask the teacher again.")
            )
    if problems:
        raise MismatchError(*problems)


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
