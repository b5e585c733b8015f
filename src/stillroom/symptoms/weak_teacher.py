"""The teacher knows less than counting words does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

from stillroom.symptoms import Case, Finding, Quiet, Seen, Symptom, _chance


@final
class WeakTeacher(Symptom):
    """The teacher stands under a floor: the task's own on test, or its own frozen encoder on dev."""

    needs: ClassVar[frozenset[str]] = frozenset({"teacher"})
    threshold: ClassVar[str] = (
        "the floor is right on more test rows (paired, exact); or the fitted teacher warned of itself and stands below "
        "logistic regression on its frozen encoder (a tie on dev is not held against it)"
    )
    false_alarms: ClassVar[str] = "test rows: at most the doctor's level; the warning compares two dev scores as is"

    kind: Literal["weak_teacher"] = "weak_teacher"

    def look(self, case: Case) -> Iterator[Seen]:
        """What the teacher's stage noted, and the table of the evaluation."""
        facts, metric = case.artifacts["teacher"].manifest["facts"], case.metric.kind
        if facts.get("warning") and facts.get(f"dev_{metric}", 0.0) < facts.get(f"floor_dev_{metric}", 1.0):
            names = (f"dev_{metric}", f"floor_dev_{metric}", "learning_rate")
            yield Finding(
                self.kind,
                "warning",
                f"{facts['warning'][0].upper()}{facts['warning'][1:]}.",
                "The teacher was fitted for too short a time, or at a rate that does not suit it.",
                "Fit it for more epochs, or try higher rates; or choose another base.",
                ("teacher.epochs", "teacher.learning_rates", "teacher.base"),
                tuple(case.fact(name, facts[name], "teacher", f"facts.{name}") for name in names if name in facts),
            )
        if "evaluate" not in case.artifacts:
            yield self.unseen("no evaluation: the teacher was not held against the floor")
            return
        judged = case.judged
        if "baseline" not in judged.named:
            yield self.unseen("no baseline: no training row has gold")
            return
        floor, teacher = judged.right("baseline"), judged.right("teacher")
        p = _chance.more_often(floor, teacher)
        if floor.mean() <= teacher.mean():
            yield Quiet(p)
            return
        yield Finding(
            self.kind,
            "error",
            f"The teacher is right on {teacher.mean():.1%} of {len(teacher):,} test rows; {case.floor} on "
            f"{floor.mean():.1%}.",
            "The teacher does not know this task: it was fitted too little, or on other texts or labels.",
            "Choose or fit a better teacher; a student of this one learns its mistakes. Where there is gold, use it.",
            ("teacher", "objective"),
            (
                case.fact("teacher right", float(teacher.mean()), "evaluate", judged.where("teacher")),
                case.fact("floor right", float(floor.mean()), "evaluate", judged.where("baseline")),
            ),
            p,
        )
