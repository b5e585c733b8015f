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


def sitting(
    *,
    task: Task = TASK,
    named: Sequence[str] = (),
    texts: Sequence[str] = ("a fine day",),
    gold: Sequence[int] = (0,),
    rules: Mapping[str, Rule] | None = None,
) -> Sitting:
    """Some rows and what sides that answer by rules say of them; probes that bring texts of their own look at none."""
    metric: Metric = plugins.build("metrics", "accuracy")
    count = len(texts)
    about = Rows(texts, [f"id{row}" for row in range(count)], [""] * count, np.zeros(count, dtype=np.bool_))
    none = np.zeros((count, len(task.outputs)), dtype=np.float32)
    said = {side: none if rules is None else logits(texts, rules[side]) for side in (TEACHER, STUDENT)}
    return Sitting(task, about, np.array(gold, dtype=np.int64), np.arange(count), said, metric, frozenset(named), {},
                   confidence=0.95, resamples=200, min_rows=10, seed=0)  # fmt: skip


def logits(texts: Sequence[str], rule: Rule) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What a side says that answers by a rule: logits of two labels."""
    last = np.clip(np.array([rule(text) for text in texts], dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.log(np.stack([1 - last, last], axis=1)).astype(np.float32).reshape(-1, 2)


def measured(
    probe: Probe, rules: Mapping[str, Rule], *, named: Sequence[str] = (), unasked: str = ""
) -> dict[str, Any]:
    """What a probe finds of sides that answer by rules."""
    return put(probe, sitting(named=named), rules, unasked=unasked)[0]


def put(
    probe: Probe, here: Sitting, rules: Mapping[str, Rule], *, unasked: str = "", deaf: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The same, and what each side was asked, round after round; some texts nobody answers."""
    asked: dict[str, list[str]] = {side: list(dict.fromkeys(probe.texts(here))) for side in rules}
    more = True
    while more:
        known = {side: [text for text in texts if text not in deaf] for side, texts in asked.items()}
        places = {side: {text: place for place, text in enumerate(texts)} for side, texts in known.items()}
        told = Heard(here.task, places, {side: logits(known[side], rule) for side, rule in rules.items()}, unasked)
        new = {side: [text for text in dict.fromkeys(texts) if text not in asked[side]]
               for side, texts in probe.further(here, told).items()}  # fmt: skip
        for side, texts in new.items():
            asked[side] += texts
        more = any(new.values())
    return probe.measure(here, told), asked
