"""Family: what can be wrong with a distillation. A symptom looks at what a run left behind, and changes nothing.

A symptom yields findings, or says what it could not see. Where chance could have made a finding, it carries a p-value:
the doctor corrects all of a run's for there being several, and drops what chance explains.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import floors
from stillroom.core import batches, plugins, signals
from stillroom.core.artifact import Artifact
from stillroom.core.plugins import Member
from stillroom.core.recipe import Recipe

if TYPE_CHECKING:
    from stillroom.metrics import Metric
    from stillroom.objectives import Objective
    from stillroom.shapes import Outputs
    from stillroom.students import Network
    from stillroom.transfer_set import TransferSet

Severity = Literal["error", "warning", "note"]
#: The stages of a run that leave an artifact, as `run.json` names them, and the folders that they leave it in.
FOLDERS = {
    "corpus": "corpus",
    "teacher": "teacher",
    "transfer": "transfer",
    "train": "student",
    "export": "bundle",
    "evaluate": "evaluation",
    "cost": "cost",
}
#: Every shape of student output, for symptoms that do not look at single answers.
ANY: frozenset[str] = frozenset(plugins.names("shapes"))
#: The shapes of answers that are a line of numbers a text, for symptoms that look at what is like what.
WHOLE: frozenset[str] = frozenset({"pooled", "vectors"})
#: The same, or a line of numbers a word.
NUMBERS: frozenset[str] = WHOLE | {"tokens"}
#: The shapes of answers that name something, so that a row is right or wrong as a whole.
NAMING: frozenset[str] = frozenset({"pooled", "tokens"})
#: Parts of the texts that nobody learns from. All others are learned from: rows, and what was made of them, which has
#: the name of the rule that made it.
HELD_OUT = ("dev", "test", "outside")
#: What stands for the column of the teacher's answers: `logits`, or `label` where it only names labels.
ANSWER = "answer"
_AT_ONCE = 4096  # padded ids that a student is asked about at a time


@final
@dataclass(frozen=True)
class Fact:
    """A number with where it stands, or what it was worked out from: an artifact, and a field or file of it."""

    name: str
    value: float | int | str | None
    artifact: str
    field: str

    def as_dict(self) -> dict[str, Any]:
        """The fact as a program reads it."""
        value = float(f"{self.value:.6g}") if isinstance(self.value, float) else self.value
        return {"name": self.name, "value": value, "artifact": self.artifact, "field": self.field}


@final
@dataclass(frozen=True)
class Finding:
    """What is wrong, what shows it, what it most likely comes from, and what to change."""

    symptom: str
    severity: Severity
    told: str
    """What was found, in a sentence with its numbers."""
    cause: str
    change: str
    keys: tuple[str, ...] = ()
    """The keys of the recipe to change."""
    evidence: tuple[Fact, ...] = ()
    p: float | None = None
    """How probable evidence like this is where nothing is wrong; None: chance has no part in it."""
    p_holm: float | None = None
    follows_from: str | None = None
    """The symptom that explains this finding: mend that one first."""

    def corrected(self, p_holm: float) -> Finding:
        """The same with its p corrected for all that was tested in the run."""
        return replace(self, p_holm=p_holm)

    def explained(self, by: str) -> Finding:
        """The same as a note, where another symptom explains it."""
        return replace(self, severity="note", follows_from=by)

    def as_dict(self) -> dict[str, Any]:
        """The finding as a program reads it."""
        told = {name: getattr(self, name) for name in ("symptom", "severity", "told", "cause", "change")}
        chance = {name: None if one is None else float(f"{one:.3g}") for name, one in self._chance().items()}
        evidence = [one.as_dict() for one in self.evidence]
        return {**told, "keys": list(self.keys), "evidence": evidence, **chance, "follows_from": self.follows_from}

    def _chance(self) -> dict[str, float | None]:
        return {"p": self.p, "p_holm": self.p_holm}


@final
@dataclass(frozen=True)
class Unseen:
    """What could not be looked at, and why."""

    symptom: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """The same as a program reads it."""
        return {"symptom": self.symptom, "reason": self.reason}


@final
@dataclass(frozen=True)
class Quiet:
    """A test that was made and shows nothing: it counts among those that all p-values are corrected for."""

    p: float = 1.0


Seen = Finding | Unseen | Quiet
#: Positions of the first texts that have a near twin among the second ones, each with its twin's.
Twins = Callable[[Sequence[str], Sequence[str]], Mapping[int, int]]


@final
@dataclass(frozen=True)
class Judged:
    """The table that `evaluate` left: the test rows' ids and gold, and what every system said of them."""

    ids: tuple[str, ...]
    gold: NDArray[np.int64]
    named: Mapping[str, NDArray[np.int64]]
    """The label that each system names."""
    probabilities: Mapping[str, NDArray[np.float64]]
    """Of the systems that say how sure they are."""

    def right(self, system: str) -> NDArray[np.bool_]:
        """Where a system names the gold label."""
        return np.asarray(self.named[system] == self.gold)

    def where(self, system: str) -> str:
        """Where that stands in the evaluation's artifact."""
        return f"table.parquet: {'probabilities' if system in self.probabilities else 'label'}.{system}"


