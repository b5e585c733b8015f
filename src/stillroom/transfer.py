"""Asks the teacher once: texts with what it said, shard by shard, under one manifest.

A shard is a run of rows in corpus order, written whole or not at all. A killed run leaves its finished shards; a rerun
asks only for what is missing, so nothing is paid for twice. Inside a shard texts of like length are batched together.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillroom import augment, shards, transfer_set
from stillroom.augmentations import Augmentation, Original
from stillroom.core import artifact, recipe, signals
from stillroom.core.artifact import Artifact, Draft, Store
from stillroom.core.errors import StillroomError
from stillroom.core.progress import Event, Meter, Report, silent
from stillroom.corpus import Rows
from stillroom.objectives import GOLD, PEER, Objective
from stillroom.shapes import Shape
from stillroom.shards import Shard
from stillroom.students import Student
from stillroom.tasks import Task
from stillroom.teachers import Identity, LoadedTeacher, Precision, refuse_other_labels
from stillroom.teachers._forecast import Bills, Forecast
from stillroom.transfer_set import TransferSet

STAGE = "transfer"
_PROBE = "probe.json"
_LEDGER = "ledger.jsonl"
_PROBE_TEXTS = 32
_SCRATCH = "sketches"


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
    rights: Mapping[str, Any] | None = None,
    asking: Mapping[str, Any] | None = None,
    report: Report = silent,
) -> TransferSet:
    """Ask the teacher about every text of the parts, or find that it was asked. Only what is wanted is recorded.

    `asking` are the teacher's settings that its artifact knows nothing of (`Teacher.asking`).

    `rights` are those of the corpus: the licences of the texts stand in the manifest beside the teacher's. They are
    circumstances, since nobody should have to ask again because a licence was put right.

    Where texts are made of training rows, none is one of `held_out`, or nearly: of those rows only ids are kept and
    sketches of what they look like (`stillroom.sketches`), which are removed when the texts are made.

    Raises:
        MismatchError: its labels are not the task's.
        CorpusError: texts that it has no answer for.
        InputError: answers that are no numbers.
        DiskFull: no room; finished shards are kept.
    """
    # What an answer is made of is recorded with it, whoever wants it: mixtures that look at it differently share a set.
    wanted = wanted - (task.form.answering - task.form.on_request - signals.ANSWERS)
    # Texts are made of rows to learn from, never of those that something is judged on.
    rows = settings.shard_rows or task.form.asked_at_once
    rules = settings.augment if any(part.role == augment.source_of(parts) for part in parts) else ()

    def make(draft: Draft) -> None:
        identity = loaded.identify()
        refuse_other_labels(identity.labels, task=task, where="teacher")
        probe = _probe(loaded, draft, parts, form=task.form, settings=settings)
        report(Event(STAGE, note=f"asking in {probe['precision']}: {probe['reason']}"))
        workshop = None
        if rules:
            workshop = augment.Workshop(rules, loaded=loaded, parts=parts, held_out=held_out, seed=seed,
                                        folder=draft.folder / _SCRATCH)  # fmt: skip
        some = _shards(parts, workshop=workshop, rows=rows, folder=draft.folder)
        meter = Meter(report, stage=STAGE, total=augment.most(rules, parts), unit="texts")
        forecasts: Sequence[Forecast] = ()
        if identity.price_per_million_texts is None:
            forecasts = _project(loaded, parts, settings=settings, precision=probe["precision"], meter=meter)
        _ask(
            loaded,
            draft,
            some,
            settings=settings,
            precision=probe["precision"],
            wanted=wanted,
            task=task,
            meter=meter,
        )
        _close(draft, identity, probe=probe, parts=parts, wanted=wanted, rules=rules, form=task.form, report=report)
        if forecasts:
            draft.circumstances["ledger"]["forecasts"] = [one.as_dict() for one in forecasts]
        draft.circumstances["licences"] = _licences(identity, rights or {})
        draft.facts["layers"] = loaded.layers if wanted - signals.ANSWERS - {"embedding"} else 0

    inputs = {"teacher": teacher.digest, **{part.role: part.digest for part in parts}}
    # The seed only matters where texts are made: without them, every seed shares one transfer set.
    if rules:
        inputs |= {part.role: part.digest for part in held_out}
        inputs |= {f"augment[{n}].{name}": sha for n, rule in enumerate(rules) for name, sha in rule.digests().items()}
    described = settings.model_dump(mode="json", serialize_as_any=True, exclude={"also", "emphasise", "emphasis"})
    described |= {
        "shard_rows": rows,
        "seed": seed if rules else None,
        "augment": [rule.model_dump(mode="json") for rule in rules],
    }
    described |= {"signals": sorted(wanted)} | ({"sifting": dict(task.sifting)} if task.sifting else {})
    described |= {"asking": dict(asking)} if asking else {}
    described |= {"form": task.form.model_dump(mode="json")} if wanted & task.form.on_request else {}
    return TransferSet(store.obtain(STAGE, settings=described, inputs=inputs, make=make, resumable=True))


def _probe(
    loaded: LoadedTeacher, draft: Draft, parts: Sequence[Rows[Any]], *, form: Shape, settings: recipe.Transfer
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
        both = [form.heard(_asked(loaded, texts, one, settings)) for one in ("fp32", "bf16")]
        gap = form.drift(*both)
        precision: Precision = "bf16" if gap <= settings.bound else "fp32"
        asked = {
            "precision": precision,
            "reason": f"answers differ by at most {gap:.4f} on {len(texts)} texts; the bound is {settings.bound}",
            "texts": len(texts),
            "largest_difference": gap,
            "bound": settings.bound,
        }
    artifact.write_json(path, asked)
    return asked


def _asked(
    loaded: LoadedTeacher, texts: Sequence[str], precision: Precision, settings: recipe.Transfer
) -> Mapping[str, Any]:
    return loaded.ask(texts, precision=precision, tokens_per_batch=settings.tokens_per_batch)[0]


def _first_texts(parts: Sequence[Rows[Any]]) -> list[str]:
    for part in parts:
        for batch in part.batches(_PROBE_TEXTS):
            return [str(text) for text in batch.column("text").to_pylist()]
    return []


def _project(
    loaded: LoadedTeacher,
    parts: Sequence[Rows[Any]],
    *,
    settings: recipe.Transfer,
    precision: Precision,
    meter: Meter,
) -> Sequence[Forecast]:
    """Say what asking will cost, by what the first texts do, and where a cap is too low for it.

    Who bills for each request knows the first texts when asked again. Where not even these are paid for, what they came
    to is told all the same.
    """
    texts = _first_texts(parts)
    try:
        said, _ = loaded.ask(texts, precision=precision, tokens_per_batch=settings.tokens_per_batch)
    except StillroomError:  # whoever interrupts it does not wait until every text is looked at
        _forecast(loaded, parts, meter=meter)
        raise
    forecasts = _forecast(loaded, parts, meter=meter)
    if texts and meter.total:
        each = float(said[signals.PRICE].mean())
        total = each * meter.total
        told = f"{total:,.2f}" if total >= 1 else f"{total:.2g}"
        meter.note(f"a text costs {each:.2g}, by the first {len(texts)}: all {meter.total:,} about {told}")
    return forecasts


def _forecast(loaded: LoadedTeacher, parts: Sequence[Rows[Any]], *, meter: Meter) -> Sequence[Forecast]:
    """What all texts will come to, an account each, told where a cap is too low for it."""
    if not (isinstance(loaded, Bills) and meter.total):
        return ()
    rows = itertools.chain.from_iterable(map(_once, itertools.chain(*(part.batches() for part in parts))))
    made = meter.total - sum(part.count for part in parts)
    forecasts = loaded.forecasts((text for _, text in rows), further=made)
    for warning in filter(None, (one.warning for one in forecasts)):
        meter.note(f"Warning: {warning}.")
    return forecasts


def _ask(
    loaded: LoadedTeacher,
    draft: Draft,
    some: Iterable[Shard],
    *,
    settings: recipe.Transfer,
    precision: Precision,
    wanted: frozenset[str],
    task: Task,
    meter: Meter,
) -> None:
    form = task.form
    price = loaded.identify().price_per_million_texts
    lines = _lines(draft.folder / _LEDGER)
    spent = 0.0
    for shard in some:
        meter.spare(shard.most - len(shard.ids))
        if shard.path(draft.folder).is_file():
            spent += lines[shard.name]["spend"] if shard.name in lines else 0.0
            meter.advance(len(shard.ids), kept="from an earlier run", **_spend(spent))
            continue
        started = time.perf_counter()
        said, tokens = loaded.ask(
            shard.texts, precision=precision, tokens_per_batch=settings.tokens_per_batch, wanted=wanted
        )
        asked, counts = len(shard.ids), None
        line: dict[str, Any] = {"shard": shard.name, "texts": asked, "tokens": tokens}
        line["spend"] = asked * price / 1e6 if price is not None else float(said[signals.PRICE].sum())
        line["seconds"] = time.perf_counter() - started
        # Before the shard: whoever is killed between both writes the line again, and it is the last that counts.
        with (draft.folder / _LEDGER).open("a", encoding="utf-8") as ledger:
            ledger.write(json.dumps(line) + "\n")
        tally = shards.tally(said)
        # What is learned from is sifted; what is judged is taken as it comes.
        sifted = None
        if shard.part in ("train", "unlabelled"):
            said, sifted = form.chosen(said, functools.partial(task.sift, shard.texts))
        shard, said, unanswered = shards.answered(shard, said, form=form, objections=sifted)
        if shard.made is not None:
            sources = form.of_texts(form.answers(pq.read_table(draft.folder / f"{shard.of}.parquet")))
            shard, said, counts = shards.sift(shard, said, made=shard.made, sources=sources, form=form)
        shards.write(draft.folder, shard, said, form=form, counts=counts, unanswered=unanswered, tally=tally)
        spent += line["spend"]
        meter.advance(asked, **_spend(spent))


def _spend(spent: float) -> dict[str, str]:
    return {"spend": f"{spent:.2f}"} if spent else {}


def _shards(
    parts: Sequence[Rows[Any]], *, workshop: augment.Workshop | None, rows: int, folder: Path
) -> Iterator[Shard]:
    for part in parts:
        for number, batch in enumerate(part.batches(rows)):
            asked = _once(batch)
            name = f"shard-{part.role}-{number:06d}"
            ids, texts = [one for one, _ in asked], [text for _, text in asked]
            yield Shard(name, part.role, ids, texts, most=batch.num_rows)
            if workshop is not None and part.role == workshop.source:
                # The shard is whole by now. Nothing is made of a row that has no answer.
                answered = set(pq.read_table(folder / f"{name}.parquet", columns=["id"])["id"].to_pylist())
                people = dict(zip(batch.column("id").to_pylist(), batch.column("label").to_pylist(), strict=True))
                originals = [(one, Original(text, people[one])) for one, text in asked if one in answered]
                for made in workshop.made(originals):
                    own = f"{name}-made-{made.number:02d}"
                    ids, texts = list(made.texts), list(made.texts.values())
                    most = made.rule.per_row * batch.num_rows
                    yield Shard(own, made.rule.kind, ids, texts, made, name, most)


def _once(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    """Ids and texts. A test may repeat a text under ids that end in -2, -3 …: the teacher is asked once."""
    columns = zip(batch.column("id").to_pylist(), batch.column("text").to_pylist(), strict=True)
    return [(one, text) for one, text in columns if "-" not in one]


def _close(
    draft: Draft,
    identity: Identity,
    *,
    probe: dict[str, Any],
    parts: Sequence[Rows[Any]],
    wanted: frozenset[str],
    rules: Sequence[Augmentation],
    form: Shape,
    report: Report,
) -> None:
    """Put into the manifest what makes the set understandable on its own; time and money stand outside the digest."""
    shutil.rmtree(draft.folder / _SCRATCH, ignore_errors=True)
    for leftover in draft.folder.glob(".*.draft"):
        leftover.unlink()
    ledger = draft.folder / _LEDGER
    lines = list(_lines(ledger).values())
    ledger.unlink(missing_ok=True)
    found = shards.written(draft.folder)
    left_out = sum(found.unanswered.values())
    asked = found.texts + sum(augment.asked(one) for one in found.made) + left_out
    if left_out:
        told = f"no answer for {left_out:,} of {asked:,} texts, left out: {_counted(found.unanswered)}"
        report(Event(STAGE, note=told))
    if found.tally:
        report(Event(STAGE, note=f"parts of answers: {_counted(found.tally)}"))
    recorded = wanted - signals.ANSWERS | {identity.answers}
    answers = {form.answer, *(signals.ANSWERS & form.answering)}
    tables = answers | {identity.answers} | form.on_request
    draft.circumstances["objectives"] = transfer_set.possible(frozenset(signals.kind(name) for name in recorded))
    draft.facts.update(
        {
            "teacher": identity.as_dict(),
            "signals": {
                name: {
                    "dtype": "int32" if name == "label" else "string" if name == "sequence" else "float16",
                    "axes": list(form.axes[: 1 if name == "label" else None])
                    if name in answers
                    else signals.axes(name),
                    "storage": "parquet" if name in tables else "safetensors",
                }
                | ({"classes": list(identity.labels)} if name in answers else {})
                for name in sorted(recorded)
            },
            "precision": probe,
            "parts": {part.role: part.count for part in parts},
            "texts": found.texts,
        }
        | ({"unanswered": found.unanswered} if found.unanswered else {})
        | ({"tally": found.tally} if found.tally else {})
        | ({"augment": augment.total(rules, found.made, labels=identity.labels)} if rules else {})
    )
    seconds = sum(line["seconds"] for line in lines)
    draft.circumstances["ledger"] = {
        "shards": lines,
        "texts": asked,
        "tokens": sum(line["tokens"] for line in lines),
        "seconds": seconds,
        "texts_per_second": sum(line["texts"] for line in lines) / seconds if seconds else None,
        "spend": sum(line["spend"] for line in lines),
    }


def _counted(counts: Mapping[str, int]) -> str:
    """How many of each, as people read it."""
    return ", ".join(f"{what} {count:,}" for what, count in counts.items())


def _licences(identity: Identity, rights: Mapping[str, Any]) -> dict[str, str | None]:
    """The licence of the teacher, and of the texts: of all of them, or also of those that differ. None: not stated."""
    inside = {name: one.get("licence") for name, one in rights.items() if isinstance(one, Mapping) and "licence" in one}
    return {"teacher": identity.licence or None, "texts": rights.get("licence"), **inside}


def _lines(ledger: Path) -> dict[str, dict[str, Any]]:
    """The last line of each shard; one that a full disk cut short is left out, for its shard is not there either."""
    found: dict[str, dict[str, Any]] = {}
    for text in ledger.read_text(encoding="utf-8").splitlines() if ledger.is_file() else ():
        with contextlib.suppress(ValueError):
            line = json.loads(text)
            found[line["shard"]] = line
    return found


def wanted(objectives: Sequence[Objective], *, student: Student, loaded: LoadedTeacher, form: Shape) -> frozenset[str]:
    """Every signal that a mixture asks of a teacher; a teacher is only opened where insides are asked for."""
    inside = any(signals.over_tokens(one.needs - {GOLD, PEER}) for one in objectives)
    layers = loaded.layers if inside else 0
    asked = [one.wants(student_layers=student.depth(layers), teacher_layers=layers).teacher for one in objectives]
    return signals.LOGITS.union(*(form.needed(one) for one in asked)) - {"label"}
