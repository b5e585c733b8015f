"""There are too few texts to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import signals
from stillroom.symptoms import ANSWER, NUMBERS, Case, Finding, Quiet, Seen, Symptom, _chance

_A_CLASS = 50
_BY_HEART = 0.05
_ASKED = 1000
_MORE = "Add texts without labels, the teacher's words are labels enough; or cut phrases out of training rows."
_KEYS = ("corpus.unlabelled", "transfer.augment")


@final
class FewRows(Symptom):
    """There are too few texts to learn from: for a class, for a space, or for the student not to learn them by heart.

    A run trains once, so there is no learning curve. In its place: how much more the student agrees with its teacher on
    texts that it learned from than on dev, in labels that are the same, in the share of words with the same tag, or in
    the cosine of vectors. Where that gap is wide, more texts close it.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"transfer"})
    shapes: ClassVar[frozenset[str]] = NUMBERS
    threshold: ClassVar[str] = (
        "fewer than 50 texts that the teacher gives a label (what one text in seventeen of a class has is then missed "
        "in one sample of twenty); of vectors, fewer texts than dimensions, and of tags, fewer words than tags, so "
        "that not even a linear map into them is determined; or agreement five points higher on learned texts than on "
        "dev"
    )
    false_alarms: ClassVar[str] = (
        "counts: none; the gap: exact test of shares, or of who is above the middle; at most the doctor's level"
    )

    kind: Literal["few_rows"] = "few_rows"

    def look(self, case: Case) -> Iterator[Seen]:
        """Rows of each class, or of all, then the gap between learned texts and dev."""
        few = self._of_a_label(case) if case.names_labels else self._of_all(case)
        if few is not None:
            yield few
        if "train" not in case.artifacts:
            yield self.unseen("no student: whether it learned its texts by heart was not looked at")
            return
        yield self._by_heart(case)

    def _of_a_label(self, case: Case) -> Finding | None:
        labels = case.recipe.task.outputs
        counts = np.zeros(len(labels), dtype=np.int64)
        for shard in case.told(columns=[ANSWER]):
            counts += np.bincount(signals.named(signals.answers(shard)), minlength=len(labels))
        texts, where = int(counts.sum()), f"shard-*.parquet: {case.said.answer}"
        few = {labels[place]: int(count) for place, count in enumerate(counts) if count < _A_CLASS}
        if not few:
            return None
        shown = ", ".join(f"{label} {count}" for label, count in sorted(few.items(), key=lambda one: one[1])[:5])
        return Finding(
            self.kind,
            "warning",
            f"{len(few)} of {len(labels)} labels have fewer than {_A_CLASS} texts in the transfer set of "
            f"{texts:,} ({shown}).",
            "The transfer set is too small, or holds too little of these labels.",
            _MORE,
            _KEYS,
            (
                case.fact("fewest texts of a label", int(counts.min()), "transfer", where),
                case.fact("texts", texts, "transfer", "facts.texts"),
            ),
        )

    def _of_all(self, case: Case) -> Finding | None:
        form, dimensions = case.recipe.task.form, len(case.recipe.task.outputs)
        texts = sum(case.parts.values())
        answers = sum(len(form.values(form.answers(shard))) for shard in case.told(columns=[ANSWER]))
        if answers >= dimensions:
            return None
        return Finding(
            self.kind,
            "warning",
            f"The student learns from {texts:,} texts with {answers:,} answers, and an answer has {dimensions:,} "
            "numbers: so few do not even determine a linear map.",
            "The transfer set is too small for a space of this size.",
            _MORE,
            (*_KEYS, "task.dimensions"),
            (
                case.fact("texts", texts, "transfer", "shard-*.parquet: part"),
                case.fact("answers", answers, "transfer", f"shard-*.parquet: {case.said.answer}"),
            ),
        )

    def _by_heart(self, case: Case) -> Seen:
        learned, dev = (_agreed(case, *parts) for parts in (("train", "unlabelled"), ("dev",)))
        if not len(learned) or not len(dev):
            return self.unseen("no whole texts that both student and teacher spoke of")
        p = _chance.higher(learned, dev)
        if learned.mean() - dev.mean() < _BY_HEART:
            return Quiet(p)
        return Finding(
            self.kind,
            "warning",
            f"The student agrees with its teacher to {learned.mean():.1%} on {len(learned):,} texts that it learned "
            f"from and to {dev.mean():.1%} on {len(dev):,} dev texts.",
            "It learned its texts by heart: there are too few for a student of this size.",
            "Add texts without labels, cut phrases out of training rows, or make the student smaller.",
            (*_KEYS, "student"),
            (
                case.fact("agreement on learned texts", float(learned.mean()), "train",
                          "weights, on shard-*.parquet: text"),
                case.fact("agreement on dev", float(dev.mean()), "train", "weights, on shard-*.parquet: text"),
            ),
            p,
        )  # fmt: skip


def _agreed(case: Case, *parts: str) -> NDArray[np.float64]:
    """How much of each of some texts student and teacher say the same of."""
    said = case.some(_ASKED, *parts, columns=["text", ANSWER])
    if not said.num_rows:
        return np.zeros(0)
    form, texts = case.recipe.task.form, said["text"].to_pylist()
    words = form.read(case.network, texts)[1]
    return form.alike(case.outputs(texts), form.spread(form.aligned(form.answers(said), words), words))
