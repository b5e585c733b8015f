"""How often a proofreader marks what is right."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import edits
from stillroom.metrics import Floats, Metric, _corrections, ratio
from stillroom.metrics._corrections import Corrected


@final
class FalseFlags(Metric):
    """Marks in 1,000 words of texts in which people mark nothing."""

    answers: ClassVar[str] = "corrections"
    higher_is_better: ClassVar[bool] = False
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1000.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "1000·marks / words, of rows that a reference leaves as they are"
    reference: ClassVar[str] = "a count by hand"

    kind: Literal["false_flags"] = "false_flags"

    def counted(self, answers: Corrected) -> NDArray[np.int64]:
        """Rows that somebody would leave as they are."""
        return np.flatnonzero([_corrections.clean(some) for some in answers.gold])

    def rows(self, answers: Corrected) -> Floats:
        """Of each row: marks and words."""
        found = [(len(answers.said[row]), sum(one.text[0].isalnum() for one in edits.chunks(answers.sources[row])))
                 for row in self.counted(answers).tolist()]  # fmt: skip
        return np.array(found, dtype=np.float64).reshape(-1, 2)

    def value(self, sums: Floats) -> Floats:
        """Marks in 1,000 words; NaN where there is none to mark."""
        return ratio(1000.0 * sums[..., 0], sums[..., 1])
