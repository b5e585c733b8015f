"""The teacher knows less than counting words does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

from stillroom.symptoms import NAMING, Case, Fact, Finding, Quiet, Seen, Symptom, _chance


@final
class WeakTeacher(Symptom):
    """The teacher stands under a floor: the task's own on test, or its own frozen encoder on dev."""

    needs: ClassVar[frozenset[str]] = frozenset({"teacher"})
    shapes: ClassVar[frozenset[str]] = NAMING
    threshold: ClassVar[str] = (
        "the floor is right on more test rows (paired, exact), or, where rows are more than right or wrong, the whole "
        "interval of the floor's score is above the teacher's; or the fitted teacher warned of itself and stands below "
        "logistic regression on its frozen encoder (a tie on dev is not held against it)"
    )
    false_alarms: ClassVar[str] = (
        "test rows: at most the doctor's level, of scores far below 1 − `evaluate.confidence`; the warning compares "
        "two dev scores as is"
    )

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
        yield self._of_rows(case) if case.names_labels else self._of_scores(case)

    def _of_rows(self, case: Case) -> Seen:
        """Which of the two is right, row by row."""
        judged = case.judged
        if "baseline" not in judged.named:
            return self.unseen("no baseline: no training row has gold")
        floor, teacher = judged.right("baseline"), judged.right("teacher")
        p = _chance.more_often(floor, teacher)
        if floor.mean() <= teacher.mean():
            return Quiet(p)
        return self._finding(
            case,
            f"The teacher is right on {teacher.mean():.1%} of {len(teacher):,} test rows; {case.floor} on "
            f"{floor.mean():.1%}.",
            (
                case.fact("teacher right", float(teacher.mean()), "evaluate", judged.where("teacher")),
                case.fact("floor right", float(floor.mean()), "evaluate", judged.where("baseline")),
            ),
            p,
        )

    def _of_scores(self, case: Case) -> Seen:
        """The scores of both, with their intervals."""
        metric, sides = case.metric, {name: case.scored(name) for name in ("teacher", "baseline")}
        teacher, floor = sides["teacher"], sides["baseline"]
        if teacher is None or floor is None:
            return self.unseen(f"no measured {metric.kind} of both the teacher and {case.floor}")
        (low, high) = ("low", "high") if metric.higher_is_better else ("high", "low")
        nearest = float(floor[low] or 0.0) - float(teacher[high] or 0.0)
        if (nearest if metric.higher_is_better else -nearest) <= 0:
            return Quiet()
        return self._finding(
            case,
            f"The teacher's {metric.kind} is {teacher['value']:.3f} on the test; that of {case.floor} is "
            f"{floor['value']:.3f}, and their intervals do not meet.",
            tuple(
                case.fact(f"{metric.kind} of the {name}, {end}", one[end], "evaluate",
                          f"evaluation.json: systems.{name}.scores.{metric.kind}.{end}")
                for name, one in (("teacher", teacher), ("baseline", floor)) for end in ("value", "low", "high")
            ),
        )  # fmt: skip

    def _finding(self, case: Case, told: str, evidence: tuple[Fact, ...], p: float | None = None) -> Finding:
        return Finding(
            self.kind,
            "error",
            told,
            "The teacher does not know this task: it was fitted too little, or on other texts or labels.",
            "Choose or fit a better teacher; a student of this one learns its mistakes. Where there is gold, use it.",
            ("teacher", "objective"),
            evidence,
            p,
        )
