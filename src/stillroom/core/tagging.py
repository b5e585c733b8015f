"""Labels of words: spans of characters written as tags, the likeliest tags that make sense, and tags on other words.

Tags are those of IOB2: `O` outside every span, `B-x` on the first word of a span with the label x, `I-x` on the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core.probabilities import log_softmax, softmax
from stillroom.core.words import EndToEnd

Floats = NDArray[np.float32]
_WORD = re.compile(r"\w+|[^\w\s]")
_LEAST = 1e-6  # the share of a tag that what was said rules out
_IMPOSSIBLE = -1e30
_AT_ONCE = 256  # texts of like length that are searched for a path together


@final
@dataclass(frozen=True, order=True)
class Span:
    """Some characters of a text (code points, `end` past the last of them) and what they are."""

    start: int
    end: int
    label: str


@final
@dataclass(frozen=True)
class Tagged(EndToEnd):
    """What was said of the words of several texts, end to end: logits `[words, tags]`, or the tags named, `[words]`."""

    values: NDArray[Any]
    words: NDArray[np.int32]
    """The characters of each word, first and past the last, `[words, 2]`."""
    counts: NDArray[np.int64]
    """How many words each text has, `[texts]`."""

    def take(self, rows: NDArray[np.int64]) -> Tagged:
        """The same of some texts, in this order."""
        numbers = self.numbers(rows)[0]
        return Tagged(self.values[numbers], self.words[numbers], self.counts[rows])


def tags(labels: Sequence[str]) -> tuple[str, ...]:
    """Every tag, in the order in which outputs stand."""
    return ("O", *(f"{part}-{label}" for label in labels for part in "BI"))


def join(parts: Sequence[Tagged], *, tags: int) -> Tagged:
    """What was said of several lots of texts, as one; of none, nothing."""
    if not parts:
        return Tagged(np.zeros((0, tags), np.float32), np.zeros((0, 2), np.int32), np.zeros(0, np.int64))
    return Tagged(
        np.concatenate([one.values for one in parts]),
        np.concatenate([one.words for one in parts]),
        np.concatenate([one.counts for one in parts]),
    )


def places_of(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The words of texts for who has none of its own, runs of letters and single signs: `[words, 2]`, and counts."""
    found = [[match.span() for match in _WORD.finditer(text)] for text in texts]
    counts = np.array([len(one) for one in found], dtype=np.int64)
    return np.array([place for one in found for place in one], dtype=np.int32).reshape(-1, 2), counts


def on_words(spans: Sequence[Sequence[Span]], words: NDArray[np.int32], counts: NDArray[np.int64],
             labels: Sequence[str]) -> NDArray[np.int64]:  # fmt: skip
    """The tag of each word, `[words]`, from the spans of each text.

    A word that shares a character with a span is in it; one that shares some with several is in the first of these. A
    span that gets no word of its own is lost.
    """
    positions = {label: 1 + 2 * number for number, label in enumerate(labels)}
    found = np.zeros(len(words), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)]).tolist()
    for row, some in enumerate(spans):
        first, last = starts[row], starts[row + 1]
        free = first
        for span in sorted(some):
            begin = max(free, first + int(np.searchsorted(words[first:last, 1], span.start, side="right")))
            end = first + int(np.searchsorted(words[first:last, 0], span.end, side="left"))
            if begin < end:
                found[begin] = positions[span.label]
                found[begin + 1 : end] = positions[span.label] + 1
                free = end
    return found


