"""What ships is worse than what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np

from stillroom import runtime
from stillroom.symptoms import NAMING, Case, Finding, Quiet, Seen, Symptom, _chance

_ASKED = 1000  # as many dev texts as the export checks itself on
_LOST = 0.005


@final
class ExportLoss(Symptom):
    """What ships is worse than what was trained: the bundle's default runner against the student in torch, on dev."""

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "train", "export"})
    shapes: ClassVar[frozenset[str]] = NAMING
    threshold: ClassVar[str] = (
        "half a point of the dev rows that are right lost, and rows lost more often than won (paired, exact)"
    )
    false_alarms: ClassVar[str] = "exact test; at most the doctor's level"

    kind: Literal["export_loss"] = "export_loss"

    def look(self, case: Case) -> Iterator[Seen]:
        """Both on the same dev rows, against gold or, where there is none, against torch."""
        dev = case.rows("dev").slice(0, _ASKED)
        texts = dev["text"].to_pylist()
        predictor = runtime.Predictor(case.artifacts["export"])
        task = case.recipe.task
        torch, shipped = case.outputs(texts), predictor.outputs(texts)
        gold = task.gold(dev["label"])
        gold = np.where(task.known(gold), gold, task.named(torch))
        was, now = (task.answered(gold, one, one).right for one in (torch, shipped))
        if was is None or now is None:
            raise TypeError("a task whose answers name something does not say where they are right")
        p = _chance.more_often(was, now)
        lost = float(was.mean() - now.mean())
        if lost < _LOST:
            yield Quiet(p)
            return
        checks = case.artifacts["export"].circumstances["checks"].get(predictor.runner, {})
        yield Finding(
            self.kind,
            "error",
            f"The runner `{predictor.runner}` is right on {now.mean():.1%} of {len(gold):,} dev rows, the student in "
            f"torch on {was.mean():.1%}.",
            "The export lost precision (int8), or its runner reads or pads texts otherwise than the student did.",
            "Loosen nothing: take the format `onnx`, or tighten the format's tolerance so that this one is not kept.",
            ("export.formats",),
            (
                case.fact("share of right dev rows lost", lost, "export", "default runner, on dev texts"),
                case.fact("largest difference of a logit", task.form.gap(torch, shipped), "export",
                          "default runner, on dev texts"),
                case.fact("loss seen at the export", checks.get("metric_loss"), "export",
                          f"circumstances.checks.{predictor.runner}.metric_loss"),
            ),
            p,
        )  # fmt: skip
