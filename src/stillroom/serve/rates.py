"""How many requests one client may make, counted in each worker for its share."""

from __future__ import annotations

import math
import time
from typing import final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from stillroom.core.errors import InputError, Problem


@final
class Rates:
    """A limit for each client, in a window that slides."""

    def __init__(self, written: str, *, workers: int) -> None:
        """Raises InputError where nobody can read the limit."""
        try:
            told = parse(written)
        except ValueError as error:
            raise InputError(Problem("limits.rate", f"`{written}`", 'such as "600/minute"', "Correct it.")) from error
        # A worker sees its share of the requests alone.
        amount = max(math.ceil(told.amount / workers), 1)
        self._limit: RateLimitItem = type(told)(amount, told.multiples)
        self._counted = SlidingWindowCounterRateLimiter(MemoryStorage())

    def wait(self, whose: str) -> int:
        """The seconds that a client has to wait; 0: it may ask now, and that is counted."""
        if self._counted.hit(self._limit, whose):
            return 0
        left = self._counted.get_window_stats(self._limit, whose).reset_time - time.time()
        return max(math.ceil(left), 1)
