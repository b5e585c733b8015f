"""One text is written at a time: who has gone is not written for, and who would wait too long is refused at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest

from stillroom.runtime.runners import Written
from stillroom.serve.batcher import Late, Refused
from stillroom.serve.patience import Gone
from stillroom.serve.pens import Pens
from stillroom.serve.protocols import openai
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from tests.runtime.test_reading import reader
from tests.serve import lanes


class Pen:
    """Writes a word a moment."""

    def __init__(self, *, words: int, seconds: float = 0.01) -> None:
        self.words, self.seconds, self.written = words, seconds, 0

    def __call__(self, *told: Any, **more: Any) -> Generator[str, None, Written]:
        for _ in range(self.words):
            time.sleep(self.seconds)
            self.written += 1
            yield "word "
        return Written(ended=True, read=1, written=self.words)


async def _until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():
            await asyncio.sleep(0.005)


async def _said(pens: Pens, pen: Pen, *, within_s: float = 10.0) -> int:
    pieces, _ = await pens.begin(pen, within_s=within_s)
    return len([one async for one in pieces])


def test_who_has_gone_is_not_written_for() -> None:
    async def left() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def run() -> None:
        pen = Pen(words=1000)
        lane = lanes.lane(reader(TextToText()), pen=pen)
        service, asked = lanes.service(lane), openai.Complete(model="toy", prompt="a")
        request = lanes.request("/v1/completions", receive=left)
        with pytest.raises(Gone):
            await openai._write(service, request, asked, "a", most=None, form=openai._COMPLETION)
        assert await _said(lane.pens, Pen(words=1), within_s=1.0) == 2  # the pen is free
        assert pen.written < 100

    asyncio.run(run())


def test_who_reads_slowly_keeps_nobody_from_writing() -> None:
    async def run() -> None:
        pens = Pens()
        slow, _ = await pens.begin(Pen(words=3, seconds=0), within_s=1.0)
        await anext(slow)
        assert await _said(pens, Pen(words=1), within_s=1.0) == 2
        assert len([one async for one in slow]) == 3

    asyncio.run(run())


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    async def run() -> None:
        pens, end = Pens(), threading.Event()
        for _ in range(12):  # what a text takes is learned
            await _said(pens, Pen(words=1, seconds=0.1))

        def endless() -> Generator[str, None, Written]:
            yield "word"
            end.wait(10)
            return Written(ended=True, read=1, written=1)

        await pens.begin(endless, within_s=1.0)
        crowd = [asyncio.create_task(_said(pens, Pen(words=1, seconds=0), within_s=0.45)) for _ in range(20)]
        begun = time.monotonic()
        await _until(lambda: sum(one.done() for one in crowd) > 10)
        assert time.monotonic() - begun < 0.3, "they waited to be refused"
        waiting = pens.waiting
        assert 2 <= waiting <= 6
        end.set()
        found = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(isinstance(one, Refused) for one in found) == 20 - waiting
        assert found.count(2) == waiting
        assert pens.waiting == 0

    asyncio.run(run())


def test_who_waits_in_vain_or_goes_leaves_the_queue() -> None:
    async def run() -> None:
        pens, pen = Pens(), Pen(words=50)
        pieces, _ = await pens.begin(pen, within_s=1.0)
        with pytest.raises(Refused):
            await _said(pens, Pen(words=1), within_s=0.2)
        waits = asyncio.create_task(_said(pens, Pen(words=1), within_s=5.0))
        await _until(lambda: pens.waiting == 1)
        waits.cancel()
        await _until(lambda: pens.waiting == 0)
        await anext(pieces)
        await pieces.aclose()
        assert await _said(pens, Pen(words=1), within_s=1.0) == 2
        assert pen.written < 50

    asyncio.run(run())


def test_an_error_is_raised_where_somebody_listens_and_frees_the_pen() -> None:
    def broken() -> Generator[str, None, Written]:
        yield "word"
        raise ValueError("broken")

    async def run() -> None:
        pens = Pens()
        pieces, _ = await pens.begin(broken, within_s=1.0)
        with pytest.raises(ValueError, match="broken"):
            [one async for one in pieces]
        assert await _said(pens, Pen(words=1), within_s=1.0) == 2

    asyncio.run(run())


def test_a_stream_keeps_its_deadline() -> None:
    class Slow:
        def __init__(self, inside: Any) -> None:
            self._inside = inside

        def __call__(self, texts: Any) -> Any:
            time.sleep(0.1)
            return self._inside(texts)

    async def told(found: list[Any], **deadline: Any) -> None:
        student = reader(Proofreading(), words=4)
        student.predict = Slow(student.predict)
        service = lanes.service(lanes.lane(student))
        async for one in service.parts(lanes.request(), "I saw teh cat. " * 200, model="toy", **deadline):
            found.append(one)

    some: list[Any] = []
    with pytest.raises(Late):
        asyncio.run(told(some, deadline_s=0.25))
    every: list[Any] = []
    asyncio.run(told(every))
    assert 0 < len(some) < len(every)