@final
@dataclass(frozen=True)
class Case:
    """A run as its artifacts tell of it, each read when it is asked for."""

    recipe: Recipe
    artifacts: Mapping[str, Artifact]
    heard: TransferSet | None
    twins: Twins

    def fact(self, name: str, value: Any, stage: str, where: str) -> Fact:
        """A fact that stands in, or follows from, a stage's artifact."""
        found = self.artifacts[stage]
        return Fact(name, value, f"{found.folder.parent.name}/{found.key}", where)

    def rows(self, role: str, columns: Sequence[str] = ("id", "text", "label")) -> pa.Table:
        """The rows of one split. Of `test`, only what `evaluate` has read already is to be asked for."""
        return pq.read_table(self.artifacts["corpus"].folder / f"{role}.parquet", columns=list(columns))

    def gold(self, role: str) -> dict[str, int]:
        """The gold label of each row of a split that has one, by id."""
        table = self.rows(role, ["id", "label"]).drop_null()
        return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))

    @property
    def said(self) -> TransferSet:
        """What the teacher said: there for those who need `transfer`."""
        if self.heard is None:
            raise LookupError("no transfer set, and the symptom does not say that it needs one")
        return self.heard

    @cached_property
    def parts(self) -> Mapping[str, int]:
        """How many texts of each part are learned from."""
        found: Counter[str] = Counter()
        for shard in self.told(columns=()):
            found.update(shard["part"].to_pylist())
        return found

    def told(self, *parts: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """What the teacher was asked and what it said, a shard at a time: `id`, `part` and these columns.

        Of the parts that are named, or of all that are learned from. `ANSWER` is what it said, which its shape reads.
        """
        answer = self.recipe.task.form.columns_of(self.said.answer)
        read = [name for one in columns for name in (answer if one == ANSWER else (one,))]
        for shard in self.said.shards(["id", "part", *read]):
            inside = pa.compute.is_in(shard["part"].cast(pa.string()), pa.array(parts or HELD_OUT, pa.string()))
            yield shard.filter(inside if parts else pa.compute.invert(inside))

    def some(self, count: int, *parts: str, columns: Sequence[str]) -> pa.Table:
        """The same for so many rows at most: those with the lowest ids, which are hashes, so that it is a sample."""
        found: pa.Table | None = None
        for shard in self.told(*parts, columns=columns):
            plain = shard.replace_schema_metadata().drop_columns(["part"])
            both = plain if found is None else pa.concat_tables([found, plain])
            found = both.sort_by("id").slice(0, count)
        return pa.table({name: [] for name in ("id", *columns)}) if found is None else found

    @property
    def names_labels(self) -> bool:
        """Whether each row is given one of the labels, so that it is right or wrong."""
        task = self.recipe.task
        return bool(task.names) and task.names == task.outputs

    @cached_property
    def judged(self) -> Judged:
        """The table of `evaluate`, its test rows alone, of a task that names labels."""
        table = pq.read_table(self.artifacts["evaluate"].folder / "table.parquet")
        table = table.filter(pa.compute.invert(table["outside"]))
        place = {label: number for number, label in enumerate(self.recipe.task.names)}

        def places(column: str) -> NDArray[np.int64]:
            return np.array([place[label] for label in table[column].to_pylist()], dtype=np.int64)

        said = {
            name.removeprefix("probabilities."): np.array(table[name].to_pylist(), dtype=np.float64)
            for name in table.column_names
            if name.startswith("probabilities.")
        }
        named = {name.removeprefix("label."): places(name) for name in table.column_names if name.startswith("label.")}
        named |= {system: signals.named(one) for system, one in said.items()}
        return Judged(tuple(table["id"].to_pylist()), places("gold"), named, said)

    @cached_property
    def log(self) -> list[dict[str, Any]]:
        """The student's training log, a line an epoch."""
        lines = (self.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The mixture that the student was fitted by."""
        told = self.artifacts["train"].manifest["settings"]["objectives"]
        return tuple(plugins.build("objectives", one) for one in told)

    @cached_property
    def metric(self) -> Metric:
        """The metric that dev chooses by."""
        found: Metric = plugins.build("metrics", self.recipe.task.metrics[0])
        return found

    @property
    def floor(self) -> str:
        """What the student has to stand above."""
        return floors.of(self.recipe.task).name

    @cached_property
    def network(self) -> Network:
        """The student, in torch."""
        found: Network = self.recipe.student.reopen(self.artifacts["train"].folder, task=self.recipe.task)
        found.module.eval()
        return found

    def outputs(self, texts: Sequence[str], *, together: bool = False) -> Outputs:
        """What the student puts out for texts: those of like length at a time, or all `together`."""
        import torch

        form = self.recipe.task.form
        ids, words = form.read(self.network, texts)
        sheet = form.sheet(len(ids), outputs=len(self.recipe.task.outputs), words=words)
        shares = [np.arange(len(ids))] if together else batches.by_tokens([len(one) for one in ids], budget=_AT_ONCE)
        with torch.inference_mode():
            for rows in shares:
                padded, mask = (torch.from_numpy(one) for one in batches.pad([ids[row] for row in rows]))
                told = form.told(self.network, padded, mask, texts=[texts[row] for row in rows.tolist()])
                sheet.put(rows, told)
        return sheet.outputs

    def scored(self, system: str) -> Mapping[str, float | None] | None:
        """What `evaluate` measured of a system by the metric that dev chooses by, with its interval; None: nothing."""
        told = self.artifacts["evaluate"].read_json("evaluation.json")["systems"].get(system, {})
        found: Mapping[str, float | None] | None = told.get("scores", {}).get(self.metric.kind)
        return None if found is None or found["value"] is None else found


class Symptom(Member, ABC):
    """One thing that can be wrong, and how to see it. Its docstring says what is looked for, and how."""

    needs: ClassVar[frozenset[str]]
    """The stages whose artifacts it looks at."""
    shapes: ClassVar[frozenset[str]] = frozenset({"pooled"})
    """The shapes of student output that it can read: one label a text, unless it says otherwise."""
    threshold: ClassVar[str]
    """When it speaks, and why there."""
    false_alarms: ClassVar[str]
    """How often it accuses a run that is well."""
    explains: ClassVar[frozenset[str]] = frozenset()
    """The symptoms that it brings with it: beside an error of this kind they are notes."""

    @abstractmethod
    def look(self, case: Case) -> Iterator[Seen]:
        """What it finds in a run that has everything it needs."""

    def unseen(self, reason: str) -> Unseen:
        """That it could not look, and why."""
        return Unseen(self.kind, reason)
