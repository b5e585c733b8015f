"""A teacher that spoke elsewhere: its outputs are in a file."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact, signals
from stillroom.core.artifact import Draft
from stillroom.core.errors import CorpusError, InputError, Problem
from stillroom.core.progress import Event, Meter, Report
from stillroom.tasks import Task
from stillroom.teachers import Closed, Desk, Identity, LoadedTeacher, Precision, Teacher, refuse_other_labels
from stillroom.teachers._fitting import Fit

if TYPE_CHECKING:
    from stillroom.corpus import Dev, HeldOut, Learnable, Rows, Train

_FILE = "recorded.parquet"
_ABOUT = "recorded.json"
_HEADER = {"labels", "teacher", "licence"}
_SHOWN = 5
_TOLD = 20
_ROWS = 4096
_ANSWERS = ("logits", "probabilities", "top", "label")
_PEEKED = 100  # lines
_SLACK = 0.01
_SMALLEST = 1e-6
_LARGEST = float(np.finfo(np.float32).max)


@final
class Recorded(Teacher):
    """Outputs in a file: one JSON object a line, with `text`, and `logits`, `probabilities`, `top` or just a `label`.

    `logits` and `probabilities` are tables by label, or lists. `top` names the most probable labels with their
    probabilities; what remains is spread evenly over the others, which the log, the manifest and the report say.
    Where there is only a `label`, the teacher gives labels and no more. All lines of a file are of one kind.

    The first line may be `{"labels": […], "teacher": "…", "licence": "…"}`; without labels, lists are read in the
    order of the task's. Every text of the corpus needs an output, test rows too: both sides are judged on them.
    """

    kind: Literal["recorded"] = "recorded"
    outputs: str
    """The file's path (jsonl)."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    @property
    def signals(self) -> frozenset[str]:
        """Logits, or labels where its first line with a text has no more. A file that is not there is told of later."""
        return frozenset({"label"}) if _answer(Path(self.outputs)) == "label" else signals.LOGITS

    @property
    def computes(self) -> bool:
        """Nothing: it was asked elsewhere."""
        return False

    @property
    def shows_network(self) -> bool:
        """There is none here."""
        return False

    @property
    def answers_any_text(self) -> bool:
        """It knows no texts but those that were recorded."""
        return False

    def inputs(self, corpus: Learnable) -> dict[str, str]:
        """The digest of the file, and of the rows that it has to speak of."""
        path = Path(self.outputs)
        if not path.is_file():
            expected = "a file of recorded outputs"
            raise InputError(Problem("teacher.outputs", f"no file `{path}`", expected, "Check the path."))
        return {"outputs": artifact.file_sha256(path), **{part.role: part.digest for part in _parts(corpus)}}

    def prepare(self, draft: Draft, *, task: Task, corpus: Learnable, fit: Fit, seed: int, report: Report) -> None:
        """Check every line, and keep text ids with logits in the task's order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        named = "label" in self.signals
        said_as = ("label", pa.int32()) if named else ("logits", pa.list_(pa.float32(), len(task.outputs)))
        schema = pa.schema([("id", pa.string()), said_as])
        meter = Meter(report, stage="teacher", total=None, unit="recorded texts")
        said = _Said(Path(self.outputs), task=task)
        with pq.ParquetWriter(draft.folder / _FILE, schema) as writer:
            rows = iter(said)
            while part := list(islice(rows, _ROWS)):
                writer.write_table(pa.table([list(column) for column in zip(*part, strict=True)], schema=schema))
                meter.advance(len(part))
        problems = [*said.problems, *_unanswered(corpus, said.known, where=self.outputs)]
        if problems:
            left = len(problems) - _TOLD
            more = Problem(self.outputs, f"{left} more problems like these", "none", "Correct these first.")
            raise CorpusError(*problems[:_TOLD], *([more] if left > 0 else []))
        artifact.write_json(draft.folder / _ABOUT, said.about | {"answers": "label" if named else "logits"})
        if said.spread:
            mass = float(np.mean(said.spread))
            draft.facts["spread"] = {"texts": len(said.spread), "mean_mass": round(mass, 6)}
            sentence = (
                f"of {len(said.spread)} texts only the most probable labels were recorded; what remains "
                f"({mass:.1%} of the probability on average) is spread evenly over the other labels"
            )
            draft.facts["warning"] = sentence
            report(Event("teacher", note=f"Warning: {sentence}."))

    def open(self, folder: Path, *, task: Task, desk: Desk | None = None) -> LoadedTeacher:
        """The recording."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        name, licence = about["teacher"], self.licence or about["licence"]
        price, answers = self.price_per_million_texts, about["answers"]
        return Recording(folder / _FILE, name=name, task=task, licence=licence, price=price, answers=answers)


