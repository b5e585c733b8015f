"""A server as people start it: a process of its own, asked over a socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_BEGIN_SECONDS = 120.0  # other work may be on the machine


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def at(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, text: str = "the film was dull today", **told: Any) -> httpx.Response:
        """Ask for one text."""
        return httpx.post(f"{self.at}/predict", json={"text": text, **told}, timeout=30)

    def events(self) -> list[dict[str, Any]]:
        """What it told so far."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]

    def stop(self, *, by: int = signal.SIGTERM) -> int:
        """Tell it to stop, and wait for its end."""
        self.process.send_signal(by)
        return self.process.wait(60)


@contextlib.contextmanager
def served(folder: Path, *options: str, log: Path, name: str = "toy") -> Iterator[Served]:
    """A server of one student, ready to be asked; stopped at the end, if it has not been."""
    command = [sys.executable, "-m", "stillroom.cli", "serve", f"{name}={folder}", "--port", "0", *options]
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, text=True, env={**os.environ})
    try:
        found = Served(process, _port(process, log), log)
        until = time.monotonic() + _BEGIN_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{found.at}/ready", timeout=5).status_code == 200:
                    break
            time.sleep(0.05)
        yield found
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def _port(process: subprocess.Popen[str], log: Path) -> int:
    until = time.monotonic() + _BEGIN_SECONDS
    while time.monotonic() < until:
        for line in log.read_text(encoding="utf-8").splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["at"].rstrip("/").rpartition(":")[2])
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise AssertionError(log.read_text(encoding="utf-8"))
