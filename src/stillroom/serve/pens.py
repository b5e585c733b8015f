"""Texts that are written piece by piece, one at a time, in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator

from stillroom.runtime.runners import Written
from stillroom.serve.batcher import Refused

#: A text as it is written, and at last how it ended.
Pieces = AsyncGenerator[str | Written, None]


@contextlib.asynccontextmanager
async def turn(pens: asyncio.Semaphore, *, within_s: float) -> AsyncIterator[None]:
    """One of the pens, or a refusal."""
    try:
        await asyncio.wait_for(pens.acquire(), within_s)
    except TimeoutError:
        raise Refused(retry_after=within_s) from None
    try:
        yield
    finally:
        pens.release()


async def written(begin: Callable[[], Generator[str, None, Written]]) -> Pieces:
    """What a generator yields and at last returns, which works in a thread of its own and ends when nobody listens."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[str | Written | Exception]()
    gone = threading.Event()

    def work() -> None:
        def put(one: str | Written | Exception) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, one)

        writing = begin()
        try:
            while not gone.is_set():
                put(next(writing))
        except StopIteration as ended:
            put(ended.value)
        except Exception as error:  # of whatever kind: it is raised where somebody listens
            put(error)

    task = loop.run_in_executor(None, work)
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
        await asyncio.shield(task)