def best(values: NDArray[Any], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The likeliest tags of each word that make sense together: `I-x` only after `B-x` or `I-x`.

    Where the highest tag of every word already does, that is the answer; elsewhere the best path (Viterbi).
    """
    highest: NDArray[np.int64] = values.argmax(axis=1).astype(np.int64)
    texts = np.repeat(np.arange(len(counts)), counts)
    wrong = _senseless(highest, texts)
    rows = np.unique(texts[wrong])
    starts = np.concatenate([[0], np.cumsum(counts)])
    by_length = rows[np.argsort(counts[rows], kind="stable")]
    for part in range(0, len(rows), _AT_ONCE):
        some = by_length[part : part + _AT_ONCE]
        words = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in some])
        highest[words] = _paths(log_softmax(values[words]), counts[some])
    return highest


def _senseless(found: NDArray[np.int64], texts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which words continue a span that none before them begins."""
    before, same = np.roll(found, 1), np.roll(texts, 1) == texts
    if len(found):
        same[0] = False
    inside = (found > 0) & (found % 2 == 0)
    return np.asarray(inside & ~(same & ((before == found) | (before == found - 1))))


def _paths(scores: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The best path through each text's words, a step for all texts at once: `[words]`.

    Into `O` and `B-x` one may come from any tag, so only the best of all counts; into `I-x` from `B-x` and `I-x`.
    """
    lengths, outputs = counts, scores.shape[1]
    longest, texts = int(lengths.max()), len(counts)
    table = np.full((longest, texts, outputs), 0.0)
    inside = np.arange(longest)[:, None] < lengths
    table[np.nonzero(inside.T)[1], np.nonzero(inside.T)[0]] = scores
    begins, goes_on = np.arange(1, outputs, 2), np.arange(2, outputs, 2)
    came = np.zeros((longest, texts, outputs), dtype=np.int64)
    reached = table[0].copy()
    reached[:, goes_on] = _IMPOSSIBLE
    for step in range(1, longest):
        last = reached.argmax(axis=1)
        came[step] = last[:, None]
        peak = np.take_along_axis(reached, last[:, None], axis=1)
        now = peak + table[step]
        from_begin = reached[:, begins] >= reached[:, goes_on]
        came[step][:, goes_on] = np.where(from_begin, begins, goes_on)
        now[:, goes_on] = np.maximum(reached[:, begins], reached[:, goes_on]) + table[step][:, goes_on]
        reached = np.where(inside[step][:, None], now, reached)
    path = np.zeros((longest, texts), dtype=np.int64)
    at = reached.argmax(axis=1)
    for step in range(longest - 1, -1, -1):
        path[step] = at
        at = np.where(inside[step], came[step][np.arange(texts), at], at)
    return path.T[inside.T].astype(np.int64)


def spans(found: NDArray[np.int64], words: NDArray[np.int32], counts: NDArray[np.int64],
          labels: Sequence[str]) -> list[tuple[Span, ...]]:  # fmt: skip
    """The spans that tags make, text by text: a word that continues nothing begins a span of its own."""
    return [tuple(span for span, _, _ in one) for one in _runs(found, words, counts, labels)]


def read(said: Tagged, labels: Sequence[str]) -> list[list[tuple[Span, float]]]:
    """The spans of each text with a score: how probable the label is, as `B` or `I`, on the least sure of its words."""
    found = best(said.values, said.counts)
    table = softmax(said.values)
    given: list[list[tuple[Span, float]]] = []
    for runs in _runs(found, said.words, said.counts, labels):
        told = []
        for span, first, last in runs:
            begin = int(found[first]) - (1 - int(found[first]) % 2)
            told.append((span, float(table[first:last, begin : begin + 2].sum(axis=1).min())))
        given.append(told)
    return given


def _runs(
    found: NDArray[np.int64], words: NDArray[np.int32], counts: NDArray[np.int64], labels: Sequence[str]
) -> list[list[tuple[Span, int, int]]]:
    """Each text's spans with the numbers of their first word and of the one past their last."""
    texts = np.repeat(np.arange(len(counts)), counts)
    begins = (found % 2 == 1) | _senseless(found, texts)
    firsts = np.flatnonzero(begins)
    # A span ends before the next word that begins one, is outside, or is of another text.
    stops = np.flatnonzero(np.concatenate([begins | (found == 0) | (np.roll(texts, 1) != texts), [True]]))
    lasts = stops[np.searchsorted(stops, firsts, side="right")]
    given: list[list[tuple[Span, int, int]]] = [[] for _ in range(len(counts))]
    for first, last, text in zip(firsts.tolist(), lasts.tolist(), texts[firsts].tolist(), strict=True):
        label = labels[(int(found[first]) - 1) // 2]
        given[text].append((Span(int(words[first, 0]), int(words[last - 1, 1]), label), first, last))
    return given


def project(said: Tagged, words: NDArray[np.int32], counts: NDArray[np.int64], *,
            goes_on: bool = True) -> tuple[Floats, NDArray[np.bool_]]:  # fmt: skip
    """What was said, on other words of the same texts: log-probabilities `[words, tags]`, and whether anything was.

    A word takes what was said of the word that holds its first character, or else of the first that overlaps it. Where
    the word before took from the same, it continues it: what was `B-x` there is `I-x` here; or, where tags do not go
    on, it has the first of all tags, which stands for nothing.
    """
    # Each text gets a stretch of its own on one line, so that one search serves all.
    ends = np.concatenate([[0], said.words[:, 1]]).max(), np.concatenate([[0], words[:, 1]]).max()
    stretch = int(max(ends)) + 1
    theirs = said.words.astype(np.int64) + (np.repeat(np.arange(len(said.counts)), said.counts) * stretch)[:, None]
    ours = words.astype(np.int64) + (np.repeat(np.arange(len(counts)), counts) * stretch)[:, None]
    tags = said.values.shape[1]
    if not len(theirs):
        return np.zeros((len(ours), tags), np.float32), np.zeros(len(ours), np.bool_)
    # The first of theirs that ends past the beginning of ours holds its first character, or is the next one after it.
    source = np.minimum(np.searchsorted(theirs[:, 1], ours[:, 0], side="right"), len(theirs) - 1)
    known = (theirs[source, 0] < ours[:, 1]) & (theirs[source, 1] > ours[:, 0])
    table = log_softmax(said.values)[source]
    later = np.zeros(len(ours), dtype=np.bool_)
    later[1:] = (source[1:] == source[:-1]) & known[1:] & known[:-1]
    moved = table[later]
    if goes_on:
        begins, inside = np.arange(1, tags, 2), np.arange(2, tags, 2)
        moved[:, inside] = np.logaddexp(moved[:, begins], moved[:, inside])
        moved[:, begins] = np.log(_LEAST)
    else:
        moved[:, 1:] = np.log(_LEAST)
        moved[:, 0] = 0.0
    table[later] = log_softmax(moved)
    return table.astype(np.float32), known
