"""What several workers measure is told as one."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from stillroom.runtime.deferral import Prices
from stillroom.runtime.runners import Written
from stillroom.serve.batcher import Batcher, Refused
from stillroom.serve.meters import SHARED, Bill, Meters
from stillroom.serve.service import TOLD, gist
from stillroom.tasks.classification import Classification
from stillroom.tasks.proofreading import Proofreading
from stillroom.tasks.text_to_text import TextToText
from tests.runtime.test_reading import reader
from tests.serve import lanes

PRICES = Prices(teacher=2e6, student=1e6, currency="EUR")

WORKER = """
import json, sys
from dataclasses import asdict
from stillroom.runtime.deferral import Prices
from stillroom.serve.meters import Meters

meters = Meters()
meters.asked("toy", 3, prices=Prices(teacher=2e6, student=1e6, currency="EUR"))
meters.paid("toy", 1, 2.0, currency="EUR")
meters.asked("other", 7, prices=Prices())
meters.waiting("toy", 3)
meters.ready(True)
print(json.dumps([asdict(meters.bill("toy")), meters.read().decode()]))
"""


def _worker(folder: Path) -> tuple[Bill, str]:
    environment = {**os.environ, SHARED: str(folder)}
    told = subprocess.run([sys.executable, "-c", WORKER], env=environment, capture_output=True, text=True, check=True)
    bill, read = json.loads(told.stdout)
    return Bill(**bill), read


def test_the_bill_is_that_of_all_workers_also_of_those_that_died(tmp_path: Path) -> None:
    assert _worker(tmp_path)[0] == Bill(texts=3, escalated=1, spent=5.0, whole=6.0)
    assert list(tmp_path.glob("gauge_live*"))
    bill, read = _worker(tmp_path)
    assert 'stillroom_waiting_texts{model="toy"} 3.0' in read, "who died has no queue"
    assert bill == Bill(texts=6, escalated=2, spent=10.0, whole=12.0)
    assert 'stillroom_spent_total{currency="EUR",model="toy",whom="teacher"} 4.0' in read
    assert 'stillroom_teacher_for_everything_total{currency="EUR",model="toy"} 12.0' in read


def test_a_bill_is_of_one_student_and_knows_no_price_that_nobody_knows() -> None:
    meters = Meters()
    meters.asked("toy", 3, prices=PRICES)
    meters.asked("other", 7, prices=Prices())
    assert meters.bill("toy") == Bill(texts=3, escalated=0, spent=3.0, whole=6.0)
    assert meters.bill("other") == Bill(texts=7, escalated=0, spent=0.0, whole=0.0)
    assert meters.bill("nobody") == Bill(0, 0, 0.0, 0.0)


def test_what_waits_is_told_as_it_comes_and_goes() -> None:
    meters = Meters()
    seen: list[float] = []

    def queued(more: int) -> None:
        meters.waiting("toy", more)
        seen.append(meters._own.get_sample_value("stillroom_waiting_texts", {"model": "toy"}) or 0.0)

    async def run() -> None:
        student, free = reader(Proofreading()), threading.Event()

        def predict(texts: Any) -> Any:
            free.wait(10)
            return student.predict(texts)

        batcher = Batcher(predict, deadline_s=60, queued=queued)
        asking = [asyncio.create_task(batcher.ask(["a"])) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert seen[-1] == batcher.waiting == 4
        free.set()
        await asyncio.gather(*asking)
        assert seen[-1] == batcher.waiting == 0

    asyncio.run(run())


def test_a_stream_is_counted_and_noted_as_what_is_told_at_once() -> None:
    async def run() -> None:
        lane = lanes.lane(reader(Classification(labels=("a", "b"))))
        service = lanes.service(lane, log="all")
        request = lanes.request()
        assert [one async for one in service.parts(request, "the secret of Mrs Dalloway", model="toy")]
        assert request.scope[TOLD] == gist(["the secret of Mrs Dalloway"])
        for name in ("texts_total", "answer_seconds_count", "queue_seconds_count", "score_count"):
            assert service.meters._own.get_sample_value(f"stillroom_{name}", {"model": "toy"}) == 1.0, name

    asyncio.run(run())


def test_what_is_written_is_counted_and_noted_too() -> None:
    def pen(text: str, **told: Any) -> Generator[str, None, Written]:
        yield "word"
        return Written(ended=True, read=1, written=1)

    async def run(pen: Any) -> None:
        lane = lanes.lane(reader(TextToText()), pen=pen)
        service, request = lanes.service(lane, log="all"), lanes.request("/v1/completions")
        pieces = service.write(request, lane, "One here.", most=None, temperature=None, seed=0, stops=())
        assert [one async for one in pieces]
        assert request.scope[TOLD]["characters"] == 9
        for name in ("texts_total", "answer_seconds_count", "queue_seconds_count"):
            assert service.meters._own.get_sample_value(f"stillroom_{name}", {"model": "toy"}) == 1.0, name

    asyncio.run(run(None))
    asyncio.run(run(pen))


def test_whose_requests_were_refused_or_late_is_known() -> None:
    async def run() -> None:
        lane = lanes.lane(reader(Proofreading()))
        service = lanes.service(lane)
        await lane.batcher.close(within_s=0)
        for ask in (
            service.ask(lanes.request(), ["a"], model="toy"),
            anext(service.parts(lanes.request(), "a", model="toy")),
        ):
            with pytest.raises(Refused):
                await ask
        read = service.meters.read().decode()
        assert 'stillroom_model_shed_total{code="overloaded",model="toy"} 2.0' in read

    asyncio.run(run())
