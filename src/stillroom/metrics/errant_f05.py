"""ERRANT's F0.5: edits between a text and what was made of it, aligned by words' forms, lemmas and parts of speech."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, ClassVar, Literal, final

import numpy as np

from stillroom.core.errors import missing_extra
from stillroom.metrics import Floats, Metric, ratio
from stillroom.metrics._corrections import Corrected


@final
class ErrantF05(Metric):
    """F0.5 over the edits that ERRANT finds (Bryant et al. 2017), each row against the reference that suits it best.

    Best is the highest F0.5 of the row itself, then most hits, then least else; ERRANT's own comparison goes by F0.5 of
    all rows so far, so that there the order of rows counts. Words are those of the pipeline.
    """

    answers: ClassVar[str] = "corrections"
    higher_is_better: ClassVar[bool] = True
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0
    min_rows: ClassVar[int] = 30
    against_teacher: ClassVar[bool] = False
    formula: ClassVar[str] = "1.25·hits / (0.25·gold + said), hits: edits of both with the same words and replacement"
    reference: ClassVar[str] = "errant_compare of errant, on rows with one reference"

    kind: Literal["errant_f05"] = "errant_f05"

    def rows(self, answers: Corrected) -> Floats:
        """Of each row: hits, edits of the system, edits of gold."""
        found = np.zeros((len(answers), 3))
        for row, (text, written, some) in enumerate(zip(answers.sources, answers.written, answers.gold, strict=True)):
            own, *sides = (_edits(answers.pipeline, text, one) for one in (written, *(one.text for one in some)))
            found[row] = max(((len(own & one), len(own), len(one)) for one in sides), key=_rank)
        return found

    def value(self, sums: Floats) -> Floats:
        """F0.5; NaN where there is no edit at all."""
        return ratio(1.25 * sums[..., 0], 0.25 * sums[..., 2] + sums[..., 1])


def _rank(counts: tuple[int, int, int]) -> tuple[float, int, int]:
    hits, said, gold = counts
    return 1.25 * hits / (0.25 * gold + said) if gold + said else 1.0, hits, -said - gold


@lru_cache(maxsize=1 << 16)
def _edits(pipeline: str, text: str, other: str) -> frozenset[tuple[int, int, str]]:
    """The edits that make one text of another: the words that go, and what stands there then."""
    if text == other:
        return frozenset()
    found = _opened(pipeline).annotate(_read(pipeline, text), _read(pipeline, other))
    return frozenset((one.o_start, one.o_end, one.c_str) for one in found)


@lru_cache(maxsize=1 << 14)
def _read(pipeline: str, text: str) -> Any:
    return _opened(pipeline).parse(text)


@cache
def _opened(pipeline: str) -> Any:
    try:
        import errant  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise missing_extra("spacy", package="errant", needed_by="errant_f05") from error
    from stillroom.teachers import _pretrained, spacy

    where = "task.errant"
    folder = _pretrained.locate(pipeline, where=where, holds="config.cfg")
    parts = frozenset({"lemmatizer", "parser"})
    return errant.load("en", spacy.load(folder, where=where, part="tagger", parts=parts))
