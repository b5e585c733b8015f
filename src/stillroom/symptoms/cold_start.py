"""The student started from nothing while a teacher's body was at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core import signals
from stillroom.symptoms import ANSWER, Case, Finding, Quiet, Seen, Symptom, _chance

_NOT_ABOVE = 0.05


@final
class ColdStart(Symptom):
    """The student started from nothing while a teacher's body was at hand, and ended behind its teacher.

    The first line of the log holds the dev score before any step. A student that keeps layers of its teacher should
    begin above chance; one that takes nothing of it can't.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer", "train", "evaluate"})
    threshold: ClassVar[str] = (
        "before any step not above the most frequent dev label (one-sided exact p over 0.05), and on test behind the "
        "teacher; a student that catches up needed no better start"
    )
    false_alarms: ClassVar[str] = "the paired exact test against the teacher; at most the doctor's level"

    kind: Literal["cold_start"] = "cold_start"

    def look(self, case: Case) -> Iterator[Seen]:
        """The score before any step, where a teacher's network could have been taken."""
        student, teacher = case.recipe.student, case.recipe.teacher
        # What it keeps of a teacher that has layers: a student without any of its own starts its head anew by design.
        keeps = student.depth(1) > 0
        if not teacher.shows_network or (student.follows_tokenizer and not (student.follows and keeps)):
            return
        before = case.log[0].get("before")
        metric = case.metric.kind
        if before is None or metric != "accuracy":
            yield self.unseen("the log holds no accuracy before the first step")
            return
        rows = int(before["rows"])
        named = (signals.named(signals.answers(one)) for one in case.told("dev", columns=[ANSWER]))
        known = np.array(list(case.gold("dev").values()) or np.concatenate(list(named)))
        chance = float(np.bincount(known).max() / len(known))
        started = _chance.at_least(round(before[metric] * rows), rows, chance) <= _NOT_ABOVE
        ahead, behind = case.judged.right("teacher"), case.judged.right("student")
        p = _chance.more_often(ahead, behind)
        if started or ahead.mean() <= behind.mean():
            yield Quiet(p)
            return
        yield Finding(
            self.kind,
            "warning",
            f"Before its first step the student was right on {before[metric]:.1%} of {rows:,} dev rows (the most "
            f"frequent label: {chance:.1%}); it ends {ahead.mean() - behind.mean():.1%} of test rows behind its "
            "teacher.",
            "The layers that it took of its teacher say nothing without those that were left out."
            if keeps
            else f"A {student.kind} student takes nothing of its teacher's network, and the teacher shows one.",
            "Keep more layers, or a representation objective first."
            if keeps
            else "Choose a student that starts from the teacher: `static` (its token vectors) or `transformer` (its "
            "layers).",
            ("student.layers", "objective") if keeps else ("student.kind",),
            (
                case.fact("dev accuracy before the first step", before[metric], "train", f"log.jsonl: before.{metric}"),
                case.fact("share of the most frequent label", chance, "corpus", "dev.parquet: label"),
                case.fact("teacher right", float(ahead.mean()), "evaluate", case.judged.where("teacher")),
                case.fact("student right", float(behind.mean()), "evaluate", case.judged.where("student")),
            ),
            p,
        )
