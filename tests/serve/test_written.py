"""What is written for a long text is what its passages say, with what stands between them; and it is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from stillroom.runtime.runners import Written
from stillroom.serve.batcher import Late
from stillroom.serve.protocols import openai
from stillroom.serve.replies import Finished
from stillroom.tasks.text_to_text import TextToText
from tests.runtime.test_reading import reader
from tests.serve import lanes


def _said(text: str, **told: Any) -> list[Any]:
    async def ask() -> list[Any]:
        lane = lanes.lane(reader(TextToText(), words=2))
        request = lanes.request("/v1/chat/completions")
        service = lanes.service(lane, **told)
        pieces = service.write(request, lane, text, most=None, temperature=None, seed=0, stops=())
        found = [one async for one in pieces]
        assert service.meters.bill("toy").texts == 1
        return found

    return asyncio.run(ask())


def test_a_translation_keeps_what_stands_between_its_sentences() -> None:
    *pieces, end = _said("One here.  Two there!\n\nAnd three")
    assert "".join(pieces) == "ONE HERE.  TWO THERE!\n\nAND THREE"
    assert len(pieces) == 3
    assert end == Finished(Written(ended=True, read=6, written=6), {})


def test_nothing_stands_around_it() -> None:
    *pieces, _ = _said("  One here.\n")
    assert "".join(pieces) == "ONE HERE."


def test_what_was_done_to_it_is_told_at_its_end() -> None:
    flagging = {"detector": "personal", "action": "flag"}
    *_, end = _said("One here. Mail ann@example.org.", guard={"*": {"input": [flagging]}})
    assert [one["detector"] for one in end.notes["flags"]] == ["personal"]

    async def lines() -> list[bytes]:
        async def rest() -> AsyncIterator[Any]:
            yield end

        return [one async for one in openai._lines(rest(), "One", {}, form=openai._CHAT, usage=False)]

    first, last, _ = asyncio.run(lines())
    assert b"flags" not in first
    assert json.loads(last.removeprefix(b"data: "))["notes"] == end.notes


def test_what_goes_wrong_on_the_way_is_told_as_its_clients_know_it() -> None:
    async def lines() -> list[bytes]:
        async def rest() -> AsyncIterator[Any]:
            raise Late
            yield

        return [one async for one in openai._lines(rest(), "One", {}, form=openai._CHAT, usage=False)]

    _, last = asyncio.run(lines())
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "deadline"
