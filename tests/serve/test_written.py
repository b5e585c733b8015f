"""What is written for a long text is what its passages say, with what stands between them; and it is counted."""

from __future__ import annotations

import asyncio
from typing import Any

from stillroom.runtime.runners import Written
from stillroom.tasks.text_to_text import TextToText
from tests.runtime.test_reading import reader
from tests.serve import lanes


def _said(text: str) -> list[Any]:
    async def ask() -> list[Any]:
        lane = lanes.lane(reader(TextToText(), words=2))
        request = lanes.request("/v1/chat/completions")
        service = lanes.service(lane)
        pieces = service.write(request, lane, text, most=None, temperature=None, seed=0, stops=())
        found = [one async for one in pieces]
        assert service.meters.bill("toy").texts == 1
        return found

    return asyncio.run(ask())


def test_a_translation_keeps_what_stands_between_its_sentences() -> None:
    *pieces, end = _said("One here.  Two there!\n\nAnd three")
    assert "".join(pieces) == "ONE HERE.  TWO THERE!\n\nAND THREE"
    assert len(pieces) == 3
    assert end == Written(ended=True, read=6, written=6)


def test_nothing_stands_around_it() -> None:
    *pieces, _ = _said("  One here.\n")
    assert "".join(pieces) == "ONE HERE."