@final
class Recording(Closed):
    """Recorded outputs, looked up by the text's id."""

    whose: ClassVar[str] = "a recorded teacher"

    def __init__(
        self, path: Path, *, name: str, task: Task, licence: str, price: float, answers: Literal["logits", "label"]
    ) -> None:
        import pyarrow.parquet as pq

        self._path, self._name, self._task, self._licence, self._price = path, name, task, licence, price
        table = pq.read_table(path)
        self._answers = answers
        self._places = {text: place for place, text in enumerate(table["id"].to_pylist())}
        self._said: NDArray[Any]
        if answers == "label":
            self._said = table["label"].to_numpy().astype(np.int64)
        else:
            flat = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            self._said = np.asarray(flat, dtype=np.float32).reshape(-1, len(task.outputs))

    def identify(self) -> Identity:
        """Who it is, as far as the file says."""
        digest = artifact.file_sha256(self._path)
        return Identity(self._name, digest, None, self._task.outputs, self._licence, self._price, self._answers)

    def ask(
        self,
        texts: Sequence[str],
        *,
        precision: Precision,
        tokens_per_batch: int,
        wanted: frozenset[str] = signals.LOGITS,
    ) -> tuple[Mapping[str, NDArray[Any]], int]:
        """What was recorded of each text."""
        ids = [artifact.text_id(text) for text in texts]
        missing = [text for text in ids if text not in self._places]
        if missing:
            found = f"{len(missing)} texts without a recorded output (ids {', '.join(missing[:_SHOWN])} …)"
            todo = "Record the teacher's outputs for every text of the corpus, test included."
            raise CorpusError(Problem(self._name, found, "an output for each text", todo))
        return {self._answers: self._said[[self._places[text] for text in ids]]}, 0


@final
class _Said:
    """What a file says, a text once: ids with answers to be iterated over, and what is wrong with the file's lines."""

    def __init__(self, path: Path, *, task: Task) -> None:
        self._path, self._task = path, task
        self.about = {"teacher": path.name, "licence": ""}
        self.known: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.spread: list[float] = []
        self._answer = _answer(path)

    def __iter__(self) -> Iterator[tuple[str, list[float] | int]]:
        with self._path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                found = self._read(line, number) if line.strip() else None
                if isinstance(found, Problem):
                    self.problems.append(found)
                elif found is not None:
                    yield found

    def _read(self, line: bytes, number: int) -> tuple[str, list[float] | int] | Problem | None:
        where = f"{self._path}, line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:  # bytes that are no UTF-8 among them
            return Problem(where, f"no JSON ({error})", "one object a line, in UTF-8", "Correct the line.")
        if not isinstance(value, dict):
            return Problem(where, f"a value of type {type(value).__name__}", "one object a line", "Correct the line.")
        if number == 1 and "text" not in value and _HEADER & value.keys():
            return self._header(value, where)
        found = self._said(value, where)
        if isinstance(found, Problem):
            return found
        one, said = artifact.text_id(value["text"]), hash(tuple(found) if isinstance(found, list) else found)
        if one not in self.known:
            self.known[one] = said
            if self._answer == "top":
                self.spread.append(max(0.0, 1.0 - sum(value["top"].values())))
            return one, found
        if self.known[one] != said:
            return Problem(where, "a text that has another output further up", "one output a text", "Keep one of them.")
        return None

    def _said(self, value: dict[str, Any], where: str) -> list[float] | int | Problem:
        """The answer of one line."""
        own = next((name for name in _ANSWERS if name in value), None)
        if (own == "label") != (self._answer == "label") or (own == "top") != (self._answer == "top"):
            found = f"`{own}`, after lines with `{self._answer}`" if own else f"keys {', '.join(sorted(value))}"[:200]
            return Problem(where, found, f"`text` and `{self._answer}`", "Keep to one kind of answer in a file.")
        if own == "label":
            return _label(value, task=self._task, where=where)
        if own == "top":
            return _top(value, task=self._task, where=where)
        return _logits(value, task=self._task, where=where)

    def _header(self, value: dict[str, Any], where: str) -> Problem | None:
        labels = value.get("labels", list(self._task.outputs))
        if not isinstance(labels, list):
            return Problem(
                f"{where}, `labels`",
                f"a value of type {type(labels).__name__}",
                "a list of labels",
                "Correct the line.",
            )
        refuse_other_labels([str(one) for one in labels], task=self._task, where=f"{where}, `labels`")
        self.about |= {name: str(value[name]) for name in self.about if value.get(name)}
        return None


def _parts(corpus: Learnable) -> tuple[Rows[Train] | Rows[Dev] | HeldOut, ...]:
    return (corpus.train, corpus.unlabelled, corpus.dev, *corpus.held_out)


