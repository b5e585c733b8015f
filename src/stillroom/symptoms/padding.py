"""The student's answer to a text depends on the texts beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal, final

import numpy as np

from stillroom.symptoms import NUMBERS, Case, Finding, Seen, Symptom

_TEXTS = 32
_SAME = 1e-3  # of a logit of size one: what sums in another order may differ by, with room to spare


@final
class Padding(Symptom):
    """The student's answer to a text depends on the texts beside it: padding is counted.

    Some dev texts are given to the run's student one by one, and again each padded to the length of a long one.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"corpus", "train"})
    shapes: ClassVar[frozenset[str]] = NUMBERS
    threshold: ClassVar[str] = "a number that moves by more than 10⁻³ of its size (of 1 at least); rounding moves 10⁻⁵"
    false_alarms: ClassVar[str] = "none in float32"

    kind: Literal["padding"] = "padding"

    def look(self, case: Case) -> Iterator[Seen]:
        """Alone, and beside a long one."""
        texts = case.rows("dev", ["text"])["text"].to_pylist()[:_TEXTS]
        long = " ".join(texts)
        ids = case.network.encode([*texts, long])
        if max(len(one) for one in ids[:-1]) >= len(ids[-1]):
            yield self.unseen("no text could be made that the student reads as a longer one")
            return
        moved = np.array([_moved(case, text, long) for text in texts])
        rows = int((moved > _SAME).sum())
        if rows:
            yield Finding(
                self.kind,
                "error",
                f"What is said of {rows} of {len(texts)} texts moves by up to {moved.max():.3g} of its size under "
                "padding.",
                "The student's network counts padding: a mean, a maximum or an attention without the mask.",
                "Mask padding in the student's `forward`; batches of other shapes give other answers until then.",
                ("student",),
                (
                    case.fact("largest move", float(moved.max()), "train", "weights, on dev texts"),
                    case.fact("texts that moved", rows, "train", "weights, on dev texts"),
                    case.fact("texts", len(texts), "corpus", "dev.parquet: text"),
                ),
            )


def _moved(case: Case, text: str, long: str) -> float:
    """How far a number of the student's answer to a text moves beside a long one, as a share of its size."""
    form = case.recipe.task.form
    alone = form.values(case.outputs([text])).astype(np.float64)
    beside = form.values(form.take(case.outputs([text, long], together=True), np.array([0])))
    return float((np.abs(alone - beside) / np.maximum(1.0, np.abs(alone))).max(initial=0.0))
