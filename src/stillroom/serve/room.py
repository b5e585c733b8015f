"""Whether there is room for one more request in a process: what waits there for its turn is waited for as well."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import final

_SHARE = 0.1  # of a deadline: the turns after the first, and the student, come yet
_FEWEST = 16
_STEP = 0.1  # of the way, for each request that waited too long: one stop says little, a crowd all
_GROWTH = 0.03  # of a place, for each request that hardly waited
_MEMORY_S, _WIDER = 1.0, 1.25  # nobody waited too long for so long: there is so much more room


@final
class Room:
    """How many requests may be inside at once, learned from what they wait for their first turn.

    A queue in front of a student does not see what the process itself can't keep up with: where a student is cheap,
    reading requests is what takes the time. By Little's law n requests of which the last waits w leave room for
    n · limit ÷ w, if nobody is to wait longer than the limit, a share of the deadline.
    """

    def __init__(self, *, deadline_s: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`most`: never more than so many."""
        self._limit_s = deadline_s * _SHARE
        self._most = float(most)
        self._clock = clock
        self._late = clock()
        self.places = float(most)
        """For so many there is room now."""

    def admits(self, inside: int) -> bool:
        """Whether there is room for one more than are inside."""
        if inside >= self.places:
            # Those inside may be waiting for something else, such as a teacher, and keep nobody from his turn.
            now = self._clock()
            if now - self._late > _MEMORY_S:
                self._late = now
                self.places = min(self.places * _WIDER, self._most)
        return inside < self.places

    def waited(self, seconds: float, *, inside: int) -> None:
        """A request has waited for its first turn, with so many others inside."""
        if seconds > self._limit_s:
            self._late = self._clock()
            room = max(inside * self._limit_s / seconds, _FEWEST)
            self.places += min(room - self.places, 0.0) * _STEP
        elif seconds < self._limit_s / 2:
            self.places = min(self.places + _GROWTH, self._most)
