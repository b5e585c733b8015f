"""A teacher behind an API: what is asked, what it costs, and everything that goes wrong with servers."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillroom import fitness, pipeline
from stillroom.core import artifact, plugins, recipe, signals
from stillroom.core.errors import ArtifactError, InputError, MismatchError, MissingExtra, OutsideError, RecipeError
from stillroom.core.progress import Event, silent
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk
from stillroom.teachers.endpoint import Endpoint, Line, client
from stillroom.teachers.endpoint.ledger import Ledger
from stillroom.teachers.endpoint.wording import Wording
from tests.conftest import LABELS, sentences, write_csv
from tests.teachers.servers import PRICES, Server, serving

TASK = Classification(labels=LABELS)
GOOD, BAD = "a warm film without a doubt", "a dull film from start to end"
KEY = "sk-secret-0123456789"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as people would, or goes through somebody's proxy."""
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.002)
    monkeypatch.setenv("NO_PROXY", "*")


def endpoint(server: Server | str, **settings: Any) -> Endpoint:
    url = server if isinstance(server, str) else server.url
    chosen = {"base_url": url, "model": "lab/tiny", "max_spend": 1.0, "timeout_seconds": 5.0, **PRICES, **settings}
    made: Endpoint = plugins.build("teachers", {"kind": "endpoint", **chosen})
    return made


def opened(teacher: Endpoint, books: Path, report: Callable[[Event], None] = silent) -> Line:
    line = teacher.open(Path("unused"), task=TASK, desk=Desk(books, report))
    assert isinstance(line, Line)
    return line


def ask(line: Line, texts: Sequence[str]) -> dict[str, Any]:
    return dict(line.ask(texts, precision="fp32", tokens_per_batch=1)[0])


def texts(count: int) -> list[str]:
    return [f"{text} {number}" for number, (text, _) in zip(range(count), sentences() * 9, strict=False)]


def lines(books: Path) -> list[dict[str, Any]]:
    (path,) = books.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spent(books: Path) -> Decimal:
    """What a book comes to, summed here by hand."""
    found: dict[int, Decimal] = {}
    for line in lines(books):
        found[line["serial"]] = Decimal(line["cost"] if line["event"] == "settle" else line["reserve"])
    return sum(found.values(), Decimal(0))


def journey(tmp_path: Path, teacher: Endpoint, **more: Any) -> dict[str, Any]:
    table = tmp_path / "toy.csv"
    if not table.exists():
        write_csv(table, sentences()[::13])
    return {
        "name": "toy",
        "task": {"kind": "classification", "labels": list(LABELS)},
        "corpus": {"kind": "table", "labelled": str(table), "dev_share": 0.2, "test_share": 0.3},
        "teacher": teacher.resolved(),
        "student": {"kind": "bag", "epochs": 1, "features": {"bits": 8}},
        "transfer": {"shard_rows": 12},
        **more,
    }


