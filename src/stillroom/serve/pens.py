"""Texts that are written piece by piece, one at a time: who comes meanwhile waits, or is refused at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from typing import final

from stillroom.runtime.runners import Written
from stillroom.serve.batcher import Refused

#: A text as it is written, and at last how it ended.
Pieces = AsyncGenerator[str | Written, None]

_AT_FIRST = 0.2  # seconds that a text is supposed to take before one was written
_NEWS = 0.2  # of what a text takes is supposed of the next; the rest is what was supposed before
_SOONEST = 0.05  # seconds after which it pays to ask again


@final
class Pens:
    """Who writes when, of those who want texts of one student."""

    def __init__(
        self, *, queued: Callable[[int], None] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`queued`: told how many texts more are waiting than before, or fewer."""
        self._queued, self._clock = queued, clock
        self._pen = asyncio.Semaphore(1)
        self._since: float | None = None  # when the text that is being written was begun
        self._seconds = _AT_FIRST
        self.waiting = 0
        """Texts that are not begun yet."""

    @property
    def expected(self) -> float:
        """The seconds until a text that came now would be begun, by what those before it took."""
        if self._since is None:
            return self._seconds * self.waiting
        return self._seconds * self.waiting + max(self._seconds - (self._clock() - self._since), 0.0)

    async def begin(
        self, write: Callable[[], Generator[str, None, Written]], *, within_s: float
    ) -> tuple[Pieces, float]:
        """Begin with a text when it is its turn: its pieces, as a thread writes them, and the seconds that it waited.

        It is written no further when nobody listens any more; who listens slowly keeps nobody from writing.

        Raises:
            Refused: it would not be begun in time.
        """
        came = self._clock()
        if self.expected > within_s:
            raise Refused(retry_after=max(self.expected - within_s, _SOONEST))
        self._wait(1)
        try:
            async with asyncio.timeout(within_s):
                await self._pen.acquire()
        except TimeoutError:
            raise Refused(retry_after=max(self.expected, _SOONEST)) from None
        finally:
            self._wait(-1)
        self._since = self._clock()
        pieces, gone = asyncio.Queue[str | Written | Exception](), threading.Event()
        loop = asyncio.get_running_loop()

        def put(one: str | Written | Exception) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, one)

        loop.run_in_executor(None, _work, write, put, gone).add_done_callback(self._ended)
        return _heard(pieces, gone), self._since - came

    def _wait(self, more: int) -> None:
        self.waiting += more
        if self._queued:
            self._queued(more)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if self._since is not None:
            self._seconds += _NEWS * (self._clock() - self._since - self._seconds)
        self._since = None
        self._pen.release()


def _work(
    write: Callable[[], Generator[str, None, Written]],
    put: Callable[[str | Written | Exception], None],
    gone: threading.Event,
) -> None:
    """In a thread: put what is written, piece by piece, and at last how it ended, for as long as somebody listens."""
    try:
        writing = write()
        while not gone.is_set():
            put(next(writing))
    except StopIteration as ended:
        put(ended.value)
    except Exception as error:  # of whatever kind: it is raised where somebody listens
        put(error)


async def _heard(pieces: asyncio.Queue[str | Written | Exception], gone: threading.Event) -> Pieces:
    try:
        while True:
            one = await pieces.get()
            if isinstance(one, Exception):
                raise one
            yield one
            if isinstance(one, Written):
                return
    finally:
        gone.set()
