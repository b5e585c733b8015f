"""The student started from nothing while a teacher's body was at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core import signals
from stillroom.symptoms import ANSWER, NAMING, Case, Fact, Finding, Quiet, Seen, Symptom, _chance

_NOT_ABOVE = 0.05


@final
class ColdStart(Symptom):
    """The student started from nothing while a teacher's body was at hand, and ended behind its teacher.

    The first line of the log holds the dev score before any step. A student that keeps layers of its teacher should
    begin above chance; one that takes nothing of it can't.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer", "train", "evaluate"})
    shapes: ClassVar[frozenset[str]] = NAMING
    threshold: ClassVar[str] = (
        "before any step not above the most frequent dev label (one-sided exact p over 0.05), or, where rows are more "
        "than right or wrong, at the lowest score that there is; and on test behind the teacher: a student that "
        "catches up needed no better start"
    )
    false_alarms: ClassVar[str] = (
        "the paired exact test against the teacher, at most the doctor's level; of scores, half of "
        "1 − `evaluate.confidence`: 2.5 % as it comes"
    )

    kind: Literal["cold_start"] = "cold_start"

    def look(self, case: Case) -> Iterator[Seen]:
        """The score before any step, where a teacher's network could have been taken."""
        student, teacher = case.recipe.student, case.recipe.teacher
        # What it keeps of a teacher that has layers: a student without any of its own starts its head anew by design.
        keeps = student.depth(1) > 0
        if not teacher.shows_network or (student.follows_tokenizer and not (student.follows and keeps)):
            return
        before = case.log[0].get("before")
        if before is None or case.metric.kind not in before or (case.names_labels and case.metric.kind != "accuracy"):
            yield self.unseen("the log holds no score before the first step that chance can be told from")
            return
        yield (
            self._of_rows(case, before, keeps=keeps)
            if case.names_labels
            else self._of_scores(case, before, keeps=keeps)
        )

    def _of_rows(self, case: Case, before: Mapping[str, float], *, keeps: bool) -> Seen:
        """Against the most frequent label, and row by row against the teacher."""
        metric, rows = case.metric.kind, int(before["rows"])
        named = (signals.named(signals.answers(one)) for one in case.told("dev", columns=[ANSWER]))
        known = np.array(list(case.gold("dev").values()) or np.concatenate(list(named)))
        chance = float(np.bincount(known).max() / len(known))
        started = _chance.at_least(round(before[metric] * rows), rows, chance) <= _NOT_ABOVE
        ahead, behind = case.judged.right("teacher"), case.judged.right("student")
        p = _chance.more_often(ahead, behind)
        if started or ahead.mean() <= behind.mean():
            return Quiet(p)
        return self._finding(
            case,
            f"Before its first step the student was right on {before[metric]:.1%} of {rows:,} dev rows (the most "
            f"frequent label: {chance:.1%}); it ends {ahead.mean() - behind.mean():.1%} of test rows behind its "
            "teacher.",
            (
                case.fact("dev accuracy before the first step", before[metric], "train", f"log.jsonl: before.{metric}"),
                case.fact("share of the most frequent label", chance, "corpus", "dev.parquet: label"),
                case.fact("teacher right", float(ahead.mean()), "evaluate", case.judged.where("teacher")),
                case.fact("student right", float(behind.mean()), "evaluate", case.judged.where("student")),
            ),
            keeps=keeps,
            p=p,
        )

    def _of_scores(self, case: Case, before: Mapping[str, float], *, keeps: bool) -> Seen:
        """Against the lowest score, and the difference to the teacher with its interval."""
        metric, place = case.metric, f"difference.student_minus_teacher.{case.metric.kind}"
        told = case.artifacts["evaluate"].read_json("evaluation.json")["difference"]
        found = told.get("student_minus_teacher", {}).get(metric.kind)
        if found is None or found["value"] is None:
            return self.unseen("no measured difference between the student and its teacher")
        worst = metric.low if metric.higher_is_better else metric.high
        if before[metric.kind] != worst or found["high"] >= 0:
            return Quiet()
        return self._finding(
            case,
            f"Before its first step the student's {metric.kind} was {worst:g} on {int(before['rows']):,} dev rows; it "
            f"ends {found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f}) against its teacher.",
            (
                case.fact(f"dev {metric.kind} before the first step", before[metric.kind], "train",
                          f"log.jsonl: before.{metric.kind}"),
                *(case.fact(f"difference, {end}", found[end], "evaluate", f"evaluation.json: {place}.{end}")
                  for end in ("value", "low", "high")),
            ),
            keeps=keeps,
        )  # fmt: skip

    def _finding(
        self, case: Case, told: str, evidence: tuple[Fact, ...], *, keeps: bool, p: float | None = None
    ) -> Finding:
        return Finding(
            self.kind,
            "warning",
            told,
            "The layers that it took of its teacher say nothing without those that were left out."
            if keeps
            else f"A {case.recipe.student.kind} student takes nothing of its teacher's network, and the teacher shows "
            "one.",
            "Keep more layers, or a representation objective first."
            if keeps
            else "Choose a student that starts from the teacher: `static` (its token vectors) or `transformer` (its "
            "layers).",
            ("student.layers", "objective") if keeps else ("student.kind",),
            evidence,
            p,
        )