class TestWhatIsAsked:
    @pytest.mark.parametrize("api", ["chat", "completions"])
    def test_the_letters_of_the_first_token_become_logits(self, tmp_path: Path, api: str) -> None:
        with serving() as server:
            said = ask(opened(endpoint(server, api=api), tmp_path), [GOOD, BAD])
        expected = [math.exp(-4.0), math.exp(-0.5)]
        np.testing.assert_allclose(np.exp(said["logits"]), [expected, expected[::-1]], rtol=1e-5)
        body = next(one for one in server.bodies if GOOD in json.dumps(one))
        assert (body["temperature"], body["max_tokens"], body["seed"], body["model"]) == (0.0, 1, 0, "lab/tiny")
        asked = body["messages"][0]["content"] if api == "chat" else body["prompt"]
        assert "A. negative\nB. positive" in asked
        assert (body["logprobs"], body.get("top_logprobs")) == ((True, 20) if api == "chat" else (20, None))

    @pytest.mark.parametrize("api", ["chat", "completions"])
    def test_a_schema_holds_the_answer_to_a_label(self, tmp_path: Path, api: str) -> None:
        with serving() as server:
            said = ask(opened(endpoint(server, api=api, answers="label"), tmp_path), [GOOD, BAD])
        assert said["label"].tolist() == [1, 0]
        assert "logits" not in said
        schema = server.bodies[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["label"]["enum"] == list(LABELS)

    @pytest.mark.parametrize(
        ("top", "expected"),
        [
            ([("A", 0.6), ("B", 0.3), ("x", 0.1)], [0.6, 0.3]),
            ([("A", 0.5), (" A", 0.2), ("▁B", 0.1), ("\nB", 0.1)], [0.7, 0.2]),
            ([("A", 0.9), ("x", 0.06)], [0.9, 0.04]),  # what is left is all B's
            ([("A", 0.4), ("x", 0.2)], [0.4, 0.2]),  # and never more than the least that is told
            ([("A", 1.0)], [1.0, 1e-6]),
            ([("a", 0.9), ("Apple", 0.1)], "unparseable"),
            ([], "no logprobs"),
        ],
    )
    def test_what_the_top_leaves_goes_to_the_unseen(self, top: list[tuple[str, float]], expected: Any) -> None:
        told = [{"token": token, "logprob": math.log(share)} for token, share in top]
        choice = {"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": told}] if told else None}}
        reply = Wording(endpoint("http://host/v1"), LABELS).read({"choices": [choice]})
        if isinstance(expected, str):
            assert (reply.answer, reply.unanswered) == (None, expected)
        else:
            assert isinstance(reply.answer, list)
            np.testing.assert_allclose(np.exp(reply.answer), expected, rtol=1e-6)

    def test_a_text_can_not_open_the_prompt(self) -> None:
        request = Wording(endpoint("http://host/v1", prompt="{labels} | {text} | {answer}"), LABELS).request("{labels}")
        assert " | {labels} | " in json.loads(request.body)["messages"][0]["content"]

    @settings(max_examples=50)
    @example("\ufdfa" * 30)  # one letter of three bytes, and eighteen letters to some tokenizers
    @given(st.text(min_size=1, max_size=60))
    def test_a_prompt_is_never_longer_than_its_bound(self, text: str) -> None:
        text = text.encode("utf-8", "replace").decode()
        request = Wording(endpoint("http://host/v1", template_tokens=0), LABELS).request(text)
        asked = json.loads(request.body)["messages"][0]["content"]
        forms = (unicodedata.normalize("NFC", asked), unicodedata.normalize("NFD", asked),
                 unicodedata.normalize("NFKC", asked), unicodedata.normalize("NFKD", asked))  # fmt: skip
        assert max(len(form.encode()) for form in forms) <= request.most_input_tokens

    def test_whatever_decides_an_answer_makes_another_teacher_and_nothing_else_does(self) -> None:
        def voice(**changes: Any) -> str:
            line = endpoint("http://host/v1", **changes).open(Path(), task=TASK)
            return line.identify().weights

        same = {"max_spend": 2.0, "concurrency": 1, "attempts": 2, "timeout_seconds": 1.0, "licence": "MIT",
                "price_per_million_input_tokens": 9.0, "api_key_env": "KEY", "template_tokens": 9}  # fmt: skip
        assert {voice(**{name: one}) for name, one in same.items()} == {voice()}
        other = {"model": "b", "base_url": "http://other/v1", "api": "completions", "answers": "label", "max_tokens": 5,
                 "prompt": "{labels}{text}", "prompt_version": "2", "temperature": 0.5, "sampling_seed": 3,
                 "top_logprobs": 9}  # fmt: skip
        assert len({voice(), *(voice(**{name: one}) for name, one in other.items())}) == len(other) + 1

    def test_more_labels_than_letters(self) -> None:
        task = Classification(labels=tuple(f"label {number}" for number in range(27)))
        with pytest.raises(MismatchError, match="27 labels"):
            endpoint("http://host/v1").open(Path(), task=task)
        endpoint("http://host/v1", answers="label").open(Path(), task=task)


