"""What ships is worse than what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np

from stillroom import runtime
from stillroom.symptoms import Case, Finding, Quiet, Seen, Symptom, _chance

_ASKED = 1000  # as many dev texts as the export checks itself on
_LOST = 0.005


@final
class ExportLoss(Symptom):
    """What ships is worse than what was trained: the bundle's default runner against the student in torch, on dev."""

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "train", "export"})
    threshold: ClassVar[str] = "half a point of dev accuracy lost, and rows lost more often than won (paired, exact)"
    false_alarms: ClassVar[str] = "exact test; at most the doctor's level"

    kind: Literal["export_loss"] = "export_loss"

    def look(self, case: Case) -> Iterator[Seen]:
        """Both on the same dev rows, against gold or, where there is none, against torch."""
        dev = case.rows("dev").slice(0, _ASKED)
        texts = dev["text"].to_pylist()
        predictor = runtime.Predictor(case.artifacts["export"])
        torch, shipped = case.answers(case.network.encode(texts)), predictor.outputs(texts)
        labels = np.array([-1 if one is None else one for one in dev["label"].to_pylist()])
        gold = np.where(labels >= 0, labels, torch.argmax(axis=1))
        was, now = torch.argmax(axis=1) == gold, shipped.argmax(axis=1) == gold
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
                case.fact("dev accuracy lost", lost, "export", "default runner, on dev texts"),
                case.fact("largest difference of a logit", float(np.abs(torch - shipped).max()), "export",
                          "default runner, on dev texts"),
                case.fact("loss seen at the export", checks.get("metric_loss"), "export",
                          f"circumstances.checks.{predictor.runner}.metric_loss"),
            ),
            p,
        )  # fmt: skip
