"""Puts a run's certificate to other texts, to see whether what was certified holds for these too.

The threshold and the calibration are those of the certificate, so that all these rows certify. What was certified holds
for texts that are exchangeable with those that it rests on: where the student is sure of these otherwise than of those,
they are not, and nothing is certified even if little goes wrong because nearly all is left to the teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import audit, cascade, heard, intervals, runtime, teach, transfer
from stillroom.cascade import certificate, finished
from stillroom.cascade.finished import Finished
from stillroom.core import artifact, plugins
from stillroom.core.artifact import Artifact, Draft, text_id
from stillroom.core.errors import InputError, MissingExtra, Problem, missing_extra
from stillroom.core.progress import Meter, Report, silent
from stillroom.corpora import Source
from stillroom.corpus import Rows
from stillroom.intake import Faults
from stillroom.runtime import deferral
from stillroom.tasks import Rows as About
from stillroom.teachers import Desk

STAGE = "traffic"
#: Texts that are as unlike as those that were certified on once in a thousand times by chance are other traffic.
LEVEL = 1e-3
_FILE = "traffic.parquet"

Bools = NDArray[np.bool_]


@final
@dataclass(frozen=True)
class _Given:
    """Rows that somebody gave: what they say, and what the teacher said of each, where a column tells."""

    texts: Sequence[str]
    told: Sequence[Any] | None

    def take(self, rows: Sequence[int]) -> _Given:
        """Some of them."""
        told = None if self.told is None else [self.told[row] for row in rows]
        return _Given([self.texts[row] for row in rows], told)


def judge(folder: Path, rows: Path, *, teacher: str = "", report: Report = silent) -> dict[str, Any]:
    """Put a run's certificate to the rows of a file: csv, tsv, jsonl or parquet, with a column `text`.

    `teacher` names the column of the teacher's answers; without it the teacher is asked, where that costs nothing or
    the recipe allows it (`audit.ask_teacher`). Rows that the student learned from, or that something of the
    certificate was chosen by, are left out and counted.

    Raises:
        InputError: a run without a certificate, or rows that can't be read.
        ArtifactError: no run there, or one that is damaged.
    """
    run = finished.reopen(folder)
    bundle, before = _certified(run)
    shown = deferral.read(bundle.folder / deferral.FILE)
    given, left_out = _apart(_read(rows, column=teacher, run=run), run)
    if not given.texts:
        found = f"no row that is new to the student ({sum(left_out.values()):,} left out)"
        raise InputError(Problem(str(rows), found, "rows of other traffic", "Give rows that it never met."))
    meter = Meter(report, stage=STAGE, total=len(given.texts), unit="texts")
    said = heard.of_student(bundle, given.texts, meter, task=run.recipe.task)
    sureness = run.recipe.task.sureness(said)
    confidence = shown.calibrated(sureness)
    right, unasked = _right(run, given, said, report=report)
    shift = _shift(before.read_json(cascade.ROWS)["sureness"], sureness)
    told: dict[str, Any] = {
        "name": run.recipe.name,
        "file": str(rows),
        "epsilon": shown.certificate.epsilon,
        "delta": shown.certificate.delta,
        "threshold": shown.threshold,
        "rows": len(given.texts),
        "left_out": left_out,
        "unanswered": 0 if right is None else int((~right[0]).sum()),
        "shift": shift,
        "holds_for": cascade.HOLDS_FOR,
    }
    if right is None:
        sure = int(shown.sure(confidence).sum())
        escalated = intervals.clopper_pearson(len(confidence) - sure, len(confidence), 0.95)
        return {**told, "state": "cannot certify", "reason": unasked, "steps": [],
                "escalated": escalated.as_dict(), "paid": cascade.paid(escalated, run.prices()).as_dict()}  # fmt: skip
    known, same = right
    tried = [one["threshold"] for one in before.read_json(cascade.FILE)["steps"]]
    judged = _judged(run, shown, confidence[known], ~same[known], tried=tried)
    # Too few, or too many wrong; or so unlike what was certified that it says nothing of these.
    reason = judged["reason"] or _other_traffic(shift, judged)
    return {**told, **judged, "reason": reason, "state": "cannot certify" if reason else "certified"}


def _certified(run: Finished) -> tuple[Artifact, Artifact]:
    """The bundle that carries the run's certificate, and the cascade that this rests on.

    Raises:
        InputError: there is none for the run's bundle.
    """
    record = runtime.certified(run.folder)
    if record is None or record["of"] != run.bundle.digest:
        todo = f"Certify it first: stillroom cascade {run.folder}."
        raise InputError(Problem(str(run.folder), "a run without a certificate", "one that was certified", todo))
    places = ("bundle", record["bundle"]), (cascade.STAGE, record["cascade"])
    bundle, before = (artifact.load(run.store.root / stage / key) for stage, key in places)
    return bundle, before


def _other_traffic(shift: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """Why these are other texts than those that were certified on; "": they may be like them."""
    if shift["p"] >= LEVEL:
        return ""
    return (f"the student is sure of these texts otherwise than of those that were certified on (Kolmogorov–Smirnov, "
            f"p = {shift['p']:.2g}): they are other traffic. It leaves {found['escalated']['value']:.0%} of them to "
            f"its teacher, and {found['wrong']:,} of the {found['answered']:,} that it answers go wrong")  # fmt: skip


def _judged(
    run: Finished,
    shown: deferral.Cascade,
    confidence: NDArray[np.float64],
    wrong: Bools,
    *,
    tried: Sequence[float],
) -> dict[str, Any]:
    """The walk from the strictest threshold to the one that was certified, on these rows."""
    epsilon, delta = shown.certificate.epsilon, shown.certificate.delta
    tried = [one for one in tried if one >= shown.threshold]
    steps = certificate.walk(confidence, wrong, tried, epsilon=epsilon, delta=delta)
    last, prices = steps[-1], run.prices()
    needed, reason = certificate.needed(epsilon, delta), ""
    if last.n < needed:
        reason = f"{last.n:,} rows; {needed:,} are needed for {epsilon:.2%} even if none goes wrong"
    elif not last.passed:
        reason = (f"of {last.n:,} rows the student answers {last.answered:,}, {last.wrong:,} of them otherwise than "
                  f"its teacher: up to {last.bound:.2%} of such texts, and {epsilon:.2%} were promised")  # fmt: skip
    escalated = intervals.clopper_pearson(last.n - last.answered, last.n, 0.95)
    return {
        "reason": reason,
        "n": last.n,
        "answered": last.answered,
        "wrong": last.wrong,
        "bound": last.bound,
        "selective_bound": certificate.upper(last.wrong, last.answered, delta),
        "escalated": escalated.as_dict(),
        "paid": cascade.paid(escalated, prices).as_dict(),
        "steps": [cascade.told_of(one, prices) for one in steps],
    }


def _read(path: Path, *, column: str, run: Finished) -> _Given:
    """The rows of a file.

    Raises:
        CorpusError: rows that can't be read; all problems at once.
    """
    task, faults = run.recipe.task, Faults()
    source: Source = plugins.build("corpora", {"kind": "table", "test": [str(path)], "label": column})
    texts: list[str] = []
    told: list[Any] = []
    for row in chain.from_iterable(stream.rows for stream in source.streams(task)):
        if isinstance(row, Problem):
            faults.add(row)
            continue
        if column and (wrong := task.fault(row.label, row.text)) is not None:
            faults.add(Problem(row.where, *wrong))
            continue
        if row.text.strip():
            texts.append(row.text)
            told.append(task.code(row.label, row.text) if column else None)
    faults.tell()
    return _Given(texts, told if column else None)


def _apart(given: _Given, run: Finished) -> tuple[_Given, dict[str, int]]:
    """The rows that are new to the student and to its certificate, and how many are not, by why."""
    met = dict.fromkeys(run.corpus.test.ids(), "certified on") | dict.fromkeys(run.said.learned(), "learned from")
    met |= dict.fromkeys(run.corpus.dev.ids(), "chosen by")
    met = {one.partition("-")[0]: why for one, why in met.items()}
    whys = [met.get(text_id(text), "") for text in given.texts]
    counts = {why: whys.count(why) for why in sorted(set(whys)) if why}
    return given.take([row for row, why in enumerate(whys) if not why]), counts


def _right(run: Finished, given: _Given, said: Any, *, report: Report) -> tuple[tuple[Bools, Bools] | None, str]:
    """Which rows the teacher answered, and where the student says the same; None, with the reason: it was not asked."""
    task = run.recipe.task
    if given.told is not None:
        blank = ("",) * len(given.texts)
        rows = About(given.texts, [text_id(text) for text in given.texts], blank, np.zeros(len(blank), dtype=np.bool_))
        gold = task.gold(pa.chunked_array([pa.array(given.told, type=task.gold_type())]))
        right = task.answered(gold, said, said, rows=rows).right
        if right is not None:
            return (np.ones(len(right), dtype=np.bool_), right), ""
        return None, "what is named there can't be laid beside what the student says"
    if unasked := audit.unasked_why(run.recipe.teacher, run.recipe.audit):
        return None, unasked
    heard_of = _ask(run, given.texts, report=report)
    answered, ids = set(heard_of.ids), [text_id(text) for text in given.texts]
    known = np.array([one in answered for one in ids], dtype=np.bool_)
    same = np.zeros(len(known), dtype=np.bool_)
    ids = [one for one in ids if one in answered]
    teacher = heard.of_teacher(heard_of, ids, task=task)
    same[known] = task.same(task.form.take(said, np.flatnonzero(known)), teacher)
    return (known, same), ""


def _ask(run: Finished, texts: Sequence[str], *, report: Report) -> heard.Told:
    """What the teacher says of these texts, each asked about once."""
    task = run.recipe.task
    new = {text_id(text): text for text in texts}

    def make(draft: Draft) -> None:
        columns = {"id": pa.array(list(new)), "text": pa.array(list(new.values())),
                   "label": pa.nulls(len(new)).cast(task.gold_type()), "domain": pa.array([""] * len(new))}  # fmt: skip
        pq.write_table(pa.table(columns), draft.folder / _FILE, compression="zstd")

    asked = artifact.sha256(artifact.canonical(list(new)))
    kept = run.store.obtain(STAGE, settings={"gold": task.kind}, inputs={"texts": asked}, make=make)
    rows: Rows[Any] = Rows(kept.folder / _FILE, kept.file_digest(_FILE), STAGE, len(new))
    loaded = teach.Opened(run.recipe.teacher, run.teacher, task=task, desk=Desk(run.store.books, report))
    said = transfer.collect(loaded, teacher=run.teacher, parts=(rows,), task=task, settings=run.recipe.transfer,
                            seed=run.recipe.seed, store=run.store, rights=run.corpus.stated_rights,
                            asking=run.recipe.teacher.asking, report=report)  # fmt: skip
    return heard.told(said, task)


def _shift(before: Sequence[float], now: NDArray[np.float64]) -> dict[str, Any]:
    """Whether the student is as sure of these texts as of those that were certified on: Kolmogorov and Smirnov's test.

    It needs no teacher, and can only refute: other texts may be answered as surely, and otherwise.
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise _no_scipy() from error
    found = stats.ks_2samp(np.asarray(before), now, method="asymp")
    return {"largest_gap": intervals.plain(float(found.statistic)), "p": intervals.plain(float(found.pvalue)),
            "before": len(before), "now": len(now)}  # fmt: skip


