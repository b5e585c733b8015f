"""Two systems that are functions of a text, put to a probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillroom.core import plugins
from stillroom.metrics import Metric
from stillroom.probes import Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows, Task

System = Callable[[str], Any]


def sitting(
    task: Task,
    rows: Sequence[tuple[str, Any]],
    *,
    teacher: System,
    student: System,
    columns: Mapping[str, Sequence[str]] | None = None,
    min_rows: int = 10,
    metric: str | None = None,
    seed: int = 0,
) -> Sitting:
    """Rows of text and gold, as a task keeps it, with what two systems say of them."""
    texts = [text for text, _ in rows]
    member: Metric = plugins.build("metrics", metric or task.metrics[0])
    about = Rows(texts, [f"id{row}" for row in range(len(rows))], [""] * len(rows), np.zeros(len(rows), dtype=np.bool_))
    said = {TEACHER: outputs(task, texts, teacher), STUDENT: outputs(task, texts, student)}
    return Sitting(task, about, task.golds([gold for _, gold in rows]), np.arange(len(rows)), said, member, frozenset(),
                   columns or {}, confidence=0.95, resamples=400, min_rows=min_rows, seed=seed)  # fmt: skip


def outputs(task: Task, texts: Sequence[str], system: System) -> NDArray[np.float32]:
    """What a system says of texts, `[texts, outputs]`."""
    return np.array([system(text) for text in texts], dtype=np.float32).reshape(-1, len(task.outputs))


def put(probe: Probe, here: Sitting, *, teacher: System, student: System) -> dict[str, Any]:
    """What a probe finds of two systems."""
    texts = list(dict.fromkeys(probe.texts(here)))
    places = {text: place for place, text in enumerate(texts)}
    said = {TEACHER: outputs(here.task, texts, teacher), STUDENT: outputs(here.task, texts, student)}
    return probe.measure(here, Heard(here.task, dict.fromkeys(said, places), said))