class TestSettings:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"api_key_env": KEY}, "never the key itself"),
            ({"base_url": f"https://user:{KEY}@host/v1"}, "without user, password or query"),
            ({"base_url": f"https://host/v1?key={KEY}"}, "without user, password or query"),
            ({"prompt": "{labels}"}, "`{text}` once"),
            ({"max_spend": math.inf}, "finite"),
            ({"price_per_million_input_tokens": -1.0}, "greater than or equal to 0"),
        ],
    )
    def test_what_can_not_be_is_refused_and_no_key_is_shown(self, settings: dict[str, Any], told: str) -> None:
        with pytest.raises(RecipeError, match=told) as caught:
            endpoint("http://host/v1", **settings)
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("missing", [*PRICES, "max_spend"])
    def test_nobody_spends_for_want_of_a_setting(self, missing: str) -> None:
        chosen = {"kind": "endpoint", "base_url": "http://host/v1", "model": "m", "max_spend": 1.0, **PRICES}
        del chosen[missing]
        with pytest.raises(RecipeError, match=missing):
            plugins.build("teachers", chosen)

    @pytest.mark.parametrize("key", [None, "", "two words", "schlüssel-0123"])
    def test_a_key_is_asked_for_when_it_is_needed(
        self, tmp_path: Path, key: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SOME_KEY", raising=False)
        if key is not None:
            monkeypatch.setenv("SOME_KEY", key)
        with serving() as server, pytest.raises(InputError, match="SOME_KEY") as caught:
            ask(opened(endpoint(server, api_key_env="SOME_KEY"), tmp_path), [GOOD])
        assert server.bodies == []
        assert not key or key not in "".join(traceback.format_exception(caught.value))

    def test_the_extra_is_missed_before_anything_starts(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        there = fitness.importlib.util.find_spec  # type: ignore[attr-defined]
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "httpx" else there(name))
        with pytest.raises(MissingExtra, match=r"stillroom\[api\]"):
            pipeline.run(recipe.parse(journey(tmp_path, endpoint("http://host/v1"))), work=tmp_path / "work")
        assert not (tmp_path / "work").exists()


FAULTS = ["429 after 0", "429", "500", "503 after 0.01", "hang", "cut connection", "broken", "foreign", "no usage"]


def patience(fault: str) -> float:
    """Seconds: short only where somebody waits for them, for a busy machine is slow too."""
    return 0.2 if fault == "hang" else 5.0


class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    def test_what_passes_is_tried_again_and_the_bill_is_never_below_the_server_s(
        self, tmp_path: Path, fault: str
    ) -> None:
        with serving(lambda number: fault if number == 1 else "") as server:
            line = opened(endpoint(server, timeout_seconds=patience(fault), concurrency=1), tmp_path)
            said = ask(line, [GOOD, BAD])
            again = 0 if fault == "no usage" else 1
            assert len(server.bodies) == 2 + again
            assert ask(line, [BAD, GOOD])["logits"].tolist() == said["logits"][::-1].tolist()
            assert len(server.bodies) == 2 + again, "nobody is asked twice"
        assert said["logits"].argmax(axis=1).tolist() == [1, 0]
        assert server.billed <= spent(tmp_path) <= Decimal(1)
        assert float(said["price"].sum()) == pytest.approx(float(spent(tmp_path)))
        if fault.startswith("429"):
            assert server.billed == spent(tmp_path), "nobody pays for being turned away"
        for line_ in lines(tmp_path):
            assert len(line_["request"]) == 64
            assert not any(text in json.dumps(line_) for text in (GOOD, BAD))

    @pytest.mark.parametrize("fault", [*FAULTS[:-1]])
    def test_the_cap_holds_whatever_a_server_does(self, tmp_path: Path, fault: str) -> None:
        """Every second request goes wrong, until there is no money left."""
        with serving(lambda number: fault if number % 2 else "") as server:
            teacher = endpoint(
                server, timeout_seconds=patience(fault), max_spend=0.002, attempts=50, template_tokens=64
            )
            line = opened(teacher, tmp_path)
            with pytest.raises(OutsideError, match="max_spend") as caught:
                ask(line, texts(70))
        assert caught.value.exit_code == 4
        assert 0 < server.billed <= spent(tmp_path) <= Decimal("0.002")
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
    @pytest.mark.parametrize(
        ("fault", "answers", "why"),
        [
            ("refusal", "logprobs", "refusal"),
            ("empty", "logprobs", "empty"),
            ("no logprobs", "logprobs", "no logprobs"),
            ("chatter", "logprobs", "unparseable"),
            ("refusal", "label", "refusal"),
            ("empty", "label", "empty"),
            ("cut", "label", "too long"),
            ("other label", "label", "unparseable"),
            ("chatter", "label", "unparseable"),
        ],
    )
    def test_it_is_counted_and_paid_for(self, tmp_path: Path, fault: str, answers: str, why: str) -> None:
        events: list[Event] = []
        with serving(lambda number: fault if number == 1 else "") as server:
            line = opened(endpoint(server, answers=answers, concurrency=1), tmp_path, events.append)
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


class TestTheBook:
    def held(self, path: Path, cap: str = "1") -> Ledger:
        return Ledger(path / "book.jsonl", cap=Decimal(cap))

    def test_what_was_never_settled_is_spent(self, tmp_path: Path) -> None:
        first = self.held(tmp_path)
        with first.held():
            assert first.reserve("a", Decimal("0.7"), attempt=1)
        second = self.held(tmp_path)
        with second.held():
            assert (second.spent, second.presumed) == (Decimal("0.7"), Decimal("0.7"))
            assert second.reserve("a", Decimal("0.31"), attempt=1) is None
            assert second.reserve("a", Decimal("0.3"), attempt=1)
            assert second.reserve("b", Decimal("0.000001"), attempt=1) is None

    @pytest.mark.parametrize("cut", [1, 20, -1])
    def test_a_line_that_a_kill_cut_short_goes(self, tmp_path: Path, cut: int) -> None:
        first = self.held(tmp_path)
        with first.held():
            reserve = first.reserve("a", Decimal("0.5"), attempt=1)
            assert reserve
            whole = first.path.read_bytes()
            first.settle(reserve, cost=Decimal("0.1"), status="200", attempt=1, latency_seconds=0.1)
        first.path.write_bytes(whole + first.path.read_bytes()[len(whole) :][:cut])
        second = self.held(tmp_path)
        with second.held():
            assert second.spent == Decimal("0.5")
            assert second.reserve("b", Decimal("0.5"), attempt=1)
        with self.held(tmp_path).held():
            assert len(first.path.read_bytes().splitlines()) == 2

    def test_a_line_that_was_spoilt_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "book.jsonl").write_text('{"event": "reserve"}\n', encoding="utf-8")
        with pytest.raises(ArtifactError, match="byte 0"), self.held(tmp_path).held():
            pass

    def test_a_full_disk_leaves_no_half_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        book, write = self.held(tmp_path), os.write
        with book.held():
            assert book.reserve("a", Decimal("0.1"), attempt=1)
            before = book.path.read_bytes()

            def full(file: int, data: Any) -> int:
                if len(data) > 9:
                    return write(file, data[: len(data) - 9])
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space"):
                book.reserve("b", Decimal("0.1"), attempt=1)
            assert book.path.read_bytes() == before
            assert book.spent == Decimal("0.1")

    def test_two_do_not_write_at_once(self, tmp_path: Path) -> None:
        with (
            self.held(tmp_path).held(),
            pytest.raises(OutsideError, match="another process"),
            self.held(tmp_path).held(),
        ):
            pass

    def test_a_run_that_is_stopped_pays_for_nothing_twice(self, tmp_path: Path) -> None:
        def stop(event: Event) -> None:
            if event.done >= 5:
                raise KeyboardInterrupt

        asked = texts(20)
        with serving() as server:
            teacher = endpoint(server, concurrency=2)
            with pytest.raises(KeyboardInterrupt):
                ask(opened(teacher, tmp_path, stop), asked)
            known = {line["request"] for line in lines(tmp_path) if "answer" in line}
            assert 5 <= len(known) < 20
            first = len(server.bodies)
            said = ask(opened(teacher, tmp_path), asked)
        assert len(server.bodies) - first == 20 - len(known)
        assert (said[signals.UNANSWERED] == "").all()
        assert server.billed <= spent(tmp_path)


