"""A teacher that spoke elsewhere: its outputs are in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import artifact
from stillroom.core.artifact import Draft
from stillroom.core.errors import CorpusError, InputError, MismatchError, Problem
from stillroom.core.progress import Meter, Report
from stillroom.tasks import Task
from stillroom.teachers import Fit, Identity, LoadedTeacher, Precision, Teacher, refuse_other_labels

if TYPE_CHECKING:
    from stillroom.corpus import Corpus

_FILE = "recorded.parquet"
_SHOWN = 5
_ROWS = 4096


@final
class Recorded(Teacher):
    """Outputs in a file: one JSON object a line, with `text`, and `logits` or `probabilities` as a table by label.

    The first line may be `{"labels": […], "teacher": "…", "licence": "…"}`; lists are then read in that order.
    """

    computes: ClassVar[bool] = False
    shows_network: ClassVar[bool] = False

    kind: Literal["recorded"] = "recorded"
    outputs: str
    """The file's path (jsonl)."""
    licence: str = ""
    """The licence of its weights, or of what it said."""
    price_per_million_texts: float = 0.0
    """What asking it costs, where somebody bills for that; otherwise it is measured."""

    def inputs(self, corpus: Corpus) -> dict[str, str]:
        """The digest of the file."""
        path = Path(self.outputs)
        if not path.is_file():
            expected = "a file of recorded outputs"
            raise InputError(Problem("teacher.outputs", f"no file `{path}`", expected, "Check the path."))
        return {"outputs": artifact.file_sha256(path)}

    def prepare(self, draft: Draft, *, task: Task, corpus: Corpus, fit: Fit, seed: int, report: Report) -> None:
        """Check every line, and keep text ids with logits in the task's order."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([("id", pa.string()), ("logits", pa.list_(pa.float32(), len(task.outputs)))])
        meter = Meter(report, stage="teacher", total=None, unit="recorded texts")
        problems: list[Problem] = []
        name = self.outputs
        with pq.ParquetWriter(draft.folder / _FILE, schema) as writer:
            ids: list[str] = []
            rows: list[list[float]] = []
            for number, line in _lines(Path(self.outputs)):
                if number == 1 and "labels" in line and "text" not in line:
                    refuse_other_labels([str(one) for one in line["labels"]], task=task, where="teacher.outputs")
                    name = str(line.get("teacher", name))
                    continue
                found = _logits(line, task=task, where=f"{self.outputs}, line {number}")
                if isinstance(found, Problem):
                    problems.append(found)
                    continue
                ids.append(artifact.text_id(str(line["text"])))
                rows.append(found)
                if len(rows) == _ROWS:
                    writer.write_table(pa.table([ids, rows], schema=schema))
                    meter.advance(len(rows))
                    ids, rows = [], []
            if rows:
                writer.write_table(pa.table([ids, rows], schema=schema))
        if problems:
            raise CorpusError(*problems[:20])
        draft.facts["name"] = name

    def open(self, folder: Path, *, task: Task) -> LoadedTeacher:
        """The recording."""
        return Recording(
            folder / _FILE, name=self.outputs, task=task, licence=self.licence, price=self.price_per_million_texts
        )


@final
class Recording:
    """Recorded outputs, looked up by the text's id."""

    def __init__(self, path: Path, *, name: str, task: Task, licence: str, price: float) -> None:
        import pyarrow.parquet as pq

        self._path, self._name, self._task, self._licence, self._price = path, name, task, licence, price
        table = pq.read_table(path)
        self._places = {text: place for place, text in enumerate(table["id"].to_pylist())}
        flat = table["logits"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        self._logits = np.asarray(flat, dtype=np.float32).reshape(-1, len(task.outputs))

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Whatever it was, it was; nothing is computed here."""
        return ("fp32",)

    def identify(self) -> Identity:
        """Who it is, as far as the file says."""
        digest = artifact.file_sha256(self._path)
        return Identity(self._name, digest, None, self._task.outputs, self._licence, self._price)

    def ask(
        self, texts: Sequence[str], *, precision: Precision, tokens_per_batch: int
    ) -> tuple[Mapping[str, NDArray[np.float32]], int]:
        """What was recorded of each text."""
        ids = [artifact.text_id(text) for text in texts]
        missing = [text for text in ids if text not in self._places]
        if missing:
            found = f"{len(missing)} texts without a recorded output (ids {', '.join(missing[:_SHOWN])} …)"
            todo = "Record the teacher's outputs for every text of the corpus, test included."
            raise CorpusError(Problem(self._name, found, "an output for each text", todo))
        return {"logits": self._logits[[self._places[text] for text in ids]]}, 0

    def network(self) -> Any:
        """There is none to see.

        Raises:
            MismatchError: always.
        """
        raise self._unseen("network")

    def tokenizer_json(self) -> str:
        """There is none to see.

        Raises:
            MismatchError: always.
        """
        raise self._unseen("tokenizer")

    def _unseen(self, what: str) -> MismatchError:
        expected = f"a teacher whose {what} can be seen"
        todo = "Choose a student that needs none (`bag`), or a teacher that is here (`huggingface`, `finetuned`)."
        return MismatchError(Problem("student", f"a recorded teacher, which shows no {what}", expected, todo))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                where = f"{path}, line {number}"
                raise CorpusError(Problem(where, f"no JSON ({error})", "one object a line", "Correct it.")) from error
            if not isinstance(value, dict):
                where = f"{path}, line {number}"
                raise CorpusError(Problem(where, type(value).__name__, "one object a line", "Correct it."))
            yield number, value


def _logits(line: dict[str, Any], *, task: Task, where: str) -> list[float] | Problem:
    """The logits of one line in the task's order; probabilities become their logarithms."""
    signal = next((name for name in ("logits", "probabilities") if name in line), None)
    if signal is None or not isinstance(line.get("text"), str):
        return Problem(where, f"keys {', '.join(sorted(line))}", "`text`, and `logits` or `probabilities`", "Add them.")
    values = line[signal]
    if isinstance(values, dict):
        if set(values) != set(task.outputs):
            found, expected = ", ".join(map(str, values)), ", ".join(task.outputs)
            return Problem(f"{where}, `{signal}`", found[:200], f"the labels {expected}"[:200], "Correct the line.")
        values = [values[name] for name in task.outputs]
    if len(values) != len(task.outputs) or not all(isinstance(one, int | float) for one in values):
        expected = f"{len(task.outputs)} numbers"
        return Problem(f"{where}, `{signal}`", f"{len(values)} values", expected, "Correct the line.")
    row = np.asarray(values, dtype=np.float64)
    if signal == "probabilities":
        if (row < 0).any() or not 0.99 < row.sum() < 1.01:
            found = f"values that sum to {row.sum():.3f}"
            return Problem(f"{where}, `{signal}`", found, "probabilities that sum to 1", "Correct the line.")
        row = np.log(np.maximum(row, 1e-6))
    if not np.isfinite(row).all():
        return Problem(f"{where}, `{signal}`", "a number that is not finite", "finite numbers", "Correct the line.")
    return [float(one) for one in row]
