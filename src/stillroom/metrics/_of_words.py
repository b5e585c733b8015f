"""What answers share that stand inside rows, where each word is one: spans and corrections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from stillroom.metrics import Answered, Floats, Metric, aurc, ece
from stillroom.metrics._words import Posteriors, Taken


class OfWords(Answered):
    """Answers that stand inside rows: what is asked of how sure they are is asked of each word."""

    named: bool
    sure: Floats | None
    posteriors: Posteriors | Taken | None
    calibrated_by: ClassVar[str] = "words"

    @property
    def confidence(self) -> Floats | None:
        """How sure it is of the words of a row."""
        return None if self.named else self.sure

    def part(self, answers: str) -> tuple[Any, NDArray[np.int64] | None] | None:
        """For metrics of labels its words, each of which has one."""
        if answers != Metric.answers:
            return self, None
        return None if self.posteriors is None else (self.posteriors.words, self.posteriors.words.rows)

    def reliability(self) -> list[dict[str, Any]] | None:
        """Of words."""
        return None if self.posteriors is None else ece.reliability(self.posteriors.words)

    def risk_coverage(self) -> list[dict[str, float]] | None:
        """Of words."""
        return None if self.posteriors is None else aurc.curve(self.posteriors.words)

    def row_divergences(self) -> Mapping[str, Floats] | None:
        """The mean over the words of each row."""
        return None if self.posteriors is None else self.posteriors.divergences
