"""A sitting of one test row, and what sides say that answer by a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stillroom.core import plugins
from stillroom.metrics import Metric
from stillroom.probes import Heard, Probe, Sitting
from stillroom.table import STUDENT, TEACHER
from stillroom.tasks import Rows, Task
from stillroom.tasks.classification import Classification

TASK = Classification(labels=("bad", "good"))

#: How probable the last label is.
Rule = Callable[[str], float]


def sitting(*, task: Task = TASK, named: Sequence[str] = ()) -> Sitting:
    """Probes that bring their own texts look at nothing of it but the task, and who only names labels."""
    metric: Metric = plugins.build("metrics", "accuracy")
    about = Rows(["a fine day"], ["id0"], [""], np.zeros(1, dtype=np.bool_))
    said = np.zeros((1, len(task.outputs)), dtype=np.float32)
    return Sitting(task, about, np.zeros(1, dtype=np.int64), np.arange(1), {TEACHER: said, STUDENT: said}, metric,
                   frozenset(named), {}, confidence=0.95, resamples=200, min_rows=10, seed=0)  # fmt: skip


def logits(texts: Sequence[str], rule: Rule) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What a side says that answers by a rule: logits of two labels."""
    last = np.clip(np.array([rule(text) for text in texts], dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.log(np.stack([1 - last, last], axis=1)).astype(np.float32).reshape(-1, 2)


def measured(
    probe: Probe, rules: Mapping[str, Rule], *, named: Sequence[str] = (), unasked: str = ""
) -> dict[str, Any]:
    """What a probe finds of sides that answer by rules."""
    here = sitting(named=named)
    texts = list(dict.fromkeys(probe.texts(here)))
    places = {text: place for place, text in enumerate(texts)}
    outputs = {side: logits(texts, rule) for side, rule in rules.items()}
    return probe.measure(here, Heard(TASK, dict.fromkeys(outputs, places), outputs, unasked))