def _no_scipy() -> MissingExtra:
    return missing_extra("train", package="scipy", needed_by="cascade")


def passed(found: Mapping[str, Any]) -> bool:
    """Whether the certificate holds for these rows too."""
    return bool(found["state"] == "certified")


def sentences(found: Mapping[str, Any]) -> list[str]:
    """What it came to, in words."""
    where = f"{found['rows']:,} rows of {found['file']}"
    if found["left_out"]:
        told = ", ".join(f"{count:,} {why}" for why, count in found["left_out"].items())
        where += f" (left out: {told})"
    shift = found["shift"]
    lines = [where + "."]
    if found["state"] == "certified":
        lines.append(
            f"Certified with {1 - found['delta']:.0%} confidence: at most {found['bound']:.2%} of such texts "
            f"are answered otherwise than by the teacher ({found['wrong']:,} of {found['n']:,} seen)."
        )
    else:
        lines.append(f"Cannot certify: {found['reason']}.")
    if found["escalated"]["value"] is not None:  # else there was no answer to any of them
        lines.append(f"The teacher would see {found['escalated']['value']:.1%} of them.")
    lines.append(f"How sure the student is: largest gap {shift['largest_gap']:.3f} to the rows that were certified on "
                 f"(Kolmogorov–Smirnov, p = {shift['p']:.2g}).")  # fmt: skip
    return [*lines, found["holds_for"]]
