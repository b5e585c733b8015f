"""Instructions that should not be there: a student of this project, fitted to tell them from other texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stillroom.core import sentences
from stillroom.core.errors import InputError, MismatchError, Problem
from stillroom.detectors import Detector, Finding, Look, Place

Scores = NDArray[np.float64]

_WORDS, _STEP = 60, 30  # a longer sentence is read in windows of so many words, every so many words
_WORD = re.compile(r"\S+")


@final
class Injection(Detector):
    """A classifier of a bundle of ours: how probable it is that a text, or a sentence of it, is an injection.

    Whole texts for what people ask, sentences for what they bring along: in a long e-mail one sentence is lost among
    the others. The score of a text is that of its most suspicious sentence. How a student and a threshold are made is
    told in docs/guard.md.
    """

    kind: Literal["injection"] = "injection"
    bundle: str
    """The folder of a bundle, or of a run."""
    labels: tuple[str, ...] = ("injection",)
    """The labels of the bundle's task that count; their probabilities are added up."""
    reads: Literal["whole", "sentences"] = "whole"
    """What is scored: a text as a whole, or each of its sentences."""
    threshold: float = Field(gt=0, le=1)
    """From which score on it is told; chosen on texts without injections, by `chosen`."""

    def open(self) -> Look:
        """The student."""
        score = self._scorer()

        def look(text: str, *, asked: str = "") -> Finding:
            windows = list(self._windows(text))
            if not windows:
                return Finding("injection", score=0.0)
            scores = score([text[start:end] for start, end in windows])
            found = [window for window, one in zip(windows, scores, strict=True) if one >= self.threshold]
            places = tuple(Place(start, end, "injection", "[removed]") for start, end in _merged(found))
            return Finding("injection", places, float(scores.max()))

        return look

    def scores(self, texts: Sequence[str]) -> Scores:
        """The score of each text, whatever the threshold."""
        score = self._scorer()
        parts = [[text[start:end] for start, end in self._windows(text)] for text in texts]
        flat = [one for part in parts for one in part]
        said = np.concatenate([score(flat[at : at + 512]) for at in range(0, len(flat), 512)]) if flat else np.empty(0)
        ends = np.cumsum([len(part) for part in parts])
        return np.array([said[end - len(part) : end].max(initial=0.0) for part, end in zip(parts, ends, strict=True)])

    def _windows(self, text: str) -> Iterator[tuple[int, int]]:
        """What is scored of a text, from left to right."""
        if not text.strip():
            return
        if self.reads == "whole":
            yield 0, len(text)
            return
        for start, end in sentences.spans(text):
            words = [one.span() for one in _WORD.finditer(text, start, end)]
            for at in range(0, max(1, len(words) - _WORDS + _STEP), _STEP):
                yield words[at][0], words[min(at + _WORDS, len(words)) - 1][1]

    def _scorer(self) -> Callable[[Sequence[str]], Scores]:
        from stillroom import runtime

        student = runtime.load(self.bundle)
        known: tuple[str, ...] = getattr(student.task, "labels", ())
        missing = [one for one in self.labels if one not in known]
        if missing or student.task.shape != "pooled":
            expected = f"a bundle of one label a text, with {', '.join(f'`{one}`' for one in self.labels)} among them"
            found = f"the labels {', '.join(f'`{one}`' for one in known)}" if known else "a bundle of another task"
            raise MismatchError(Problem("injection.labels", found, expected, "Name labels of this bundle's task."))
        places = [known.index(one) for one in self.labels]

        def score(texts: Sequence[str]) -> Scores:
            said: Any = student.calibrated(texts)
            odds = np.exp(said.astype(np.float64) - said.max(axis=1, keepdims=True))
            return np.asarray(odds[:, places].sum(axis=1) / odds.sum(axis=1))

        return score


def chosen(scores: Scores, *, false_positives: float) -> float:
    """The lowest threshold at which no larger share of texts without injections is told than may be.

    Raises:
        InputError: too few texts to tell such a share.
    """
    if len(scores) * false_positives < 1:
        found = f"{len(scores)} texts"
        expected = f"{int(np.ceil(1 / false_positives))} texts without injections at least"
        raise InputError(Problem("scores", found, expected, "Score more texts, or allow a larger share."))
    allowed = int(len(scores) * false_positives)
    first = float(np.sort(scores)[::-1][allowed])  # the highest that must not be told
    if first >= 1.0:
        found = "a score of 1 where there is no injection"
        todo = "Allow a larger share, or fit the student with such texts among the ordinary ones."
        raise InputError(Problem("scores", found, "scores that a threshold can part", todo))
    return float(np.nextafter(first, 2.0))


def _merged(windows: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Windows that overlap as one."""
    held: tuple[int, int] | None = None
    for start, end in windows:
        if held is not None and start < held[1]:
            held = held[0], max(held[1], end)
            continue
        if held is not None:
            yield held
        held = start, end
    if held is not None:
        yield held
