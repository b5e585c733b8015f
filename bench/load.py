"""Loads a server over HTTP: arrivals that don't wait for answers, timed from when they were due; or one after another.

A client that waits for an answer before it asks again never sees the queue that others would stand in. Here requests
are due by a schedule that was drawn before (Poisson); a request that can't be sent in time, because the server or the
machine stood still, has waited all the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import httptools
import numpy as np
from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 120_000_000, 3


@dataclass
class Told:
    """What became of the requests."""

    seconds: float
    offered: int
    statuses: dict[int, int] = field(default_factory=dict)
    histogram: HdrHistogram = field(default_factory=lambda: HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS))
    good: int = 0
    """Answered with 200 within the limit."""

    def percentile_ms(self, share: float) -> float:
        """Of the answers with 200, in milliseconds."""
        return float(self.histogram.get_value_at_percentile(share)) / 1e3

    @property
    def answered(self) -> int:
        """With 200."""
        return self.statuses.get(200, 0)

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds


class _Line(asyncio.Protocol):
    """A connection that carries one request at a time."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._due = 0.0
        self.answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    @property
    def open(self) -> bool:
        """Whether it can carry another one."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due then."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        alive = self._parser.should_keep_alive()
        self._parser = httptools.HttpResponseParser(self)
        self._pool.done(self, status, self._due, alive=alive)

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.lost(self, self._due)
        self._due = 0.0

    def hang_up(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def idle(self) -> None:
        """It carries nothing now."""
        self._due = 0.0


class _Pool:
    """Connections, and what came back over them."""

    def __init__(self, port: int, *, limit_s: float) -> None:
        self._port, self._limit_s = port, limit_s
        self._free: deque[_Line] = deque()
        self._every: set[_Line] = set()
        self.told = Told(0.0, 0)
        self.open = 0
        self.first = self.last = 0.0

    async def line(self) -> _Line:
        while self._free:
            return self._free.pop()
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: _Line(self), "127.0.0.1", self._port)
        self._every.add(line)
        return line

    def hang_up(self) -> None:
        """Close all of them: lines that lie about would count as open ones in the next measurement."""
        for line in tuple(self._every):
            line.hang_up()

    def done(self, line: _Line, status: int, due: float, *, alive: bool) -> None:
        now = time.perf_counter()
        took = now - due
        self.told.statuses[status] = self.told.statuses.get(status, 0) + 1
        if status == 200:
            self.told.histogram.record_value(min(max(int(took * 1e6), _LOWEST_US), _HIGHEST_US))
            self.told.good += took <= self._limit_s
        self.open -= 1
        self.last = now
        line.idle()
        if line.answered:
            line.answered.set_result(None)
        elif alive:
            self._free.append(line)

    def lost(self, line: _Line, due: float) -> None:
        self._every.discard(line)
        if line in self._free:
            self._free.remove(line)
        if due:
            self.told.statuses[0] = self.told.statuses.get(0, 0) + 1
            self.open -= 1
        if line.answered and not line.answered.done():
            line.answered.set_result(None)


def requests_of(path: str, bodies: Sequence[bytes]) -> list[bytes]:
    """Requests as they go over the line."""
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: "
    return [head.encode() + str(len(one)).encode() + b"\r\n\r\n" + one for one in bodies]


async def poisson(
    port: int, requests: Sequence[bytes], *, per_second: float, seconds: float, limit_s: float, seed: int
) -> Told:
    """Requests that come by chance, so many a second, whether or not earlier ones were answered."""
    pool = _Pool(port, limit_s=limit_s)
    rng = np.random.default_rng(seed)
    dues = np.cumsum(rng.exponential(1 / per_second, size=int(per_second * seconds * 1.2) + 10))
    dues = dues[dues < seconds]
    start = time.perf_counter() + 0.05
    connecting: set[asyncio.Task[None]] = set()

    async def late(request: bytes, due: float) -> None:
        try:
            (await pool.line()).send(request, due)
        except OSError:
            pool.told.statuses[0] = pool.told.statuses.get(0, 0) + 1
            pool.open -= 1

    for place, after in enumerate(dues.tolist()):
        due = start + after
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        elif place % 8 == 0:
            await asyncio.sleep(0)  # behind, it still reads answers
        pool.open += 1
        request = requests[place % len(requests)]
        if pool._free:
            pool._free.pop().send(request, due)
        else:
            task = asyncio.create_task(late(request, due))
            connecting.add(task)
            task.add_done_callback(connecting.discard)
    until = time.perf_counter() + 30
    while pool.open > 0 and time.perf_counter() < until:
        await asyncio.sleep(0.01)
    pool.told.seconds, pool.told.offered = seconds, len(dues)
    pool.hang_up()
    await asyncio.sleep(0.05)
    return pool.told


async def closed(port: int, requests: Sequence[bytes], *, clients: int, seconds: float, limit_s: float) -> Told:
    """Clients who each ask again when they were answered: what a server does at most, and nothing about waiting."""
    pool = _Pool(port, limit_s=limit_s)
    start = time.perf_counter()

    async def client(number: int) -> int:
        line, sent = await pool.line(), 0
        while time.perf_counter() - start < seconds:
            pool.open += 1
            answered = line.answered = asyncio.get_running_loop().create_future()
            if not line.open:
                line = await pool.line()
                line.answered = answered
            line.send(requests[(number + sent * clients) % len(requests)], time.perf_counter())
            await answered
            sent += 1
        return sent

    sent = await asyncio.gather(*(client(number) for number in range(clients)))
    pool.told.seconds, pool.told.offered = time.perf_counter() - start, sum(sent)
    pool.hang_up()
    await asyncio.sleep(0.05)
    return pool.told


async def together(port: int, requests: Sequence[bytes], *, size: int, seconds: float) -> Told:
    """So many at once, and again when all are answered: each time counts as one, by the last answer."""
    pool = _Pool(port, limit_s=np.inf)
    whole = Told(0.0, 0)
    lines = [await pool.line() for _ in range(size)]
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        begun, waiting = time.perf_counter(), []
        for place, line in enumerate(lines):
            line.answered = loop.create_future()
            waiting.append(line.answered)
            line.send(requests[(whole.offered * size + place) % len(requests)], begun)
        pool.open += size
        await asyncio.gather(*waiting)
        whole.offered += 1
        whole.histogram.record_value(max(int((time.perf_counter() - begun) * 1e6), _LOWEST_US))
    whole.seconds, whole.statuses = time.perf_counter() - start, pool.told.statuses
    pool.hang_up()
    await asyncio.sleep(0.05)
    return whole