ASKS = """
import json, sys
from pathlib import Path
from stillroom.core import plugins
from stillroom.tasks.classification import Classification
from stillroom.teachers import Desk
job = json.load(sys.stdin)
teacher = plugins.build("teachers", job["teacher"])
line = teacher.open(Path(), task=Classification(labels=job["labels"]), desk=Desk(Path(job["books"])))
line.ask(job["texts"], precision="fp32", tokens_per_batch=1)
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_again_and_again(tmp_path: Path) -> None:
    """Killed twice, stopped by the cap or not, and then let go: no reply is paid for twice, no cap passed."""
    asked = texts(60)
    with serving(patience=0.02) as server:
        for aim, cap in ((15, "0.008"), (35, "0.008"), (None, "0.008"), (None, "1")):
            teacher = endpoint(server, concurrency=4, max_spend=float(cap))
            job = {"teacher": teacher.resolved(), "labels": LABELS, "books": str(tmp_path), "texts": asked}
            code = asking(server, job, killed_at=aim)
            assert code in ((-signal.SIGKILL,) if aim else (0,) if cap == "1" else (0, 1))
            assert server.billed <= spent(tmp_path) <= Decimal(cap)
        found = {line["serial"]: line["event"] for line in lines(tmp_path)}
        lost = sum(event == "reserve" for event in found.values())
        answered = [line["request"] for line in lines(tmp_path) if "answer" in line]
        assert len(answered) == len(set(answered)) == len(asked)
        assert 1 <= lost <= 8, "of those under way, and of no others"
        assert len(asked) <= len(server.bodies) <= len(asked) + lost


def asking(server: Server, job: dict[str, Any], *, killed_at: int | None) -> int:
    """Ask in a process of its own, killed when the server has seen so many requests; and how it ended."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKS],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "*"},
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps(job).encode())
        process.stdin.close()
        while killed_at and len(server.bodies) < killed_at and process.poll() is None:
            time.sleep(0.001)
        if killed_at:
            process.kill()
        return process.wait(60)


