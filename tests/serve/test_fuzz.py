"""24,000 requests that are none: what is wrong is told, nothing breaks, and memory stays where it was."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.serve.processes import Served, served

pytestmark = pytest.mark.slow

BY_SCHEMA, BY_BYTES = 1_400, 23_650
_GROWTH_MB = 5.0  # what allocators keep; a request that left a quarter of a kilobyte would come to as much
_METHODS = ("POST", "GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "BREW")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("fuzz")
    config = place / "serve.toml"
    config.write_text("[limits]\nbody_mb = 0.2\nheader_seconds = 2\nbody_seconds = 2\n", encoding="utf-8")
    with served(folder, "--config", str(config), log=place / "log") as found:
        yield found


def resident_mb(server: Served) -> float:
    """What it holds in memory."""
    told = Path(f"/proc/{server.process.pid}/status").read_text(encoding="utf-8")
    return int(next(line for line in told.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def _mutated(valid: list[bytes], rng: random.Random) -> bytes:
    """A request with some of its bytes changed, doubled, cut or put elsewhere."""
    found = bytearray(rng.choice(valid))
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(found)) if found else 0
        match rng.randrange(6):
            case 0:
                found[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                found[at:at] = rng.randbytes(rng.randint(1, 40))
            case 2:
                del found[at : at + rng.randint(1, 40)]
            case 3:
                found[at:at] = found[at : at + rng.randint(1, 60)]
            case 4:
                found[at:at] = rng.choice([b"\r\n", b"\0", b"\xff\xfe", b"[" * 300, b'{"a":' * 200, b"\\ud800", b"%00"])
            case _:
                found[:4] = rng.choice(_METHODS).encode()
    return bytes(found)


def _valid() -> list[bytes]:
    bodies: list[tuple[str, Any]] = [
        ("/predict", {"text": "a film"}),
        ("/predict", {"texts": ["a", "b"], "model": "toy", "deadline_ms": 100}),
        ("/predict", {"text": "a film", "stream": True}),
        ("/v2/models/toy/infer", {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}),
        ("/v1/embeddings", {"model": "toy", "input": "a"}),
        ("/v1/chat/completions", {"model": "toy", "messages": [{"role": "user", "content": "a"}]}),
        ("/v1/proofread", {"text": "a"}),
    ]
    found = []
    for path, content in bodies:
        body = json.dumps(content).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        found.append(head.encode() + b"\r\n\r\n" + body)
    return [
        *found,
        *(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode() for path in ("/", "/metrics", "/v2/models/toy")),
    ]


def _statuses(port: int, sent: bytes) -> list[int]:
    """Those of what came back, if anything did; the line is closed on this side after what was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        try:
            line.sendall(sent)
            line.shutdown(socket.SHUT_WR)
            found = b""
            while part := line.recv(65536):
                found += part
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            return []
    return [int(one[9:12]) for one in found.split(b"\r\n") if one.startswith(b"HTTP/1.1 ")]


def test_bytes_of_any_kind_break_nothing(server: Served) -> None:
    rng, valid = random.Random(7), _valid()
    found: Counter[int] = Counter()
    for _ in range(BY_BYTES // 10):
        found.update(_statuses(server.port, _mutated(valid, rng)))
    before = resident_mb(server)
    for _ in range(BY_BYTES - BY_BYTES // 10):
        found.update(_statuses(server.port, _mutated(valid, rng)))
    assert not {status for status in found if status >= 500}
    assert {200, 400, 404, 405, 422} <= set(found)  # it got past the door in every way
    assert resident_mb(server) - before < _GROWTH_MB
    assert server.ask().status_code == 200
    assert not [one for one in server.events() if one["event"] == "failed"]


def test_what_goes_against_its_own_description_is_told(server: Served) -> None:
    schema = schemathesis.openapi.from_url(f"{server.at}/openapi.json")
    # Who asks without a body can't ask wrongly.
    operations = [one for one in (found.ok() for found in schema.get_all_operations()) if one.method.upper() == "POST"]
    assert len(operations) >= 7
    found: Counter[int] = Counter()
    before = resident_mb(server)
    with httpx.Client(base_url=server.at, timeout=30) as client:
        for operation in operations:

            @settings(
                max_examples=BY_SCHEMA // len(operations),
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
            def ask(case: Any) -> None:
                told = case.as_transport_kwargs(base_url=server.at)
                answered = client.request(
                    told["method"], told["url"], json=told.get("json"), content=told.get("data"),
                    params=told.get("params"),
                )  # fmt: skip
                found[answered.status_code] += 1
                assert answered.status_code < 500

            ask()
    assert sum(found.values()) > BY_SCHEMA / 2
    assert found[422] > 100
    assert resident_mb(server) - before < _GROWTH_MB