def _unanswered(corpus: Learnable, known: Container[str], *, where: str) -> list[Problem]:
    """The texts of a corpus that nothing was recorded of: found now, not when a student is fitted already."""
    found: dict[str, list[str]] = {}
    for part in _parts(corpus):
        missing = [one for one in part.ids() if one.partition("-")[0] not in known]
        if missing:
            found[part.role] = missing
    if not found:
        return []
    counts = ", ".join(f"{len(ids)} of {role}" for role, ids in found.items())
    shown = ", ".join([one for ids in found.values() for one in ids][:_SHOWN])
    todo = "Record the teacher's outputs for every text of the corpus, test included."
    return [Problem(where, f"texts without an output: {counts} (ids {shown} …)", "an output for each text", todo)]


def _answer(path: Path) -> str:
    """What kind of answer a file holds, by its first line that has a text; `logits` where none has."""
    try:
        with path.open("rb") as file:
            for line in islice(file, _PEEKED):
                with contextlib.suppress(ValueError):
                    value = json.loads(line) if line.strip() else None
                    if isinstance(value, dict) and "text" in value:
                        return next((name for name in _ANSWERS if name in value), "logits")
    except OSError:
        return "logits"
    return "logits"


def _label(line: dict[str, Any], *, task: Task, where: str) -> int | Problem:
    """The position of the label that one line names."""
    label = line["label"]
    place: int | None = task.code(label) if isinstance(label, str) else None
    if place is None or not isinstance(line.get("text"), str):
        expected = f"a text, and one of {', '.join(task.outputs)}"[:200]
        return Problem(f"{where}, `label`", f"`{label}`"[:60], expected, "Correct the line.")
    return place


def _top(line: dict[str, Any], *, task: Task, where: str) -> list[float] | Problem:
    """The logits of a line that names the most probable labels: what they leave goes evenly to the others."""
    values, place = line["top"], f"{where}, `top`"
    if not isinstance(line.get("text"), str) or not isinstance(values, dict) or not values:
        return Problem(place, f"a value of type {type(values).__name__}", "labels with probabilities", "Correct it.")
    strange = [str(name) for name in values if name not in task.outputs]
    if strange:
        found, expected = ", ".join(strange)[:200], f"labels out of {', '.join(task.outputs)}"[:200]
        return Problem(place, found, expected, "Correct the line.")
    if not all(_is_number(one) and 0 <= one <= 1 for one in values.values()):
        return Problem(place, "a value that is no probability", "numbers from 0 to 1", "Correct the line.")
    others = len(task.outputs) - len(values)
    left = 1.0 - sum(values.values())
    if left < -_SLACK or (not others and left > _SLACK):
        return Problem(
            place, f"values that sum to {1 - left:.3f}", "at most 1, or 1 where all are named", "Correct it."
        )
    each = max(0.0, left) / others if others else 0.0
    if each > min(values.values()) + _SLACK:
        found = f"{left:.3f} left for {others} labels, more for each than the least that is named"
        return Problem(place, found, "the most probable labels", "Name more labels, or give only `label`.")
    row = np.array([values.get(name, each) for name in task.outputs], dtype=np.float64)
    return [float(one) for one in np.log(np.maximum(row, _SMALLEST))]


def _logits(line: dict[str, Any], *, task: Task, where: str) -> list[float] | Problem:
    """The logits of one line in the task's order; probabilities become their logarithms."""
    signal = next((name for name in ("logits", "probabilities") if name in line), None)
    if signal is None or not isinstance(line.get("text"), str):
        found = f"keys {', '.join(sorted(line))}"[:200]
        return Problem(where, found, "`text` (a string), and `logits`, `probabilities`, `top` or `label`", "Add them.")
    values, place = line[signal], f"{where}, `{signal}`"
    if isinstance(values, dict):
        if set(values) != set(task.outputs):
            found, expected = ", ".join(map(str, values)), ", ".join(task.outputs)
            return Problem(place, found[:200], f"the labels {expected}"[:200], "Correct the line.")
        values = [values[name] for name in task.outputs]
    if not isinstance(values, list) or len(values) != len(task.outputs) or not all(map(_is_number, values)):
        found = f"{len(values)} values" if isinstance(values, list) else f"a value of type {type(values).__name__}"
        return Problem(place, found, f"{len(task.outputs)} numbers", "Correct the line.")
    row = np.array([_float(one) for one in values])
    if not np.isfinite(row).all():
        return Problem(place, "a number that is not finite", "finite numbers", "Correct the line.")
    if signal == "probabilities":
        if (row < 0).any() or not 0.99 < row.sum() < 1.01:
            lowest = f", the lowest of them {row.min():.3g}" if (row < 0).any() else ""
            found = f"values that sum to {row.sum():.3f}{lowest}"
            return Problem(place, found, "probabilities that sum to 1", "Correct the line.")
        row = np.log(np.maximum(row, _SMALLEST))
    return [float(one) for one in row]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float) -> float:
    """A number; what float32 can't hold (no number at all, too) becomes infinite."""
    return float(value) if abs(value) <= _LARGEST else math.inf
