"""The teacher's labels stand in another order than the corpus's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.symptoms import ANSWER, Case, Finding, Quiet, Seen, Symptom, _chance

_FEWEST = 20


@final
class LabelOrder(Symptom):
    """The teacher's labels stand in another order than the corpus's: under some permutation it is right more often.

    On one half of the rows with gold, the permutation that suits the confusion matrix best (linear assignment); on the
    other half, whether the teacher is right more often under it than as it is, and than the most frequent label alone.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer"})
    threshold: ClassVar[str] = (
        "the permuted teacher beats both the teacher as it is and the most frequent label, "
        "on rows that did not choose the permutation; a teacher that is merely weak beats neither"
    )
    false_alarms: ClassVar[str] = "exact test on a held-out half; at most the doctor's level"
    explains: ClassVar[frozenset[str]] = frozenset({"cold_start", "sure_teacher", "under_floor", "weak_teacher"})

    kind: Literal["label_order"] = "label_order"

    def look(self, case: Case) -> Iterator[Seen]:
        """All rows with gold that the teacher spoke of: train and dev, and test where it was evaluated."""
        ids, gold, teacher = _rows(case)
        if len(gold) < _FEWEST:
            yield self.unseen(f"{len(gold)} rows have gold and what the teacher said of them; {_FEWEST} are needed")
            return
        order, p, shares = accuse(ids, gold, teacher, classes=len(case.recipe.task.outputs))
        if order is None:
            yield Quiet(p)
            return
        labels, said = case.recipe.task.outputs, f"shard-*.parquet: {case.said.answer}"
        moved = ", ".join(f"{labels[one]} → {labels[two]}" for one, two in enumerate(order) if one != two)
        yield Finding(
            self.kind,
            "error",
            f"The teacher is right on {shares[0]:.1%} of {len(gold):,} rows, and on {shares[1]:.1%} with its outputs "
            f"renamed ({moved}).",
            "The teacher's outputs stand in another order than `task.labels`, or a recording's header names its labels "
            "wrongly.",
            "Write `task.labels` in the order of the teacher's outputs (correct the header of a recording), and run "
            "again.",
            ("task.labels", "teacher"),
            (
                case.fact("share right as it is", shares[0], "transfer", said),
                case.fact("share right with outputs renamed", shares[1], "transfer", said),
                case.fact("rows with gold", len(gold), "corpus", "*.parquet: label"),
            ),
            p,
        )


def _rows(case: Case) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    known = {**case.gold("train"), **case.gold("dev")}
    rows: list[tuple[str, int, int]] = []
    for shard in case.told("train", "dev", columns=[ANSWER]):
        best = signals.named(signals.answers(shard)).tolist()
        rows += [(one, known[one], label) for one, label in zip(shard["id"].to_pylist(), best, strict=True)
                 if one in known]  # fmt: skip
    if "evaluate" in case.artifacts:
        judged = case.judged
        rows += zip(judged.ids, judged.gold.tolist(), judged.named["teacher"].tolist(), strict=True)
    ids, gold, teacher = zip(*rows, strict=True) if rows else ((), (), ())
    return list(ids), np.array(gold, dtype=np.int64), np.array(teacher, dtype=np.int64)


def accuse(
    ids: list[str], gold: NDArray[np.int64], teacher: NDArray[np.int64], *, classes: int
) -> tuple[list[int] | None, float, tuple[float, float]]:
    """The permutation (None where no other suits better), its p, and the shares right as it is and under it."""
    from scipy.optimize import linear_sum_assignment

    chosen = _chance.half(ids)
    confused = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confused, (teacher[chosen], gold[chosen]), 1)
    # Ties go to the order as it is.
    order = linear_sum_assignment(confused * (classes + 1) + np.eye(classes, dtype=np.int64), maximize=True)[1]
    as_it_is, renamed = teacher == gold, order[teacher] == gold
    shares = float(as_it_is.mean()), float(renamed.mean())
    if (order == np.arange(classes)).all():
        return None, 1.0, shares
    judged = ~chosen
    most = np.bincount(gold[chosen], minlength=classes).argmax() == gold
    # Both have to be shown, so the larger p is that of the whole.
    p = max(_chance.more_often(renamed[judged], as_it_is[judged]), _chance.more_often(renamed[judged], most[judged]))
    return order.tolist(), p, shares
