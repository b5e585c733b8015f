"""The teacher behind a student: asked where the student is not sure enough, within a time and a budget.

Where it can't be asked, the student's answer stands and says so: an answer that is less sure is better than none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Literal, final

from pydantic import Field

from stillroom.core.errors import InputError, Problem
from stillroom.core.plugins import Settings
from stillroom.serve.batcher import Late, Refused

#: Asks a teacher: texts, or what they were parted into, to the prediction of each text, None where it has none.
Ask = Callable[[Any], Awaitable[Sequence[Any]]]
#: Parts texts into what is read at once, of which there are `len`.
Part = Callable[[Sequence[str]], Awaitable[Sized]]
#: Why a teacher was not asked, or did not answer.
Why = Literal["down", "late", "budget", "busy", "silent"]

_PAUSE_SECONDS = 30.0  # after a failure nobody waits for it that long
_DAY_SECONDS = 86_400.0


@final
class Behind(Settings):
    """Who is asked where a student is not sure enough."""

    who: str = "own"
    """`own`: the teacher of the student's run; else the name of another student that is served, of the same labels."""
    seconds: float = Field(10.0, gt=0)
    """Within which it has to answer."""
    at_once: int = Field(4, ge=1)
    """Requests that may wait for it at a time."""
    per_day: float | None = Field(None, gt=0)
    """What it may cost in a day, in the currency of the run's costs; of several workers each has its even share. None:
    no limit."""


@final
@dataclass(frozen=True)
class Heard:
    """What a teacher said of a text, or why it said nothing."""

    prediction: Any | None
    why: Why | None = None
    cost: float | None = None
    """What asking it about this text cost; of several together, its even share. None: nobody knows, or nothing."""


@final
class Purse:
    """What a teacher may cost in a day. It outlives the versions of the student before it."""

    def __init__(self, per_day: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_day, self._clock = per_day, clock
        self._day, self._spent = clock(), 0.0

    def holds(self, cost: float) -> bool:
        """Whether there is so much left of the day's."""
        now = self._clock()
        if now - self._day > _DAY_SECONDS:
            self._day, self._spent = now, 0.0
        return self._per_day is None or self._spent + cost <= self._per_day

    def pay(self, cost: float) -> None:
        """Take out so much."""
        self._spent += cost

    def take_back(self, cost: float) -> None:
        """Nothing was had for it."""
        self._spent = max(self._spent - cost, 0.0)


@final
class Escalation:
    """A teacher with its limits."""

    def __init__(
        self,
        told: Behind,
        ask: Ask,
        *,
        price: float | None,
        purse: Purse | None = None,
        paid: Callable[[int, float], None] | None = None,
        part: Part | None = None,
        close: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`price`: of a million texts; None: nobody knows. `paid`: told texts that it is asked about, and their cost.

        `purse`: that of the one before it; none: a full one. `part`: parts texts, and each part costs as much as a
        text; none: it reads texts as they are. `close`: called when nobody will ask it any more.

        Raises:
            InputError: a budget that can't be held, because nobody knows the price.
        """
        if told.per_day is not None and price is None:
            found, expected = "a budget for a teacher whose price nobody knows", "a run whose costs were measured"
            raise InputError(
                Problem("models.behind.per_day", found, expected, "Run its `cost` stage, or leave it out.")
            )
        self._told, self._ask, self._clock = told, ask, clock
        self._price, self._paid = None if price is None else price / 1e6, paid
        self._part = part
        self.close: Callable[[], None] = close or (lambda: None)
        self.purse = purse or Purse(told.per_day, clock=clock)
        self._waiting = 0
        self._down_until = 0.0

    async def hear(self, texts: Sequence[str]) -> list[Heard]:
        """What it says of each text."""
        read = await self._part(texts) if self._part else texts
        cost = len(read) * (self._price or 0.0)
        if why := self._hindered(cost):
            return [Heard(None, why)] * len(texts)
        self._waiting += 1
        self.purse.pay(cost)  # when it is asked: what it does before it fails is not free
        try:
            async with asyncio.timeout(self._told.seconds):
                found = await self._ask(read)
        except (Refused, Late) as error:  # another student, which has too much to do just now
            self.purse.take_back(cost)
            return [Heard(None, "late" if isinstance(error, Late) else "busy")] * len(texts)
        except TimeoutError:
            self._count(len(texts), cost)
            return self._failed(len(texts), "late")
        except Exception:  # of whatever kind: a teacher that fails is no reason to fail
            self._count(len(texts), cost)
            return self._failed(len(texts), "down")
        finally:
            self._waiting -= 1
        self._count(len(texts), cost)
        each = None if self._price is None else cost / len(texts)
        return [Heard(one, None if one is not None else "silent", each) for one in found]

    def _hindered(self, cost: float) -> Why | None:
        now = self._clock()
        if now < self._down_until:
            return "down"
        if self._waiting >= self._told.at_once:
            return "busy"
        return None if self.purse.holds(cost) else "budget"

    def _count(self, texts: int, cost: float) -> None:
        if self._paid:
            self._paid(texts, cost)

    def _failed(self, texts: int, why: Why) -> list[Heard]:
        self._down_until = self._clock() + _PAUSE_SECONDS
        return [Heard(None, why)] * texts
