"""A student is let go once nobody uses it any more, and not before."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from stillroom.runtime.deferral import Prices
from stillroom.serve import app
from stillroom.serve import shelf as shelves
from stillroom.serve.batcher import Refused
from stillroom.serve.escalation import Behind
from stillroom.tasks.proofreading import Proofreading
from tests.runtime.test_reading import reader
from tests.serve import lanes

LONG = "I saw teh cat. " * 100


def _renewed(monkeypatch: pytest.MonkeyPatch, service: Any, new: Any) -> Any:
    def opened(*told: Any, **more: Any) -> Any:
        if isinstance(new, Exception):
            raise new
        return new

    monkeypatch.setattr(shelves, "_opened", opened)
    monkeypatch.setattr(shelves, "_stamp", lambda path: "changed")
    return service.shelf.renew()


def test_a_text_that_is_being_told_is_told_to_its_end_by_whoever_began(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        old, new = (lanes.lane(reader(Proofreading(), words=4), version=one * 12) for one in "ab")
        service = lanes.service(old)
        parts = service.parts(lanes.request(), LONG, model="toy")
        told = [await anext(parts)]
        await _renewed(monkeypatch, service, new)
        assert service.shelf.find("toy") is new
        await asyncio.sleep(0.05)
        told += [one async for one in parts]
        assert len(told) > 50
        assert told[-1].as_dict()["corrected"] == LONG.replace("teh", "the")
        assert not new.predictor.asked  # type: ignore[attr-defined]  # a student by rule
        await asyncio.sleep(0.05)
        with pytest.raises(Refused):  # now it is let go
            old.batcher.submit(["a"])
        assert not service.shelf._retired

    asyncio.run(run())


def test_one_that_nobody_uses_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        old, new = (lanes.lane(reader(Proofreading()), version=one * 12) for one in "ab")
        service = lanes.service(old)
        await _renewed(monkeypatch, service, new)
        await asyncio.sleep(0.05)
        with pytest.raises(Refused):
            old.batcher.submit(["a"])

    asyncio.run(run())


def test_who_leaves_in_the_middle_holds_it_no_longer() -> None:
    async def run() -> None:
        lane = lanes.lane(reader(Proofreading(), words=4))
        parts: Any = lanes.service(lane).parts(lanes.request(), LONG, model="toy")
        await anext(parts)
        assert not lane.free.is_set()
        await parts.aclose()
        assert lane.free.is_set()

    asyncio.run(run())


@pytest.mark.parametrize("error", [ValueError("the secret of Mrs Dalloway"), KeyError("Dalloway"), MemoryError()])
def test_whatever_goes_wrong_with_a_new_one_the_old_one_stays(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(shelves.log, "error", lambda event, *, extra: told.append(extra["told"]))

    async def run() -> None:
        old = lanes.lane(reader(Proofreading()))
        service = lanes.service(old)
        await _renewed(monkeypatch, service, error)
        assert service.shelf.find("toy") is old
        assert service.shelf.troubles == {"toy": type(error).__name__}
        assert "Dalloway" not in str(told)

    asyncio.run(run())


def test_the_watcher_outlives_whatever_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        old, new = (lanes.lane(reader(Proofreading()), version=one * 12) for one in "ab")
        service = lanes.service(old, watch_seconds=0.01)
        await _renewed(monkeypatch, service, ValueError())
        old.stamp = "older"  # it will look, and fail, once more
        watcher = asyncio.create_task(service.shelf._watch())
        await asyncio.sleep(0.1)
        assert not watcher.done()
        assert service.shelf.troubles
        monkeypatch.setattr(shelves, "_opened", lambda *told, **more: new)
        monkeypatch.setattr(shelves, "_stamp", lambda path: "changed again")
        await asyncio.sleep(0.1)
        assert service.shelf.find("toy") is new
        assert not service.shelf.troubles
        watcher.cancel()

    asyncio.run(run())


def test_told_to_look_it_looks_again_after_it_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        old, new = (lanes.lane(reader(Proofreading()), version=one * 12) for one in "ab")
        service = lanes.service(old)
        await _renewed(monkeypatch, service, ValueError())
        old.stamp = "older"
        looking = app._on_hup(service)
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.1)
            assert service.shelf.troubles
            assert not looking.done()
            monkeypatch.setattr(shelves, "_opened", lambda *told, **more: new)
            monkeypatch.setattr(shelves, "_stamp", lambda path: "changed again")
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.1)
            assert service.shelf.find("toy") is new
        finally:
            looking.cancel()

    asyncio.run(run())


def test_what_was_spent_stays_spent_when_a_student_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        behind, prices = Behind(who="big", per_day=6.0), Prices(teacher=1e6, student=0.5e6, currency="EUR")
        old, new = (lanes.lane(reader(Proofreading()), version=one * 12, behind=behind, prices=prices) for one in "ab")
        big = lanes.lane(reader(old.task), name="big", prices=prices)
        big.stamp = "changed"  # it is the other that changes
        service = lanes.service(old, big, workers=2)
        old.escalation = await service.shelf._behind(old)
        assert old.escalation is not None
        assert [one.why for one in await old.escalation.hear(["a"] * 4)] == [None] * 4  # 2.0 of the worker's 3.0
        before = service.meters.bill("toy")
        assert (before.escalated, before.spent) == (4, 2.0)
        await _renewed(monkeypatch, service, new)
        assert service.shelf.find("toy") is new
        assert new.escalation is not None
        assert [one.why for one in await new.escalation.hear(["a"] * 3)] == ["budget"] * 3
        assert [one.why for one in await new.escalation.hear(["a"] * 2)] == [None] * 2
        assert [one.why for one in await new.escalation.hear(["a"])] == ["budget"]
        told = service.meters.bill("toy")
        assert (told.escalated, told.spent) == (6, 3.0)

    asyncio.run(run())
