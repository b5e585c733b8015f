"""F0.5 of corrections: a mark counts as found where it stands on the same word and says the same."""

from __future__ import annotations

from typing import ClassVar, Literal, final

from stillroom.metrics import Floats, Metric, _corrections, ratio
from stillroom.metrics._corrections import Corrected


@final
class EditF05(Metric):
    """F0.5 over all marks of all rows, each row against the reference that it is nearest to.

    It asks no more than whether the same chunk is given the same tag, so it needs no texts and can choose on dev. Of a
    misspelt word it asks whether it was found, not what was put there: `gleu` and `errant_f05` ask that.
    """

    answers: ClassVar[str] = "corrections"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "1.25·hits / (0.25·gold + said), hits: marks of both on the same chunk with the same tag"
    reference: ClassVar[str] = "sklearn.metrics.fbeta_score(beta=0.5) on chunks with tags"

    kind: Literal["edit_f05"] = "edit_f05"

    def rows(self, answers: Corrected) -> Floats:
        """Of each row: hits, marks of the system, marks of gold."""
        return _corrections.best(answers.gold, answers.said)

    def value(self, sums: Floats) -> Floats:
        """F0.5; NaN where there is no mark at all."""
        return ratio(1.25 * sums[..., 0], 0.25 * sums[..., 2] + sums[..., 1])
