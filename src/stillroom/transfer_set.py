"""What a teacher said, as it is read by whoever learns from it or is held against it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom.core import plugins, signals
from stillroom.core.artifact import Artifact
from stillroom.core.errors import MismatchError, Problem
from stillroom.emphasis import Emphasis
from stillroom.objectives import GOLD, PEER, Objective
from stillroom.shapes import Outputs
from stillroom.tasks import Task
from stillroom.teachers import refuse_other_labels

OWN_WORDS = "written.parquet"


@final
@dataclass(frozen=True)
class TransferSet:
    """What the teacher said. Reading it takes one shard of memory at a time."""

    artifact: Artifact
    emphasis: Emphasis | None = None
    """Which rows come more often where a student learns from them; None: all alike."""

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
        return self.answer == "label"

    @property
    def answers_are_texts(self) -> bool:
        """Whether the teacher's answers are texts, and no more."""
        return self.answer == "sequence"

    @property
    def answer(self) -> str:
        """The signal of the answers: `logits`, `label`, or `embedding`."""
        return str(self.teacher["answers"])

    def shards(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables with `id`, `text`, `part` (`train`, `unlabelled`, `dev` …) and `logits` (or `label`, a position).

        `columns` are those that are read; None: all of them.
        """
        wanted = None if columns is None else list(columns)
        for path in sorted(self.artifact.folder.glob("shard-*.parquet")):
            yield pq.read_table(path, columns=wanted).replace_schema_metadata({"shard": path.stem})

    def answers(self, rows: pa.Table, *, part: str, task: Task) -> tuple[pa.Table, Outputs]:
        """Those rows of a part that the teacher answered, by their `id`, and its answers to them."""
        columns = ["id", "part", *task.form.columns_of(self.answer)]
        heard = [one for one in self.shards(columns) if part_of(one) == part]
        places = {one: place for place, one in enumerate(chain.from_iterable(one["id"].to_pylist() for one in heard))}
        rows = rows.filter(pc.is_in(rows["id"], pa.array(places, type=pa.string())))
        order = np.array([places[one] for one in rows["id"].to_pylist()], dtype=np.int64)
        said = task.form.join([task.form.answers(one) for one in heard], outputs=len(task.outputs))
        return rows, task.form.take(said, order)

    def emphasised(self, emphasis: Emphasis | None, *, held_out: Iterable[Iterable[str]]) -> TransferSet:
        """The same, with rows that come more often; `held_out` are the ids of rows that something is judged on.

        Raises:
            MismatchError: these are other rows, or rows of the test.
        """
        if emphasis is None:
            return self
        emphasis.refuse(chain.from_iterable(held_out))
        emphasis.among(self.learned())
        return replace(self, emphasis=emphasis)

    def learned(self) -> Iterator[str]:
        """The ids of the texts that are learned from: all but those of dev."""
        for shard in self.shards(["id", "part"]):
            if part_of(shard) != "dev":
                yield from shard["id"].to_pylist()

    def further(self, shard: pa.Table) -> list[signals.Place]:
        """Where a shard's other signals are, if it has any; they are read when they are asked for."""
        name = (shard.schema.metadata or {}).get(b"shard", b"").decode()
        path = self.artifact.folder / f"{name}.safetensors"
        if not self.recorded - {self.answer}:
            return []
        if not signals.over_tokens(self.recorded):
            return [signals.Place(path, np.ones(shard.num_rows, dtype=np.int64))]
        return [signals.Place(path, signals.tensors(path).get_tensor(signals.TOKENS).astype(np.int64))]


@final
@dataclass(frozen=True)
class OwnWords:
    """Texts that a student wrote the end of, with what its teacher said of them.

    `rehearsal` writes the table: `id` and `text`, `of`, the id of the text that was begun with and whose place it
    takes, and `begins`, how many bytes of it the student was handed.
    """

    written: Artifact
    heard: Sequence[TransferSet]
    """Where the teacher's words are: a text that was asked about before is not asked about again."""

    @property
    def inputs(self) -> dict[str, str]:
        """The digests of all that it is made of."""
        heard = {f"heard[{number}]": one.artifact.digest for number, one in enumerate(self.heard)}
        return {"written": self.written.digest, **heard}

    def lessons(self, said: TransferSet) -> Iterator[tuple[pa.Table, NDArray[np.int64] | None]]:
        """The shards of what was said without the texts that are replaced, then those that replace them.

        With the latter comes how many bytes of each are not the student's.
        """
        table = pq.read_table(self.written.folder / OWN_WORDS)
        replaced = pa.array(table["of"].to_pylist(), type=pa.string())
        for shard in said.shards():
            gone = pc.is_in(shard["id"], replaced) if part_of(shard) != "dev" else None
            yield (shard if gone is None else shard.filter(pc.invert(gone))), None
        begins = dict(zip(table["id"].to_pylist(), table["begins"].to_pylist(), strict=True))
        for one in self.heard:
            for shard in one.shards():
                known = shard.filter(pc.is_in(shard["id"], pa.array(begins, type=pa.string())))
                if known.num_rows:
                    yield known, np.array([begins.pop(own) for own in known["id"].to_pylist()], dtype=np.int64)


def part_of(shard: pa.Table) -> str:
    """The part of the texts that a shard is of, which is the same for all its rows; "" where it has none."""
    return str(shard["part"][0]) if shard.num_rows else ""


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
