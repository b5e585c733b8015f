"""Several texts that a teacher would write for one source, the best first, each with a score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from stillroom.core.sentences import f1

#: What would be written, and a score: of two candidates for one source, the better one has the higher.
Candidates = tuple[tuple[str, float], ...]


def agreeing(texts: Sequence[str], *, asked: int) -> Candidates:
    """Texts by how much each has in common with the others that were `asked` for, as the mean F1 of their words.

    Equal ones stand there once. What did not come has nothing in common with any. What most of several tries say is
    what the teacher means (minimum Bayes risk: Kumar and Byrne, HLT-NAACL 2004).
    """
    words = [Counter(one.lower().split()) for one in texts]
    scores = [
        sum(f1(own, other) for at, other in enumerate(words) if at != place) / max(1, asked - 1)
        for place, own in enumerate(words)
    ]
    return ranked(texts, scores)


def ranked(texts: Sequence[str], scores: Sequence[float]) -> Candidates:
    """Texts by their scores, each once, with its highest."""
    found: dict[str, float] = {}
    for place in np.argsort(-np.array(scores, dtype=np.float64), kind="stable").tolist():
        found.setdefault(texts[place], float(scores[place]))
    return tuple(found.items())
