"""There are too few texts to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.core import signals
from stillroom.symptoms import ANSWER, Case, Finding, Quiet, Seen, Symptom, _chance

_A_CLASS = 50
_BY_HEART = 0.05
_ASKED = 1000


@final
class FewRows(Symptom):
    """There are too few texts to learn from: for a class, or for the student not to learn them by heart.

    A run trains once, so there is no learning curve. In its place: how much more often the student agrees with its
    teacher on texts that it learned from than on dev. Where that gap is wide, more texts close it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"transfer"})
    threshold: ClassVar[str] = (
        "fewer than 50 texts that the teacher gives a label (what one text in seventeen of a class has is then missed "
        "in one sample of twenty); or agreement five points higher on learned texts than on dev"
    )
    false_alarms: ClassVar[str] = "counts: none; the gap: exact test, at most the doctor's level"

    kind: Literal["few_rows"] = "few_rows"

    def look(self, case: Case) -> Iterator[Seen]:
        """Rows of each class, then the gap between learned texts and dev."""
        labels = case.recipe.task.outputs
        counts = np.zeros(len(labels), dtype=np.int64)
        for shard in case.told(columns=[ANSWER]):
            counts += np.bincount(signals.named(signals.answers(shard)), minlength=len(labels))
        texts, where = int(counts.sum()), f"shard-*.parquet: {case.said.answer}"
        few = {labels[place]: int(count) for place, count in enumerate(counts) if count < _A_CLASS}
        if few:
            shown = ", ".join(f"{label} {count}" for label, count in sorted(few.items(), key=lambda one: one[1])[:5])
            yield Finding(
                self.kind,
                "warning",
                f"{len(few)} of {len(labels)} labels have fewer than {_A_CLASS} texts in the transfer set of "
                f"{texts:,} ({shown}).",
                "The transfer set is too small, or holds too little of these labels.",
                "Add texts without labels, the teacher's words are labels enough; or cut phrases out of training rows.",
                ("corpus.unlabelled", "transfer.augment"),
                (
                    case.fact("fewest texts of a label", int(counts.min()), "transfer", where),
                    case.fact("texts", texts, "transfer", "facts.texts"),
                ),
            )
        if "train" not in case.artifacts:
            yield self.unseen("no student: whether it learned its texts by heart was not looked at")
            return
        yield self._by_heart(case)

    def _by_heart(self, case: Case) -> Seen:
        (learned, rows), (dev, dev_rows) = (_agreed(case, *parts) for parts in (("train", "unlabelled"), ("dev",)))
        if not rows or not dev_rows:
            return self.unseen("no whole texts that both student and teacher spoke of")
        p = _chance.larger_share(learned, rows, dev, dev_rows)
        gap = learned / rows - dev / dev_rows
        if gap < _BY_HEART:
            return Quiet(p)
        return Finding(
            self.kind,
            "warning",
            f"The student agrees with its teacher on {learned / rows:.1%} of {rows:,} texts that it learned from and "
            f"on {dev / dev_rows:.1%} of {dev_rows:,} dev texts.",
            "It learned its texts by heart: there are too few for a student of this size.",
            "Add texts without labels, cut phrases out of training rows, or make the student smaller.",
            ("corpus.unlabelled", "transfer.augment", "student"),
            (
                case.fact("agreement on learned texts", learned / rows, "train", "weights, on shard-*.parquet: text"),
                case.fact("agreement on dev", dev / dev_rows, "train", "weights, on shard-*.parquet: text"),
            ),
            p,
        )


def _agreed(case: Case, *parts: str) -> tuple[int, int]:
    """On how many of some texts student and teacher name the same label."""
    said = case.some(_ASKED, *parts, columns=["text", ANSWER])
    if not said.num_rows:
        return 0, 0
    ids = case.network.encode(said["text"].to_pylist())
    same = case.answers(ids).argmax(axis=1) == signals.named(signals.answers(said))
    return int(same.sum()), len(same)