class TestTheJourney:
    def test_texts_without_an_answer_are_left_out_and_counted(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with serving(lambda number: {7: "refusal", 11: "empty", 13: "refusal"}.get(number, "")) as server:
            made = recipe.parse(journey(tmp_path, endpoint(server)))
            run = pipeline.run(made, work=tmp_path / "work", until="transfer", report=events.append)
        manifest = run.artifacts["transfer"].manifest
        facts, ledger = manifest["facts"], manifest["circumstances"]["ledger"]
        assert facts["unanswered"] == {"empty": 1, "refusal": 2}
        assert facts["texts"] + 3 == ledger["texts"] == len(server.bodies)
        assert ledger["spend"] == pytest.approx(float(server.billed))
        assert ledger["tokens"] > 0
        voice = run.artifacts["teacher"].manifest["facts"]["voice"]
        assert (voice["model"], voice["prompt_version"], voice["sampling"]["temperature"]) == ("lab/tiny", "1", 0.0)
        notes = " ".join(event.note for event in events)
        assert "no answer for 3 of" in notes
        assert "a text costs" in notes
        assert not any(text in notes for text, _ in sentences())

    def test_a_higher_cap_goes_on_where_the_lower_one_stopped(self, tmp_path: Path) -> None:
        with serving() as server:
            low, high = (endpoint(server, max_spend=cap) for cap in (0.0015, 1.0))
            with pytest.raises(OutsideError, match="max_spend"):
                pipeline.run(recipe.parse(journey(tmp_path, low)), work=tmp_path / "work", until="transfer")
            assert 0 < server.billed <= Decimal("0.0015")
            stopped = len(server.bodies)
            made = recipe.parse(journey(tmp_path, high))
            said = pipeline.run(made, work=tmp_path / "work", until="transfer").artifacts["transfer"]
            assert len({json.dumps(body) for body in server.bodies}) == len(server.bodies), "nobody was asked twice"
            assert stopped < len(server.bodies) == said.manifest["facts"]["texts"]
            made = recipe.parse(journey(tmp_path, high, transfer={"shard_rows": 5}))
            pipeline.run(made, work=tmp_path / "work", until="transfer")
            assert len(server.bodies) == said.manifest["facts"]["texts"], "nor for other shards"

    @pytest.mark.slow
    def test_what_was_paid_reaches_the_costs(self, tmp_path: Path) -> None:
        more = {"evaluate": {"resamples": 200, "min_slice_rows": 20}, "cost": {"texts": 16, "repeats": 3}}
        refused = {3: "refusal", 31: "refusal"}
        with serving(lambda number: refused.get(number, "")) as server:
            made = recipe.parse(journey(tmp_path, endpoint(server, concurrency=1), **more))
            run = pipeline.run(made, work=tmp_path / "work", report=silent)
        ledger = run.artifacts["transfer"].circumstances["ledger"]
        price = run.summary["teacher"]["cost"]["price_per_million_texts"]
        assert price == pytest.approx(ledger["spend"] / ledger["texts"] * 1e6)
        assert run.artifacts["evaluate"].manifest["facts"]["unanswered"] == 1
        assert any("refusal 1; of those to test on 1" in note for note in run.summary["notes"])
