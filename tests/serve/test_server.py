"""A server that is told to stop, whose student changes, or whose worker is killed, loses nothing that it has taken."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stillroom.serve.shelf import _stamp
from tests.serve.processes import Served, served

WAIT = 60.0


class Crowd:
    """Clients who ask without a pause, each over a connection of its own, and what became of their requests."""

    def __init__(self, server: Served, *, clients: int = 4) -> None:
        self.found: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self._server, self._stop = server, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Crowd:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stop.set()
        for one in self._threads:
            one.join(WAIT)

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                found = self._server.ask()
            except httpx.ConnectError:
                self.found["not let in"] += 1
                time.sleep(0.01)
                continue
            except httpx.HTTPError as error:
                self.found[type(error).__name__] += 1
                continue
            self.found[str(found.status_code)] += 1
            if found.status_code == 200:
                self.versions[found.json()["version"]] += 1


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(folder, log=tmp_path_factory.mktemp("server") / "log") as found:
        yield found


def _until(met: object, *, seconds: float = WAIT) -> None:
    assert callable(met)
    until = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_told_to_stop_it_answers_what_it_took_and_ends_well(folder: Path, tmp_path: Path, workers: str) -> None:
    with served(folder, "--workers", workers, log=tmp_path / "log") as server, Crowd(server) as crowd:
        _until(lambda: crowd.found["200"] > 20)
        assert server.stop() == 0
        _until(lambda: crowd.found["not let in"] > 0)
    assert set(crowd.found) == {"200", "not let in"}


def test_it_says_that_it_is_going_before_it_goes(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("drain_seconds = 1.5\n", encoding="utf-8")
    with served(folder, "--config", str(config), log=tmp_path / "log") as server:
        server.process.send_signal(signal.SIGTERM)
        _until(lambda: httpx.get(f"{server.at}/ready").status_code == 503)
        found = server.ask()
        assert (found.status_code, found.headers["connection"]) == (200, "close")
        assert server.process.wait(WAIT) == 0


def _changed(run: Path, key: str) -> None:
    """Let a run point to another bundle, as a stage does: whole or not at all."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    record["stages"]["export"]["key"] = key
    (run / "run.json.draft").write_text(json.dumps(record), encoding="utf-8")
    os.replace(run / "run.json.draft", run / "run.json")


def test_a_student_that_changes_is_changed_without_a_pause(folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "runs").mkdir(parents=True)
    run = work / "runs" / folder.name
    shutil.copytree(folder, run)
    first = json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]["export"]["key"]
    bundles = folder.parent.parent / "bundle"
    shutil.copytree(bundles / first, work / "bundle" / first)
    shutil.copytree(bundles / first, work / "bundle" / "broken")
    weights = next((work / "bundle" / "broken").glob("*.safetensors"))
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(bytes(damaged))
    second = _other_bundle(work / "bundle" / first, work / "bundle" / "second")
    config = tmp_path / "serve.toml"
    config.write_text("watch_seconds = 0.1\n", encoding="utf-8")
    with served(run, "--config", str(config), log=tmp_path / "log") as server:
        with Crowd(server) as crowd:
            _until(lambda: crowd.found["200"] > 10)
            _changed(run, "broken")
            _until(lambda: any(one["event"] == "kept" for one in server.events()))
            assert httpx.get(f"{server.at}/ready").json()["kept_older_versions_of"] == ["toy"]
            _changed(run, "second")
            _until(lambda: crowd.versions[second] > 10)
        assert set(crowd.found) == {"200"}
        assert len(crowd.versions) == 2
        assert "kept_older_versions_of" not in httpx.get(f"{server.at}/ready").json()


