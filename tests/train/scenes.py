"""A corpus, a teacher, and fits of small students on them."""

from __future__ import annotations

import json
from typing import Any

from stillroom import corpus, teach, train, transfer, transfer_set
from stillroom.core import plugins, recipe
from stillroom.core.artifact import Artifact, Store
from stillroom.objectives import Objective
from stillroom.students import Student
from stillroom.tasks.classification import Classification
from stillroom.teachers.huggingface import Checkpoint
from tests.conftest import LABELS

TASK = Classification(labels=LABELS)
SMALL: dict[str, dict[str, Any]] = {
    "static": {"dimensions": 16, "hidden": 16, "epochs": 3, "batch_size": 16, "learning_rate": 2e-2},
    "bag": {"features": {"kind": "ngrams", "bits": 12}, "epochs": 3, "batch_size": 16},
    "cnn": {"dimensions": 16, "channels": 8, "epochs": 3, "batch_size": 16},
    "bigru": {"dimensions": 16, "units": 8, "epochs": 3, "batch_size": 16},
    "transformer": {"layers": 2, "epochs": 2, "batch_size": 32, "learning_rate": 1e-3},
}
HEARD = {"logits", "gold"}
MIXTURE: tuple[Objective, ...] = tuple(plugins.build("objectives", one) for one in TASK.objectives())


class Ground:
    """A corpus, a teacher, and what it said of the training and of the held-out rows."""

    def __init__(self, store: Store, rows: corpus.Corpus, teacher: Artifact, loaded: Checkpoint) -> None:
        self.store, self.rows, self.teacher, self.loaded = store, rows, teacher, loaded
        settings = recipe.Transfer(precision="fp32", shard_rows=100)
        self.said, self.held = (
            transfer.collect(loaded, teacher=teacher, parts=parts, task=TASK, settings=settings, seed=1, store=store)
            for parts in ((rows.train, rows.dev), (rows.test,))
        )

    def inside(self, student: Student, mixture: tuple[Objective, ...]) -> transfer_set.TransferSet:
        """What the teacher said, with whatever the mixture asks for."""
        settings = recipe.Transfer(precision="fp32", shard_rows=100)
        wanted = transfer.wanted(mixture, student=student, loaded=self.loaded, form=TASK.form)
        return transfer.collect(self.loaded, teacher=self.teacher, parts=(self.rows.train, self.rows.dev), task=TASK,
                                settings=settings, seed=1, store=self.store, wanted=wanted)  # fmt: skip

    def fit(self, student: Student, store: Store, **changes: Any) -> Artifact:
        studied = teach.study(student, self.loaded, teacher=self.teacher, store=self.store)
        chosen: dict[str, Any] = {
            "said": self.said,
            "objectives": MIXTURE,
            "settings": recipe.Train(checkpoint_seconds=0.0),
            "corpus": self.rows.learnable,
            **changes,
        }
        return train.fit(student, task=TASK, studied=studied, seed=3, store=store, **chosen)


def made(kind: str, **settings: Any) -> Student:
    found: Student = plugins.build("students", {"kind": kind, **SMALL[kind], **settings})
    return found


def logged(found: Artifact) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (found.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


#: Each objective that looks inside, as it is fitted here.
INSIDE: dict[str, dict[str, Any]] = {
    "attention": {},
    "contrastive": {"queue": 40},
    "cosine": {},
    "hidden": {},
    "minilm_relation": {"relation_heads": 4},
    "relational": {},
    "similarity_kl": {},
}


def inside(kind: str, **settings: Any) -> Objective:
    found: Objective = plugins.build("objectives", {"kind": kind, **INSIDE.get(kind, {}), **settings})
    return found
