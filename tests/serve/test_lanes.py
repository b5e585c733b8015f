"""A student is let go once nobody uses it any more, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stillroom.serve import shelf as shelves
from stillroom.serve.batcher import Refused
from stillroom.tasks.proofreading import Proofreading
from tests.runtime.test_reading import reader
from tests.serve import lanes

LONG = "I saw teh cat. " * 100


def _renewed(monkeypatch: pytest.MonkeyPatch, service: Any, new: Any) -> Any:
    monkeypatch.setattr(shelves, "_opened", lambda *told, **more: new)
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
        assert new.predictor.characters == 0
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