def test_a_student_that_is_certified_is_changed_too(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    before = _stamp(tmp_path)
    assert _stamp(tmp_path) == before
    (tmp_path / "cascade.json").write_text("{}", encoding="utf-8")
    assert _stamp(tmp_path) != before


def _other_bundle(one: Path, other: Path) -> str:
    """A bundle with the same answers and another digest; the version that it is served as."""
    from stillroom.core import artifact

    shutil.copytree(one, other)
    card = other / "note.txt"
    card.write_text("Another one.", encoding="utf-8")
    manifest = json.loads((other / artifact.MANIFEST).read_text(encoding="utf-8"))
    manifest["files"]["note.txt"] = artifact.file_sha256(card)
    manifest["digest"] = artifact.sha256(
        artifact.canonical({"files": manifest["files"], "facts": manifest["facts"], "stage": manifest["stage"]})
    )
    artifact.write_json(other / artifact.MANIFEST, manifest)
    return str(artifact.load(other).digest[:12])


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(folder: Path, tmp_path: Path) -> None:
    with served(folder, "--workers", "2", log=tmp_path / "log") as server:
        _until(lambda: len(_workers(server)) == 2)
        before = _workers(server)
        with Crowd(server) as crowd:
            _until(lambda: crowd.found["200"] > 20)
            os.kill(min(before), signal.SIGKILL)
            _until(lambda: len(_workers(server)) == 2 and _workers(server) != before)
            answered = crowd.found["200"]
            _until(lambda: crowd.found["200"] > answered + 20)
        assert crowd.found["200"] > 0
        # Who was with it has lost a request; nobody else has.
        assert sum(crowd.found.values()) - crowd.found["200"] <= 4
        assert "stillroom_texts_total" in httpx.get(f"{server.at}/metrics").text
        assert server.stop() == 0


@pytest.mark.slow
def test_who_cannot_be_replaced_just_now_takes_nobody_with_him(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder.parent.parent, tmp_path / "work")
    run = tmp_path / "work" / "runs" / folder.name
    key = json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]["export"]["key"]
    weights = next((tmp_path / "work" / "bundle" / key).glob("*.safetensors"))
    config = tmp_path / "serve.toml"
    config.write_text("watch_seconds = 0\nworkers = 2\n", encoding="utf-8")
    with served(run, "--config", str(config), log=tmp_path / "log") as server:
        _until(lambda: len(_at_the_door(server)) == 2)
        sound = weights.read_bytes()
        _put(weights, sound[:-1])
        os.kill(min(_workers(server)), signal.SIGKILL)
        _until(lambda: "startup failed" in server.log.read_text(encoding="utf-8").lower())
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert server.ask().status_code == 200
        _put(weights, sound)
        _until(lambda: len(_at_the_door(server)) == 2)
        assert server.stop() == 0


def _put(path: Path, data: bytes) -> None:
    """Another file in the place of one, which whoever has it open keeps."""
    path.with_suffix(".new").write_bytes(data)
    os.replace(path.with_suffix(".new"), path)


def _workers(server: Served) -> set[int]:
    found = set()
    for one in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            state, parent = one.read_text().rpartition(")")[2].split()[:2]
            if (
                int(parent) == server.process.pid
                and state != "Z"
                and b"spawn_main" in (one.parent / "cmdline").read_bytes()
            ):
                found.add(int(one.parent.name))
    return found


def _at_the_door(server: Served) -> set[int]:
    """Those workers that have begun: the port's socket is then open twice in them."""
    found = set()
    for one in _workers(server):
        with contextlib.suppress(OSError):
            links = Counter(os.readlink(link) for link in Path(f"/proc/{one}/fd").iterdir())
            if any(name.startswith("socket:") and count > 1 for name, count in links.items()):
                found.add(one)
    return found


