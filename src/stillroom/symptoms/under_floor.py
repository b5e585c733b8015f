"""The student stands under its floor, or under itself without a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

from stillroom.symptoms import ANY, Case, Finding, Seen, Symptom

_OTHERS = {
    "baseline": (
        "",
        "Counting words does better: the distillation failed, or the task asks for no more than words.",
        "Look at the other findings first; where there are none, use the floor, or a larger student.",
        ("student", "train.epochs"),
    ),
    "undistilled": (
        "the same student fitted to gold alone",
        "The teacher's words hurt: the teacher is worse than gold, or its soft labels don't suit the student.",
        "Give gold more weight, take another temperature, or do without the teacher.",
        ("objective.weight", "objective.temperature", "teacher"),
    ),
}


@final
class UnderFloor(Symptom):
    """The student stands under its floor, or under itself without a teacher, as the evaluation has it."""

    needs: ClassVar[frozenset[str]] = frozenset({"evaluate"})
    shapes: ClassVar[frozenset[str]] = ANY
    threshold: ClassVar[str] = "the whole interval of the paired difference is below zero"
    false_alarms: ClassVar[str] = "half of 1 − `evaluate.confidence` for each comparison: 2.5 % as it comes"

    kind: Literal["under_floor"] = "under_floor"

    def look(self, case: Case) -> Iterator[Seen]:
        """The two differences that the verdict speaks of."""
        told = case.artifacts["evaluate"].read_json("evaluation.json")
        metric = next(iter(told.get("retention", {})), case.metric.kind)
        for other, (named, cause, change, keys) in _OTHERS.items():
            name = named or case.floor
            place = f"student_minus_{other}"
            found = told["difference"].get(place, {}).get(metric)
            if found is None or found["value"] is None:
                yield self.unseen(f"no measured difference between the student and {name}")
            elif found["high"] < 0:
                yield Finding(
                    self.kind,
                    "error",
                    f"The student's {metric} is {found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f}) "
                    f"against {name}, on {found['n']:,} test rows.",
                    cause,
                    change,
                    keys,
                    tuple(
                        case.fact(f"difference, {end}", found[end], "evaluate",
                                  f"evaluation.json: difference.{place}.{metric}.{end}")
                        for end in ("value", "low", "high")
                    ),
                )  # fmt: skip
