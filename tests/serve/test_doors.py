"""Whoever there is no room for is turned away at the door, in words that his protocol knows, and may ask again."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from stillroom.serve import app, doors
from stillroom.serve.doors import Door
from stillroom.serve.gate import Gate
from stillroom.serve.host import Host
from stillroom.serve.room import Room
from tests.serve.conftest import serving
from tests.serve.processes import served

ASKED = b'{"text":"dull"}'


class House:
    """A server in this process, whose room can be set."""

    def __init__(self, folder: Path) -> None:
        found = app.make(serving(folder, origins=("https://example.org",), limits={"header_seconds": 1.0}))
        assert isinstance(found, Gate)
        self.room = found._room
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(listening.getsockname()[1])
        self.at = f"http://127.0.0.1:{self.port}"
        self.host = Host(uvicorn.Config(found, http=Door, ws="none", lifespan="on", log_config=None))
        self.thread = threading.Thread(target=self.host.run, args=([listening],), daemon=True)
        self.thread.start()
        while not self.host.started:
            time.sleep(0.01)


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[House]:
    found = House(folder)
    yield found
    found.host.should_exit = True
    found.thread.join(30)


@pytest.fixture
def full(house: House) -> Iterator[House]:
    house.room.places = -100
    yield house
    house.room.places = 100


def test_who_is_turned_away_may_ask_again_on_the_same_line(full: House) -> None:
    with httpx.Client(base_url=full.at) as client:
        found = client.post("/predict", content=ASKED, headers={"x-request-id": "mine"})
        assert (found.status_code, found.headers["retry-after"]) == (429, "1")
        assert found.json()["error"]["code"] == "overloaded"
        assert found.headers["x-request-id"] == "mine"
        assert found.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in found.headers
        full.room.places = 100
        again = client.post("/predict", content=ASKED)
        assert again.status_code == 200
        assert client._transport._pool.connections[0].info().endswith("Request Count: 2")  # type: ignore[attr-defined]


def test_it_is_told_in_the_words_of_each_protocol(full: House) -> None:
    for path, words in (("/v1/embeddings", {"type", "message"}), ("/predict", {"problems", "code"})):
        found = httpx.post(full.at + path, content=b"{}", headers={"origin": "https://example.org"})
        assert found.status_code == 429
        assert words <= set(found.json()["error"])
        assert found.headers["access-control-allow-origin"] == "https://example.org"


def test_who_only_looks_is_let_in(full: House) -> None:
    assert httpx.get(f"{full.at}/health").status_code == 200
    assert httpx.post(f"{full.at}/predict", content=ASKED).status_code == 429
    told = httpx.get(f"{full.at}/metrics").text
    assert 'stillroom_shed_total{code="door"}' in told
    assert 'stillroom_requests_total{path="/predict",status="429"}' in told


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 1000000",
        b"transfer-encoding: chunked",
        b"content-length: 15\r\nexpect: 100-continue",
        b"content-length: 15\r\nconnection: close",
    ],
)
def test_a_line_with_more_to_come_is_closed(full: House, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", full.port), timeout=20) as line:
        line.sendall(b"POST /predict HTTP/1.1\r\nhost: a\r\n" + head + b"\r\n\r\n")
        found = b""
        while part := line.recv(65536):
            found += part
    assert found.startswith(b"HTTP/1.1 429")
    assert found.count(b"connection: close\r\n") == 1
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "overloaded"


def test_a_body_that_comes_later_is_passed_over(full: House) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 15\r\n\r\n"
    with socket.create_connection(("127.0.0.1", full.port), timeout=20) as line:
        line.sendall(head)
        assert line.recv(65536).startswith(b"HTTP/1.1 429")
        full.room.places = 100
        line.sendall(ASKED)
        line.sendall(head + ASKED)
        assert line.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("ask", [b"GET /health", b"POST /predict"])
def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for_long(full: House, ask: bytes) -> None:
    """However it drips: else each drop would begin a time of its own, or end the only one there is."""
    with socket.create_connection(("127.0.0.1", full.port), timeout=0.2) as line:
        line.sendall(ask + b" HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < begun + 20:
                line.sendall(b"x")
                with contextlib.suppress(TimeoutError):
                    if line.recv(65536) == b"":
                        break
    assert time.monotonic() < begun + 15


def test_who_only_looks_on_a_line_too_many_is_answered_and_let_go(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nconnections = 1\n", encoding="utf-8")
    with (
        served(folder, "--config", str(config), log=tmp_path / "log") as server,
        httpx.Client(base_url=server.at) as other,
    ):
        other.get("/health")
        found = httpx.get(f"{server.at}/health")
        assert (found.status_code, found.headers["connection"]) == (200, "close")


def test_who_asks_on_and_on_and_reads_nothing_is_let_go(full: House) -> None:
    one = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
    line = socket.create_connection(("127.0.0.1", full.port), timeout=20)
    with line, pytest.raises((ConnectionError, TimeoutError)):
        line.sendall(one * 500_000)


def test_one_behind_another_on_a_line_waits_for_it(house: House) -> None:
    """Or it would be answered before it."""
    one = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 15\r\n\r\n" + ASKED
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as line:
        line.sendall(one * 3)
        found = b""
        while found.count(b"HTTP/1.1 200") < 3:
            part = line.recv(65536)
            assert part
            found += part
    assert house.room.places >= 100  # what it waited for its turn on the line says nothing of the room


def test_lines_beyond_those_that_may_be_open_get_a_refusal_and_the_others_their_answers(
    folder: Path, tmp_path: Path
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nconnections = 2\n", encoding="utf-8")
    with served(folder, "--config", str(config), log=tmp_path / "log") as server:
        with httpx.Client(base_url=server.at) as one, httpx.Client(base_url=server.at) as two:
            asked = [client.post("/predict", content=ASKED).status_code for client in (one, two)]
            third = httpx.post(f"{server.at}/predict", content=ASKED)
            after = one.post("/predict", content=ASKED).status_code
        assert asked == [200, 200]
        assert (third.status_code, third.headers["connection"]) == (429, "close")
        assert after == 200


def test_room_is_what_the_waits_leave() -> None:
    now = 0.0
    room = Room(deadline_s=1.0, most=1000, clock=lambda: now)
    assert room.admits(999)
    assert not room.admits(1000)
    room.waited(3.0, inside=1)  # a stop that no crowd has made hardly narrows it
    assert room.places > 900
    for inside in range(150, 201):  # a crowd, of which the last waits twice as long as anybody should
        room.waited(0.2, inside=inside)
    assert 75 < room.places < 110
    assert not room.admits(110)
    for _ in range(1000):
        room.waited(10.0, inside=20)
    assert room.places == pytest.approx(16)
    for _ in range(100):
        room.waited(0.07, inside=10)  # neither long nor short
    assert room.places == pytest.approx(16)
    for _ in range(100):
        room.waited(0.001, inside=10)
    assert room.places == pytest.approx(19)
    for _ in range(100_000):
        room.waited(0.001, inside=10)
    assert room.places == 1000


def test_those_who_wait_for_something_else_do_not_shut_the_door_for_ever() -> None:
    now = 0.0
    room = Room(deadline_s=1.0, most=1000, clock=lambda: now)
    for _ in range(1000):
        room.waited(1.0, inside=16)
    assert not room.admits(21)  # as many wait for a teacher, and nobody else is let in whose wait would tell
    now = 1.5
    assert not room.admits(21)  # as wide as it has become now
    now = 3.0
    assert room.admits(21)


def test_many_who_come_at_once_are_let_in_at_one_turn(house: House) -> None:
    """The loop by itself lets in one at a turn: with turns as long as under load that is hardly anybody."""
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1

    lines = []
    loop = next(iter(house.host.servers)).get_loop()
    ready = threading.Event()
    loop.call_soon_threadsafe(lambda: (ready.set(), time.sleep(0.3)))  # a long turn, in which many come
    ready.wait(10)
    for _ in range(60):
        lines.append(socket.create_connection(("127.0.0.1", house.port), timeout=20))
    seen = []

    def look() -> None:
        turn()
        seen.append(len(house.host.server_state.connections))
        if seen[-1] < 60 and turns < 1000:
            loop.call_soon(look)

    loop.call_soon_threadsafe(look)
    until = time.monotonic() + 20
    while (not seen or seen[-1] < 60) and time.monotonic() < until:
        time.sleep(0.05)
    for line in lines:
        line.close()
    assert seen[-1] >= 60
    assert turns < 30


@pytest.mark.parametrize("begun", [b"", b"POST /pre"], ids=["nothing", "some of a head"])
def test_who_came_before_the_end_may_be_slow_to_ask(folder: Path, begun: bytes) -> None:
    with _ending(House(folder), begun) as line:
        time.sleep(0.9)  # longer than who has been answered has for another
        line.sendall(_HEAD.removeprefix(begun) + ASKED)
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")


def test_whose_head_has_begun_is_answered_and_then_let_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_FIRST_SECONDS", 0.1)
    with _ending(House(folder), b"POST /pre") as line:
        time.sleep(0.9)
        line.sendall(_HEAD.removeprefix(b"POST /pre") + ASKED)
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        assert line.recv(65_536) == b"", "the line is not kept for another request"


_HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    ASKED
)


@contextlib.contextmanager
def _ending(house: House, begun: bytes) -> Iterator[socket.socket]:
    """A line to a server that has been told to end; which it does within the time that no line is kept for nothing."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=4) as line:
        line.sendall(begun)
        _until_in(house, 1)
        house.host.should_exit = True
        yield line
        house.thread.join(4)
        assert not house.thread.is_alive()


def _until_in(house: House, lines: int) -> None:
    until = time.monotonic() + 10
    while len(house.host.server_state.connections) < lines:
        assert time.monotonic() < until, "it was not let in"
        time.sleep(0.01)