def _raw(server: Served, sent: bytes, *, seconds: float = 20) -> bytes:
    """What comes back for some bytes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as line:
        line.sendall(sent)
        found = b""
        while part := line.recv(65536):
            found += part
    return found


def test_a_head_without_an_end_is_cut_off(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nheader_seconds = 0.3\nbody_seconds = 0.3\n", encoding="utf-8")
    with served(folder, "--config", str(config), log=tmp_path / "log") as server:
        assert _raw(server, b"") == b""  # says nothing at all
        assert _raw(server, b"POST /predict HTTP/1.1\r\nhost: a\r\nx: ") == b""
        slow = _raw(server, b"POST /predict HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 50\r\n\r\n{")
        assert slow.startswith(b"HTTP/1.1 408")
        assert server.ask().status_code == 200


def test_a_head_without_measure_is_refused(server: Served) -> None:
    assert _raw(server, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 40_000 + b"\r\n\r\n").startswith(b"HTTP/1.1 431")
    assert _raw(server, b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 431")
    many = b"".join(b"x%d: y\r\n" % number for number in range(5000))
    assert _raw(server, b"GET / HTTP/1.1\r\n" + many + b"\r\n").startswith(b"HTTP/1.1 431")
    assert server.ask().status_code == 200


def test_a_body_without_an_end_is_not_read_on(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "serve.toml"
    config.write_text("[limits]\nbody_mb = 0.1\n", encoding="utf-8")

    def drops() -> Iterator[bytes]:
        for _ in range(100_000):  # a gigabyte, without a length in its head
            yield b"x" * 10_000

    with served(folder, "--config", str(config), log=tmp_path / "log") as server:
        found = httpx.post(f"{server.at}/predict", content=drops(), timeout=30)
        assert found.status_code == 413


@pytest.mark.parametrize(
    "sent", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02"]
)
def test_what_is_no_request_is_told_so(server: Served, sent: bytes) -> None:
    found = _raw(server, sent)
    assert found.startswith(b"HTTP/1.1 400")
    assert server.ask().status_code == 200


def test_a_student_that_cannot_be_served_ends_it(folder: Path, tmp_path: Path) -> None:
    key = json.loads((folder / "run.json").read_text(encoding="utf-8"))["stages"]["export"]["key"]
    broken = tmp_path / "bundle"
    shutil.copytree(folder.parent.parent / "bundle" / key, broken)
    weights = next(broken.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    for path, code in ((broken, 3), (tmp_path / "nowhere", 3)):
        command = [sys.executable, "-m", "stillroom.cli", "serve", str(path), "--port", "0"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ended.returncode == code
        (told,) = [json.loads(line) for line in ended.stderr.splitlines() if '"not begun"' in line]
        assert str(path) in told["why"]
        assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_told(server: Served, folder: Path) -> None:
    command = [sys.executable, "-m", "stillroom.cli", "serve", str(folder), "--port", str(server.port)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 4
    assert "Choose another" in ended.stderr


def test_who_has_gone_is_counted_and_no_mistake_of_ours(server: Served) -> None:
    head = b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        line.sendall(head)
    _until(lambda: 'path="/predict",status="499"' in httpx.get(f"{server.at}/metrics").text)
    assert not [one for one in server.events() if one["event"] == "failed"]


def test_it_speaks_over_tls(folder: Path, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    subprocess.run(made, check=True, capture_output=True)
    command = [sys.executable, "-m", "stillroom.cli", "serve", f"toy={folder}", "--port", "0",
               "--certificate", str(certificate), "--private-key", str(key)]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        at = json.loads(process.stderr.readline())["at"]
        assert at.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(certificate))

        def ready() -> bool:
            try:
                return httpx.get(f"{at}ready", verify=trusted).status_code == 200
            except httpx.HTTPError:
                return False

        _until(ready)
        found = httpx.post(f"{at}predict", json={"text": "the film was dull today"}, verify=trusted)
        assert found.status_code == 200
        process.terminate()
        assert process.wait(WAIT) == 0


@pytest.mark.slow
def test_what_answers_cost_is_told_of_all_workers(folder: Path, tmp_path: Path) -> None:
    with served(folder, "--workers", "2", log=tmp_path / "log") as server:
        assert all(server.ask().status_code == 200 for _ in range(40))
        told = [httpx.get(f"{server.at}/models/toy/cost").json()["texts"] for _ in range(8)]
        assert told == [40] * 8
