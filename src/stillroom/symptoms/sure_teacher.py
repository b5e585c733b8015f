"""The teacher is surer than it is right, or so sure that its soft labels are hard ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import probabilities
from stillroom.metrics import Answers, ece
from stillroom.symptoms import ANSWER, NAMING, Case, Finding, Quiet, Seen, Symptom, _chance

if TYPE_CHECKING:
    from stillroom.shapes import Outputs, Shape

_GAP = 0.05
_FLAT = 0.02  # of log C: what is left in soft labels under which they are hard ones


@final
class SureTeacher(Symptom):
    """The teacher is surer than it is right, and its soft labels say hardly more than hard ones.

    On dev and test rows with gold: were the teacher's confidence true, so many mistakes would be this improbable. How
    much its soft labels hold is their mean entropy over the transfer set, at the mixture's highest temperature. Of a
    text's words it is the one that the teacher is least sure of that counts: most words are easy, and those of one text
    are not independent. Of such texts no test row is read.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "transfer"})
    shapes: ClassVar[frozenset[str]] = NAMING
    threshold: ClassVar[str] = (
        "more mistakes than its confidence allows, and confidence five points over accuracy: less does a student no "
        "harm that a temperature does not mend; a note where soft labels keep less than 2 % of the entropy that labels "
        "can have"
    )
    false_alarms: ClassVar[str] = "exact bound (Hoeffding 1956); at most the doctor's level"

    kind: Literal["sure_teacher"] = "sure_teacher"

    def look(self, case: Case) -> Iterator[Seen]:
        """Confidence against accuracy, then entropy."""
        if case.said.names_labels_only:
            yield self.unseen("the teacher names a label and does not say how sure it is")
            return
        gold, said = _rows(case)
        if not len(gold):
            yield self.unseen("no dev or test row has gold")
            return
        confidence, right = said.max(axis=1), said.argmax(axis=1) == gold
        p = _chance.at_least(int((~right).sum()), len(right), float(1 - confidence.mean()))
        gap = float(confidence.mean() - right.mean())
        temperature = _temperature(case)
        left = _entropy(case, temperature=temperature)
        if gap < _GAP:
            yield Quiet(p)
            if left < _FLAT:
                yield self._flat(case, left, temperature=temperature)
            return
        table = Answers(gold, said, said)
        error = ece.Ece().score(table)
        empty = " Its soft labels carry next to nothing beyond the label." if left < _FLAT else ""
        yield Finding(
            self.kind,
            "warning",
            f"The teacher is sure by {confidence.mean():.1%} on average and right on {right.mean():.1%} of "
            f"{len(right):,} dev and test rows; at temperature {temperature:g} its soft labels keep {left:.2%} of "
            f"the entropy that labels can have.{empty}",
            "The teacher over-fitted, or what was recorded of it was sharpened: soft labels repeat its mistakes "
            "with full weight.",
            "Raise the objective's `temperature`, give gold more weight, or ask the teacher at an earlier epoch.",
            ("objective.temperature", "objective.weight", "teacher.epochs"),
            (
                case.fact("mean confidence", float(confidence.mean()), "transfer", "shard-*.parquet: logits"),
                case.fact("accuracy", float(right.mean()), "corpus", "*.parquet: label"),
                case.fact("expected calibration error", error, "transfer", "shard-*.parquet: logits"),
                case.fact("entropy, share of log C", left, "transfer", "shard-*.parquet: logits"),
            ),
            p,
        )

    def _flat(self, case: Case, left: float, *, temperature: float) -> Finding:
        return Finding(
            self.kind,
            "note",
            f"At temperature {temperature:g} the teacher's soft labels keep {left:.2%} of the entropy that labels can "
            "have: they say next to nothing beyond the label.",
            "The teacher is about as right as it is sure, but it was fitted until it is certain of every text, or its "
            "answers were sharpened: a student learns from it what it would learn from its labels.",
            "Raise the objective's `temperature`, or ask the teacher at an earlier epoch.",
            ("objective.temperature", "teacher.epochs"),
            (case.fact("entropy, share of log C", left, "transfer", "shard-*.parquet: logits"),),
        )


def _temperature(case: Case) -> float:
    objectives = case.objectives if "train" in case.artifacts else case.recipe.objective
    return max((float(getattr(one, "temperature", 1.0)) for one in objectives), default=1.0)


def _rows(case: Case) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Gold and probabilities of rows that no teacher of ours was fitted to, an answer a text."""
    task, form = case.recipe.task, case.recipe.task.form
    table = case.rows("dev", ["id", "label"])
    known = dict(zip(table["id"].to_pylist(), task.gold(table["label"]), strict=True))
    gold, tables = [np.empty(0, np.int64)], [np.empty((0, len(task.outputs)))]
    for shard in case.told("dev", columns=[ANSWER]):
        said = form.answers(shard)
        own = task.golds([known.get(one) for one in shard["id"].to_pylist()])
        some = _least_sure(form, said)
        places = task.place(own, form.words(said))[some]
        gold.append(places[places >= 0])
        tables.append(probabilities.softmax(form.values(said)[some])[places >= 0])
    if "evaluate" in case.artifacts and case.names_labels:
        gold.append(case.judged.gold)
        tables.append(case.judged.probabilities["teacher"])
    return np.concatenate(gold), np.concatenate(tables)


def _least_sure(form: Shape, said: Outputs) -> NDArray[np.int64]:
    """Of each text that has any, the answer that is given with the least sureness."""
    owners, sure = form.owners(said), probabilities.softmax(form.values(said)).max(axis=1)
    order = np.lexsort((sure, owners))
    return order[np.unique(owners[order], return_index=True)[1]]


def _entropy(case: Case, *, temperature: float) -> float:
    """The mean entropy of what was said at a temperature, as a share of the highest there can be."""
    form = case.recipe.task.form
    total, rows = 0.0, 0
    for shard in case.told(columns=[ANSWER]):
        outputs = form.answers(shard)
        said = probabilities.softmax(form.values(outputs)[_least_sure(form, outputs)] / temperature)
        total -= float((said * np.log(np.maximum(said, 1e-300))).sum())
        rows += len(said)
    return total / max(1, rows) / float(np.log(len(case.recipe.task.outputs)))
