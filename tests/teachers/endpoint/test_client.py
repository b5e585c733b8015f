"""Everything that goes wrong with servers, and the cap that holds."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillroom.core import artifact, edit_tags, signals
from stillroom.core.errors import OutsideError
from stillroom.core.progress import Event
from stillroom.teachers.endpoint import client
from stillroom.teachers.endpoint.wording import Wording
from tests.conftest import LABELS
from tests.teachers.endpoint.scenes import (
    BAD,
    GOOD,
    KEY,
    WAYS,
    ask,
    endpoint,
    lines,
    of_way,
    opened,
    spent,
    texts,
    told,
)
from tests.teachers.endpoint.servers import serving

FAULTS = [
    "429 after 0",
    "429",
    "408",
    "500",
    "503 after 0.01",
    "hang",
    "cut connection",
    "broken",
    "foreign",
    "no usage",
]
#: What is wrong with a reply that came in time, and why there is no answer then.
NO_ANSWERS = [
    ("refusal", "logprobs", "refusal"),
    ("empty", "logprobs", "empty"),
    ("no logprobs", "logprobs", "no logprobs"),
    ("chatter", "logprobs", "unparseable"),
    ("refusal", "label", "refusal"),
    ("empty", "label", "empty"),
    ("cut", "label", "too long"),
    ("other label", "label", "unparseable"),
    ("chatter", "label", "unparseable"),
    ("refusal", "spans", "refusal"),
    ("empty", "spans", "empty"),
    ("cut", "spans", "too long"),
    ("chatter", "spans", "unparseable"),
    ("no spans", "spans", "unparseable"),
    ("misquoted", "spans", "misquoted"),
    ("refusal", "text", "refusal"),
    ("empty", "text", "empty"),
    ("cut", "text", "too long"),
    ("refusal", "corrections", "refusal"),
    ("empty", "corrections", "empty"),
    ("cut", "corrections", "too long"),
    ("rewritten", "corrections", "rewritten"),
    ("refusal", "generation", "refusal"),
    ("refusal in words", "generation", "refusal"),
    ("empty", "generation", "empty"),
]
MANY = edit_tags.TAGS.index("ending:>s")
#: What is said of `GOOD` and of `BAD`.
SAID = {
    "logprobs": [[1], [0]],
    "label": [[1], [0]],
    "spans": [[0, 3, 0, 0, 0, 0], [0] * 7],
    "text": [[f"about: {GOOD}"], [f"about: {BAD}"]],
    "corrections": [[0, 0, MANY, 0, 0, 0], [0, 0, MANY, 0, 0, 0, 0]],
    "generation": [[f" about: {GOOD}"], [f" about: {BAD}"]],
}


def patience(fault: str) -> float:
    """Seconds: short only where somebody waits for them, for a busy machine is slow too."""
    return 0.2 if fault == "hang" else 5.0


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("way", WAYS)
    def test_what_passes_is_tried_again_and_the_bill_is_never_below_the_server_s(
        self, tmp_path: Path, way: str, fault: str
    ) -> None:
        with serving(lambda number: fault if number == 1 else "") as server:
            line = of_way(way, server, tmp_path, timeout_seconds=patience(fault), concurrency=1)
            said = ask(line, [GOOD, BAD])
            again = 0 if fault == "no usage" else 1
            assert len(server.bodies) == 2 + again
            assert told(way, ask(line, [BAD, GOOD])) == told(way, said)[::-1]
            assert len(server.bodies) == 2 + again, "nobody is asked twice"
        assert told(way, said) == SAID[way]
        assert server.billed <= spent(tmp_path) <= Decimal(1)
        assert float(said["price"].sum()) == pytest.approx(float(spent(tmp_path)))
        if fault.startswith("429"):
            assert server.billed == spent(tmp_path), "nobody pays for being turned away"
        for line_ in lines(tmp_path):
            assert len(line_["request"]) == 64
            line_ |= (
                {} if way not in ("text", "corrections", "generation") else {"answer": ""}
            )  # what it wrote may repeat what it read
            assert not any(text in json.dumps(line_) for text in (GOOD, BAD))

    @pytest.mark.parametrize(
        ("fault", "way"),
        [
            *itertools.product(FAULTS, WAYS),
            *((fault, way) for fault, way, _ in NO_ANSWERS),
            ("repeated", "spans"),
            ("cut", "generation"),
        ],
    )
    def test_the_cap_holds_whatever_a_server_does(self, tmp_path: Path, fault: str, way: str) -> None:
        """Every second request goes wrong, until there is no money left."""
        cap = "0.004" if way == "spans" else "0.002"
        haste = {"timeout_seconds": patience(fault), "attempts": 50}
        with serving(lambda number: fault if number % 2 else "") as server:
            line = of_way(way, server, tmp_path, max_spend=float(cap), template_tokens=64, **haste)
            with pytest.raises(OutsideError, match="max_spend") as caught:
                ask(line, texts(70))
        assert caught.value.exit_code == 4
        assert 0 < server.billed <= spent(tmp_path) <= Decimal(cap)
        known = [line for line in lines(tmp_path) if line.get("usage")]
        presumed = spent(tmp_path) - sum((Decimal(line["cost"]) for line in known), Decimal(0))
        assert f"({float(presumed):g} of it presumed" in str(caught.value)

    def test_a_server_s_wish_to_wait_is_honoured_by_all(self, tmp_path: Path) -> None:
        moments: list[float] = []

        def plan(number: int) -> str:
            moments.append(time.monotonic())
            return "429 after 0.15" if number == 0 else ""

        with serving(plan) as server:
            ask(opened(endpoint(server, concurrency=1), tmp_path), texts(2))
        assert moments[1] - moments[0] >= 0.15

    def test_a_wait_that_nobody_waits_for(self, tmp_path: Path) -> None:
        with (
            serving(lambda number: "429 after 86400") as server,
            pytest.raises(OutsideError, match="86,400 seconds"),
        ):
            ask(opened(endpoint(server), tmp_path), [GOOD])
        assert len(server.bodies) == 1

    @pytest.mark.parametrize("status", ["400", "401", "403", "404", "418"])
    def test_what_does_not_pass_ends_at_once_and_says_what_to_do(
        self, tmp_path: Path, status: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOME_KEY", KEY + "\n")
        teacher_of = {"api_key_env": "SOME_KEY", "concurrency": 1}
        with serving(lambda number: status) as server, pytest.raises(OutsideError, match=f"status {status}") as caught:
            ask(opened(endpoint(server, **teacher_of), tmp_path), [GOOD, BAD])
        assert len(server.bodies) == 1
        assert server.keys == [f"Bearer {KEY}"]
        assert all((one.where, one.found, one.expected, one.todo) for one in caught.value.problems)
        told = "".join(traceback.format_exception(caught.value))
        assert not any(secret in told for secret in (GOOD, BAD, KEY))
        assert spent(tmp_path) == 0

    def test_a_server_that_is_not_there(self, tmp_path: Path) -> None:
        with serving() as server:
            url = server.url
        with pytest.raises(
            OutsideError, match=rf"no answer in 3 attempts.*no connection \(text {artifact.text_id(GOOD)}"
        ):
            ask(opened(endpoint(url, attempts=3), tmp_path), [GOOD])
        assert spent(tmp_path) == 0

    def test_a_bill_beyond_what_was_reserved_is_told(self, tmp_path: Path) -> None:
        with serving(lambda number: "dear") as server, pytest.raises(OutsideError, match="template_tokens"):
            ask(opened(endpoint(server), tmp_path), [GOOD])
        assert server.billed == spent(tmp_path)

    def test_no_more_at_once_than_was_said(self, tmp_path: Path) -> None:
        with serving(patience=0.01) as server:
            ask(opened(endpoint(server, concurrency=3), tmp_path), texts(12))
        assert server.most_at_once == 3

    def test_inside_a_loop_that_runs_already(self, tmp_path: Path) -> None:
        async def notebook() -> dict[str, Any]:
            return ask(opened(endpoint(server), tmp_path), [GOOD])

        with serving() as server:
            assert asyncio.run(notebook())["logits"].argmax() == 1

    def test_a_notebook_that_is_stopped_sends_no_more(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Interrupted(Future[None]):
            def result(self, timeout: float | None = None) -> None:
                raise KeyboardInterrupt

        async def notebook() -> None:
            ask(opened(endpoint(server, concurrency=2), tmp_path), texts(40))

        monkeypatch.setattr("concurrent.futures.thread._base.Future", Interrupted)
        with serving(patience=0.01) as server, pytest.raises(KeyboardInterrupt):
            asyncio.run(notebook())
        assert len(server.bodies) <= 4


class TestNoAnswer:
    @pytest.mark.parametrize(("fault", "way", "why"), NO_ANSWERS)
    def test_it_is_counted_and_paid_for(self, tmp_path: Path, fault: str, way: str, why: str) -> None:
        events: list[Event] = []
        with serving(lambda number: fault if number == 1 else "") as server:
            line = of_way(way, server, tmp_path, events.append, concurrency=1)
            said = ask(line, [GOOD, BAD, GOOD + "!"])
            assert ask(line, [BAD])[signals.UNANSWERED].tolist() == [why], "a reply without an answer is a reply"
        assert said[signals.UNANSWERED].tolist() == ["", why, ""]
        assert len(server.bodies) == 3
        assert server.billed == spent(tmp_path)
        assert f"no answer: {why} 1" in [event.note for event in events]

    def test_a_model_that_never_answers_is_not_asked_on(self, tmp_path: Path) -> None:
        with serving(lambda number: "chatter") as server, pytest.raises(OutsideError, match="unparseable 20"):
            ask(opened(endpoint(server, concurrency=1), tmp_path), texts(60))
        assert len(server.bodies) == 20


class Bank:
    """A client that answers after a while drawn by chance, or not at all, and knows what was really billed."""

    def __init__(self, plan: Sequence[tuple[str, int, int]], *, cap: Decimal, books: Path) -> None:
        self._plan, self._cap, self._books = iter(plan), cap, books
        self.billed, self.sent, self.synced = Decimal(0), 0, 0

    async def post(self, url: str, *, content: bytes) -> httpx.Response:
        fault, steps, tokens = next(self._plan, ("", 0, 1))
        self.sent += 1
        written = lines(self._books)
        assert sum(line["event"] == "reserve" for line in written) >= self.sent, "put aside before it is sent"
        assert self.synced >= len(written), "and on disk"
        if fault == "down":
            raise httpx.ConnectError("no")
        if fault == "429":
            return httpx.Response(429)
        usage = {"prompt_tokens": tokens, "completion_tokens": 1}
        self.billed += (Decimal(tokens) + 10) / 10**6
        assert self.billed <= self._cap
        for _ in range(steps):
            await asyncio.sleep(0)
        if fault == "cut":
            raise httpx.ReadError("no")
        if fault == "500":
            return httpx.Response(500)
        choice = {
            "message": {"content": "A"},
            "logprobs": {"content": [{"top_logprobs": [{"token": "A", "logprob": 0}]}]},
        }
        reply = {"choices": [choice], **({} if fault == "no usage" else {"usage": usage})}
        return httpx.Response(200, content=b"{" if fault == "broken" else json.dumps(reply).encode())

    def sync(self, file: int) -> None:
        if os.path.samestat(os.fstat(file), next(self._books.glob("*.jsonl")).stat()):
            self.synced += 1

    async def __aenter__(self) -> Bank:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return


@settings(max_examples=30)
@given(
    plan=st.lists(st.tuples(st.sampled_from(["", "", "", "429", "500", "cut", "broken", "no usage", "down"]),
                            st.integers(0, 9), st.integers(1, 500)), max_size=40),
    cap=st.decimals("0.0005", "0.02", places=6),
    concurrency=st.integers(1, 9),
)  # fmt: skip
def test_the_cap_holds_at_every_moment(
    plan: list[tuple[str, int, int]], cap: Decimal, concurrency: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    books = tmp_path_factory.mktemp("books")
    bank = Bank(plan, cap=cap, books=books)
    teacher = endpoint("http://host/v1", max_spend=float(cap), concurrency=concurrency)
    capped = False
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "AsyncClient", lambda **given: bank)
        patch.setattr(os, "fsync", bank.sync)
        patch.setattr(client, "_FIRST_WAIT", 0.0)
        try:
            ask(opened(teacher, books), texts(12))
        except OutsideError as error:
            capped = "max_spend" in str(error)
        else:
            answered = [line for line in lines(books) if "answer" in line]
            assert len({line["request"] for line in answered}) == len(answered) == 12
    assert bank.billed <= spent(books) <= cap
    most = max(teacher.cost(Wording(teacher, LABELS).request(text).most_input_tokens, 1) for text in texts(12))
    assert not capped or spent(books) + most > cap, "as long as one more fits, the next is asked"
