"""Nothing that was taken is lost or mixed up; what can't be in time is refused; what nobody waits for is not read."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.serve.batcher import Batcher, Late, Refused
from stillroom.serve.costs import Costs, Waits, bucket


class Reader:
    """A student that takes some time for a batch and remembers what it was given."""

    def __init__(
        self, *, per_text: float = 0.0, per_batch: float = 0.0, together: float = 0.0, poison: str | None = None
    ) -> None:
        self.batches: list[list[str]] = []
        self._per_text, self._per_batch, self._poison = per_text, per_batch, poison
        self._together = together
        self.go = threading.Event()
        self.go.set()

    def __call__(self, texts: list[str]) -> list[Any]:
        self.go.wait(5)
        self.batches.append(list(texts))
        if self._poison in texts:
            raise ValueError("can't read this")
        time.sleep(self._per_batch + self._per_text * len(texts) + self._together * (len(texts) > 1))
        return [text.upper() for text in texts]

    @property
    def read(self) -> list[str]:
        return [text for batch in self.batches for text in batch]


async def _ask(batcher: Batcher, texts: Sequence[str], **told: Any) -> list[Any]:
    return (await batcher.ask(texts, **told))[0]


def test_each_answer_is_of_the_length_that_is_wished_of_it() -> None:
    asked: list[Any] = []

    def answer(texts: list[str], *, length: Sequence[int | None] = ()) -> list[str]:
        asked.append(length)
        time.sleep(0.01)
        if "bad" in texts:
            raise ValueError
        return [text[:most] for text, most in zip(texts, length or [None] * len(texts), strict=True)]

    async def several() -> list[list[Any]]:
        batcher = Batcher(answer, deadline_s=60)
        batcher.warm(["a"], sizes=[1, 4])
        found = await asyncio.gather(
            _ask(batcher, ["first"], lengths=[1]), _ask(batcher, ["second", "third"], lengths=[None, 3]),
            _ask(batcher, ["fourth"]), _ask(batcher, ["fifth"], lengths=[2]),
            _ask(batcher, ["bad"], lengths=[1]), return_exceptions=True,
        )  # fmt: skip
        await batcher.close(within_s=5)
        return found[:4]

    assert asyncio.run(several()) == [["f"], ["second", "thi"], ["fourth"], ["fi"]]
    assert max(map(len, asked)) > 2, "several of them together"


@settings(max_examples=25)
@given(
    requests=st.lists(st.lists(st.text(max_size=200), max_size=12), min_size=1, max_size=12),
    lanes=st.integers(1, 3),
    by_length=st.booleans(),
)
def test_each_request_gets_its_own_answers_in_order(requests: list[list[str]], lanes: int, by_length: bool) -> None:
    reader = Reader()

    async def all_of_them() -> list[list[Any]]:
        batcher = Batcher(reader, deadline_s=60, lanes=lanes, by_length=by_length)
        found = await asyncio.gather(*(_ask(batcher, one) for one in requests))
        await batcher.close(within_s=1)
        return list(found)

    assert asyncio.run(all_of_them()) == [[text.upper() for text in one] for one in requests]
    assert sorted(reader.read) == sorted(text for one in requests for text in one)


def test_texts_that_wait_are_read_together() -> None:
    reader = Reader()

    async def crowd() -> None:
        batcher = Batcher(reader, deadline_s=60)
        batcher.costs.learn(0, 1, 0.010)
        batcher.costs.learn(0, 8, 0.012)  # a batch costs, a text hardly
        await asyncio.gather(*(_ask(batcher, [f"text {place}"]) for place in range(20)))

    asyncio.run(crowd())
    assert len(reader.batches[0]) == 1  # nobody waits for company
    assert max(map(len, reader.batches)) >= 10


def test_texts_that_cost_more_together_are_read_one_by_one() -> None:
    reader = Reader(per_text=0.001, together=0.02)

    async def crowd() -> None:
        batcher = Batcher(reader, deadline_s=60)
        batcher.costs.learn(0, 1, 0.001)
        batcher.costs.learn(0, 8, 0.020)
        await asyncio.gather(*(_ask(batcher, [f"text {place}"]) for place in range(20)))

    asyncio.run(crowd())
    assert {len(batch) for batch in reader.batches} == {1}


def test_short_requests_pass_a_long_one() -> None:
    reader = Reader(per_text=0.002)
    ends: dict[str, float] = {}

    async def timed(batcher: Batcher, name: str, texts: list[str]) -> None:
        await batcher.ask(texts)
        ends[name] = time.monotonic()

    async def crowd() -> None:
        batcher = Batcher(reader, deadline_s=60)
        batcher.warm(["warm"], sizes=(1, 4))
        long = asyncio.create_task(timed(batcher, "long", [f"long {place}" for place in range(300)]))
        await asyncio.sleep(0.02)
        await timed(batcher, "short", ["short"])
        await long

    asyncio.run(crowd())
    assert ends["short"] < ends["long"]
    assert reader.read.index("short") < 200  # well before the long one's end


def test_what_cannot_be_in_time_is_refused_at_once_and_the_rest_is_in_time() -> None:
    reader = Reader(per_text=0.01)
    late: list[float] = []
    waits: list[float] = []

    async def crowd() -> tuple[int, int]:
        batcher = Batcher(reader, deadline_s=0.1)
        batcher.warm(["warm"], sizes=(1, 4))
        refused = 0

        async def one(place: int) -> int:
            begun = time.monotonic()
            try:
                await batcher.ask([f"text {place}"])
            except Refused as error:
                waits.append(error.retry_after)
                return 1
            except Late:
                return 1
            late.append(time.monotonic() - begun)
            return 0

        refused = sum(await asyncio.gather(*(one(place) for place in range(60))))
        return refused, len(late)

    refused, answered = asyncio.run(crowd())
    assert refused + answered == 60
    assert waits
    assert min(waits) > 0
    assert 3 <= answered <= 20  # ten fit into the deadline
    assert len(reader.read) - 6 <= answered + 2  # what was refused was never read (six warmed it)


def test_without_room_for_it_a_lone_request_is_taken_all_the_same() -> None:
    reader = Reader(per_text=0.005)

    async def alone() -> list[Any]:
        batcher = Batcher(reader, deadline_s=0.001)
        batcher.warm(["warm"], sizes=(1, 4))
        return await _ask(batcher, [f"text {place}" for place in range(8)])

    assert len(asyncio.run(alone())) == 8


def test_what_nobody_waits_for_is_not_read() -> None:
    reader = Reader()
    reader.go.clear()

    async def given_up() -> None:
        batcher = Batcher(reader, deadline_s=60)
        first = asyncio.create_task(_ask(batcher, ["first"]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(_ask(batcher, ["second"]))
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.sleep(0)
        reader.go.set()
        await first
        await batcher.close(within_s=1)

    asyncio.run(given_up())
    assert reader.read == ["first"]


def test_what_is_late_is_not_read_and_told() -> None:
    reader = Reader()
    reader.go.clear()

    async def late() -> None:
        batcher = Batcher(reader, deadline_s=60)
        first = asyncio.create_task(_ask(batcher, ["first"]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(_ask(batcher, ["second"], deadline_s=0.02))
        await asyncio.sleep(0.05)
        reader.go.set()
        await first
        with pytest.raises(Late):
            await second

    asyncio.run(late())
    assert reader.read == ["first"]


def test_a_text_that_cannot_be_read_fails_its_own_request_alone() -> None:
    reader = Reader(poison="poison")
    reader.go.clear()

    async def crowd() -> list[Any]:
        batcher = Batcher(reader, deadline_s=60)
        batcher.costs.learn(0, 1, 0.010)
        batcher.costs.learn(0, 8, 0.012)
        asked = [_ask(batcher, [text]) for text in ("first", "good", "poison", "fine")]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0.02)
        reader.go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(crowd())
    assert [isinstance(one, ValueError) for one in found] == [False, False, True, False]
    assert found[1] == ["GOOD"]


def test_closing_finishes_what_was_taken_and_takes_nothing_more() -> None:
    reader = Reader(per_text=0.002)

    async def close() -> list[Any]:
        batcher = Batcher(reader, deadline_s=60)
        asked = asyncio.create_task(_ask(batcher, [f"text {place}" for place in range(20)]))
        await asyncio.sleep(0.005)
        closing = asyncio.create_task(batcher.close(within_s=5))
        await asyncio.sleep(0)
        with pytest.raises(Refused):
            await batcher.ask(["more"])
        await closing
        return await asked

    assert len(asyncio.run(close())) == 20


@given(st.lists(st.integers(1, 40), min_size=3, max_size=30), st.floats(1e-5, 1e-2), st.floats(0, 1e-2))
def test_a_line_is_learned_as_numpy_fits_it(sizes: list[int], slope: float, height: float) -> None:
    costs = Costs(most=64)
    for size in sizes:
        costs.learn(2, size, slope * size + height)
    if len(set(sizes)) > 1:
        fitted = np.polyfit(sizes, [slope * size + height for size in sizes], 1)
        for size in (1, 10, 64):
            assert costs.expected(2, size) == pytest.approx(max(np.polyval(fitted, size), 0), rel=1e-3, abs=1e-6)
    assert 1 <= costs.choose(2, 7, most_seconds=1.0) <= 7


def test_a_bucket_never_seen_costs_as_its_neighbour_does_stretched() -> None:
    costs = Costs(most=64)
    assert costs.expected(3, 5) == 0
    costs.learn(1, 1, 0.01)
    assert costs.expected(3, 1) == pytest.approx(0.04)


@given(st.text(max_size=5000))
def test_longer_texts_are_in_no_lower_bucket(text: str) -> None:
    assert 0 <= bucket(text) <= bucket(text + "x") <= bucket(text) + 1


def test_what_a_queue_makes_wait_is_learned_from_what_it_did() -> None:
    rng = np.random.default_rng(0)
    waits = Waits(most=1.0)
    assert waits.expected(0.05) == 0.05
    for expected in rng.uniform(0, 0.1, size=400):
        waits.learn(expected, 1.5 * expected + 0.004 + rng.normal(0, 0.001))
    assert waits.expected(0.08) == pytest.approx(1.5 * 0.08 + 0.004, rel=0.03)
    for _ in range(400):  # nobody waits now, and what little there is says nothing of long queues
        waits.learn(rng.uniform(1e-4, 2e-4), 1e-3 + rng.normal(0, 1e-4))
    assert 0.1 <= waits.expected(0.1) <= 0.1 * 4 + 0.0015
    for expected in rng.uniform(0, 0.1, size=400):  # never less than the batches take
        waits.learn(expected, 0.5 * expected)
    assert waits.expected(0.1) >= 0.1


def test_of_a_queue_that_takes_longer_than_its_batches_less_is_taken() -> None:
    """As where a process refuses many others meanwhile, or a machine is shared."""
    reader = Reader()
    reader.go.clear()

    async def taken(slope: float) -> int:
        batcher = Batcher(reader, deadline_s=0.2, clock=lambda: 0.0)
        for size in (1, 2, 3):
            batcher.costs.learn(bucket("a"), size, 0.004 * size)
        for expected in np.linspace(0, 0.2, 50):
            batcher._waits.learn(expected, slope * expected)
        jobs = []
        with contextlib.suppress(Refused):
            while len(jobs) < 1000:
                jobs.append(batcher.submit(["a"]))
        reader.go.set()
        await asyncio.gather(*(one.done for one in jobs))
        reader.go.clear()
        await batcher.close(within_s=5)
        return len(jobs)

    assert asyncio.run(taken(1.0)) == pytest.approx(0.8 * 0.2 / 0.004, abs=2)
    assert asyncio.run(taken(2.0)) == pytest.approx(0.8 * 0.2 / 0.004 / 2, abs=2)
