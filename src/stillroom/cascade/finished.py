"""A finished run as the cascade needs it: its parts, and its held-out rows with what both sides said of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillroom import corpus as corpora
from stillroom import cost, evaluate, heard, runtime, written_slices
from stillroom.core import artifact, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.core.errors import ArtifactError, InputError, MismatchError, Problem
from stillroom.core.progress import Meter, Report
from stillroom.core.recipe import Recipe
from stillroom.corpus import Corpus
from stillroom.runtime.deferral import Prices
from stillroom.table import SLICES, STATISTICS
from stillroom.transfer_set import TransferSet
from stillroom.written_slices import Written

_RECIPE = "recipe.resolved.json"
_NEEDED = {"corpus": "corpus", "teacher": "teacher", "transfer": "transfer", "export": "bundle",
           "evaluate": evaluate.STAGE}  # fmt: skip

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True)
class Answered:
    """Rows with how sure the student is of each, and whether it says what its teacher says."""

    ids: Sequence[str]
    sureness: Floats
    right: NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Finished:
    """The parts of a finished run."""

    folder: Path
    recipe: Recipe
    store: Store
    corpus: Corpus
    teacher: Artifact
    said: TransferSet
    """What the teacher said of what was learned from, and of dev."""
    held: TransferSet
    """What it said of the test."""
    bundle: Artifact
    evaluation: Artifact
    costs: Artifact | None

    def held_out(self, report: Report) -> Answered:
        """The test rows that the teacher answered: nothing was fitted to them or chosen by them.

        Raises:
            InputError: there are none.
        """
        task = self.recipe.task
        every = heard.rows(self.corpus, task=task)
        told = heard.of_rows(every, held=self.held, said=self.said, task=task)
        rows = heard.answered(every, told)
        test = np.array(rows["role"].to_pylist(), dtype=object) == self.corpus.test.role
        rows = rows.take(np.flatnonzero(test & task.asked(task.gold(rows["label"]))))
        if not rows.num_rows:
            todo = "Give its corpus a test split."
            raise InputError(Problem(str(self.folder), "a run without rows to test on", "some", todo))
        ids, texts = (rows[name].to_pylist() for name in ("id", "text"))
        meter = Meter(report, stage="cascade", total=len(ids), unit="texts")
        student = heard.of_student(self.bundle, texts, meter, task=task)
        teacher = heard.of_teacher(told, ids, task=task)
        return Answered(ids, task.sureness(student), task.same(student, teacher))

    def groups(self) -> tuple[Sequence[str], Sequence[Written]]:
        """The ids of the test rows that were evaluated, and the slices of them; none where nothing was."""
        paths = [self.evaluation.folder / name for name in (STATISTICS, SLICES)]
        if not all(path.is_file() for path in paths):
            return (), ()
        rows, found = (pq.read_table(path) for path in paths)
        return rows["id"].to_pylist(), written_slices.read(found).each

    def prices(self) -> Prices:
        """What a million texts cost on each side, where that was measured."""
        return Prices() if self.costs is None else Prices.measured(self.costs.read_json(cost.FILE))


def reopen(folder: Path) -> Finished:
    """The finished run in a folder, every part checked.

    Raises:
        ArtifactError: no run there, or a part of it is damaged.
        InputError: it did not come as far as its evaluation.
        MismatchError: its task does not say how sure a student is of its answers.
    """
    told, resolved = (_read(folder / name) for name in (runtime.RUN, _RECIPE))
    loaded = recipe.parse(resolved, where=str(folder / _RECIPE))
    if loaded.task.unsure:
        todo = "A cascade goes by how sure the student is: choose another task."
        raise MismatchError(Problem(f"{folder}, task `{loaded.task.kind}`", loaded.task.unsure,
                                    "answers that say how sure they are", todo))  # fmt: skip
    stages = told.get("stages", {})
    if missing := [stage for stage in _NEEDED if stage not in stages]:
        found = f"a run without {', '.join(missing)}"
        raise InputError(Problem(str(folder), found, "one that was evaluated", "Run its recipe to the end."))
    store = Store(folder.resolve().parent.parent)
    parts = {stage: artifact.load(store.root / where / stages[stage]["key"]) for stage, where in _NEEDED.items()}
    judged = parts["evaluate"].manifest["inputs"]
    bundle = parts["export"]
    if judged.get("bundle") != bundle.digest:
        found = "an evaluation of another bundle than the run's"
        raise InputError(Problem(str(folder), found, "one of this bundle", "Run its recipe to the end."))
    costs = store.find("cost", stages["cost"]["key"]) if "cost" in stages else None
    held = TransferSet(_of_digest(store, "transfer", str(judged["held"])))
    return Finished(folder, loaded, store, corpora.reopen(parts["corpus"]), parts["teacher"],
                    TransferSet(parts["transfer"]), held, bundle, parts["evaluate"], costs)  # fmt: skip


def _of_digest(store: Store, stage: str, digest: str) -> Artifact:
    """The artifact of a stage with a digest, checked."""
    for path in sorted((store.root / stage).glob(f"[!.]*/{artifact.MANIFEST}")):
        if _read(path).get("digest") == digest:
            return artifact.load(path.parent)
    todo = "Run the recipe again: what is missing is made."
    raise ArtifactError(Problem(str(store.root / stage), f"none with the digest {digest[:16]}…", "one", todo))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        todo = "Name work/runs/<name>."
        raise ArtifactError(Problem(str(path), "no JSON that can be read", "the folder of a run", todo)) from error
    if not isinstance(found, dict):
        raise ArtifactError(Problem(str(path), "JSON of another kind", "the folder of a run", "Name work/runs/<name>."))
    return found
