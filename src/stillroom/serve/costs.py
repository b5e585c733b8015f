"""What a batch costs, and what a queue of such makes wait, learned from what came before: straight lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

_FADING = 0.98  # what a batch before this one still counts: about the last fifty decide
_SHORTEST = 5  # texts of up to 2^5 characters are one bucket
_BUCKETS = 16
_STEEPEST = 4.0
_LOOK = 64  # of so many batches one is larger than seemed best, so that what larger ones cost stays known


def bucket(text: str) -> int:
    """Texts of about one length: characters up to 32, up to 64, and so on."""
    return min(max((len(text) - 1).bit_length() - _SHORTEST, 0), _BUCKETS - 1)


@final
@dataclass(slots=True)
class _Line:
    """A straight line through (n, seconds), of which older points count less."""

    points: float = 0.0
    n: float = 0.0
    seconds: float = 0.0
    n_n: float = 0.0
    n_seconds: float = 0.0

    def add(self, n: float, seconds: float) -> None:
        self.points = self.points * _FADING + 1
        self.n = self.n * _FADING + n
        self.seconds = self.seconds * _FADING + seconds
        self.n_n = self.n_n * _FADING + n * n
        self.n_seconds = self.n_seconds * _FADING + n * seconds

    @property
    def fit(self) -> tuple[float, float]:
        """Slope and height, the least squares; where all points have one n, the line through zero."""
        spread = self.points * self.n_n - self.n * self.n
        if spread <= 1e-9 * max(self.n_n, 1.0):
            return (self.seconds / self.n if self.n else 0.0), 0.0
        slope = (self.points * self.n_seconds - self.n * self.seconds) / spread
        return slope, (self.seconds - slope * self.n) / self.points


@final
class Waits:
    """What a request waits for its answer, by what the batches until then should cost: seconds = a · expected + b.

    Beside its batches a process reads requests, refuses others and writes answers, and what it shares its cores with
    takes its time as well. Neither is seen where batches are timed.
    """

    def __init__(self, *, most: float) -> None:
        """`most`: seconds beyond which a wait says that something stood still, and no more."""
        self._line, self._most = _Line(), most
        self._slope, self._height = 1.0, 0.0

    def learn(self, expected: float, seconds: float) -> None:
        """A request was answered, or too late to be."""
        line = self._line
        line.add(expected, min(seconds, self._most))
        # Where requests hardly wait, all expect about the same, and a slope is little more than chance.
        self._slope = min(max(line.fit[0], 1.0), _STEEPEST)
        self._height = max((line.seconds - self._slope * line.n) / line.points, 0.0)

    def expected(self, seconds: float) -> float:
        """What it will wait, where its batches and those before it should cost so much."""
        return self._slope * seconds + self._height


@final
class Costs:
    """What so many texts of a bucket cost together, and how many of them are best taken at once."""

    def __init__(self, *, most: int) -> None:
        """`most`: texts that are ever taken at once."""
        self._lines = [_Line() for _ in range(_BUCKETS)]
        self._fits: list[tuple[float, float] | None] = [None] * _BUCKETS
        self._most, self._batches = most, 0

    def learn(self, bucket: int, n: int, seconds: float) -> None:
        """A batch that was run."""
        self._lines[bucket].add(n, seconds)
        self._fits[bucket] = self._lines[bucket].fit

    def expected(self, bucket: int, n: int) -> float:
        """The seconds that so many texts should take in one batch; 0: nothing was run yet."""
        slope, height = self._fit(bucket)
        return max(slope * n + height, 0.0)

    def share(self, bucket: int) -> float:
        """The seconds that a text adds to a queue: what it costs in a batch of the best size."""
        best = self._best(bucket)
        return self.expected(bucket, best) / best

    def choose(self, bucket: int, waiting: int, *, most_seconds: float) -> int:
        """How many of the waiting texts to take: those that make a text cheapest, in a batch that is not too long.

        One at a time where more at once cost more each, as long texts do on CPUs.
        """
        self._batches += 1
        best = self._best(bucket)
        if self._batches % _LOOK == 0:
            best = max(best, 8)
        slope, height = self._fit(bucket)
        if slope > 0:
            best = min(best, max(int((most_seconds - height) / slope), 1))
        return min(best, waiting, self._most)

    def _best(self, bucket: int) -> int:
        """A text costs a + b / n: the more the better where b is above zero, else one."""
        slope, height = self._fit(bucket)
        return self._most if height > 0 or slope <= 0 else 1

    def _fit(self, bucket: int) -> tuple[float, float]:
        """The line of a bucket, or of the nearest one that was seen, stretched by how much longer its texts are."""
        own = self._fits[bucket]
        if own is not None:
            return own
        seen = [place for place, one in enumerate(self._fits) if one is not None]
        if not seen:
            return 0.0, 0.0
        near = min(seen, key=lambda place: abs(place - bucket))
        slope, height = self._fits[near] or (0.0, 0.0)
        return slope * 2.0 ** (bucket - near), height
