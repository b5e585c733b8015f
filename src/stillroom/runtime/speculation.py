"""A small model drafts, a large one reads the draft at once and keeps what it would have written: quicker, and exact.

Reading several tokens costs a large model little more than reading one, so that every token of the draft that it keeps
is nearly a step saved. What is written is as the large model alone would have it: token for token where the likeliest
is taken, and by the same distribution where chance draws (Leviathan, Kalman and Matias, arXiv 2211.17192).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from stillroom.core import probabilities
from stillroom.core.errors import MismatchError, Problem

Floats = NDArray[np.float64]


class Speaks(Protocol):
    """A language model that remembers what it has read."""

    @property
    def tokens(self) -> str:
        """What tells its tokens from those of others, such as the digest of its tokenizer."""

    @property
    def nothing(self) -> Any:
        """What it remembers of a text that begins."""

    def go_on(self, ids: NDArray[np.int64], past: Any) -> tuple[NDArray[np.float32], Any]:
        """The logits behind each of these further tokens, `[tokens, vocabulary]`, and all that it remembers by then."""

    def forget(self, past: Any, *, kept: int) -> Any:
        """What it remembers, but for what comes behind the first so many tokens."""


@final
@dataclass(frozen=True)
class Written:
    """What was written, and what the draft was worth."""

    tokens: tuple[int, ...]
    """The tokens, an end among them where one was written."""
    readings: int
    """How often the large model read; alone it would have read once a token."""
    drafted: int
    accepted: int
    """How many of the drafted tokens it kept."""


@final
class _Mind:
    """A model with what it has read of a text that grows, and is cut back where a draft is not kept."""

    def __init__(self, model: Speaks) -> None:
        self._model, self._past, self._known = model, model.nothing, 0

    def read(self, text: Sequence[int], *, told: int) -> NDArray[np.float32]:
        """The logits behind each of the last so many tokens of a text, of which no more is read than is new."""
        known = min(self._known, len(text) - told)
        if known < self._known:
            self._past = self._model.forget(self._past, kept=known)
        logits, self._past = self._model.go_on(np.array(text[known:], dtype=np.int64), self._past)
        self._known = len(text)
        return logits[-told:]


def write(
    draft: Speaks,
    large: Speaks,
    ids: Sequence[int],
    *,
    most: int,
    ends: Collection[int] = (),
    ahead: int = 4,
    temperature: float = 0.0,
    rng: np.random.Generator,
) -> Written:
    """Up to `most` tokens behind a text of at least one, drafted `ahead` at a time.

    At temperature 0 the likeliest token is taken, and nothing is left to chance.

    Raises:
        MismatchError: the models have not the same tokens.
    """
    if draft.tokens != large.tokens:
        found, todo = (
            "a draft in other tokens than the large model's",
            'Let the draft keep them: `vocabulary = "teacher"`.',
        )
        raise MismatchError(Problem("draft", found, "two models with the same tokens", todo))
    text, begun = list(ids), len(ids)
    minds = _Mind(draft), _Mind(large)
    readings = drafted = accepted = 0
    while len(text) - begun < most:
        size = min(ahead, most - (len(text) - begun) - 1)
        guesses, odds = _drafted(minds[0], text, size, temperature=temperature, rng=rng)
        told = minds[1].read([*text, *guesses], told=size + 1)
        wanted = [_odds(one, temperature) for one in told]
        kept, last = _judged(guesses, odds, wanted, rng=rng)
        readings, drafted, accepted = readings + 1, drafted + size, accepted + kept
        fresh = [*guesses[:kept], last]
        end = next((place for place, token in enumerate(fresh) if token in ends), None)
        text += fresh if end is None else fresh[: end + 1]
        if end is not None:
            break
    return Written(tuple(text[begun:]), readings, drafted, accepted)


def _drafted(
    mind: _Mind, text: Sequence[int], size: int, *, temperature: float, rng: np.random.Generator
) -> tuple[list[int], list[Floats]]:
    """So many tokens, and the odds that each was drawn by."""
    guesses: list[int] = []
    odds: list[Floats] = []
    for _ in range(size):
        odds.append(_odds(mind.read([*text, *guesses], told=1)[0], temperature))
        guesses.append(_drawn(odds[-1], rng))
    return guesses, odds


def _judged(
    guesses: Sequence[int], odds: Sequence[Floats], wanted: Sequence[Floats], *, rng: np.random.Generator
) -> tuple[int, int]:
    """How many guesses are kept, and the token behind them.

    A guess is kept with probability p / q, so that it is never drawn more often than is wanted; what is then missing
    comes of max(0, p − q).
    """
    for place, (token, q, p) in enumerate(zip(guesses, odds, wanted, strict=False)):
        if rng.random() * q[token] >= p[token]:
            missing = np.maximum(p - q, 0.0)
            return place, _drawn(missing / missing.sum(), rng)
    return len(guesses), _drawn(wanted[len(guesses)], rng)


def _odds(logits: NDArray[Any], temperature: float) -> Floats:
    """The probabilities to draw by; without chance, all for the likeliest."""
    if temperature:
        return np.asarray(probabilities.softmax(logits[None] / temperature)[0])
    found = np.zeros(len(logits))
    found[int(logits.argmax())] = 1.0
    return found


def _drawn(odds: Floats, rng: np.random.Generator) -> int:
    return int(rng.choice(len(odds), p=odds))
