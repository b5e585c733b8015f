"""What was reserved, paid and answered, request by request: a file that only grows, on disk before anything goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, final

from stillroom.core import artifact
from stillroom.core.errors import ArtifactError, Problem


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """What a request came to, or else why there is no answer.

    It is logits, the position of a label, spans as characters and the position of their label, what was written, or all
    that would be.
    """

    answer: list[float] | int | list[list[int]] | str | list[str] | None
    unanswered: str = ""
    tokens: int = 0
    """How many the model read, where its server says so."""
    tally: Mapping[str, int] = field(default_factory=dict)
    """Of an answer that has parts: how many were of which sort; or that it was cut."""


@final
@dataclass(frozen=True, slots=True)
class Reserve:
    """What one attempt may cost at most: spent from the moment it is made until it is settled for less."""

    serial: int
    request: str
    most: Decimal


@final
class Ledger:
    """The account of one teacher: what was spent never passes `cap`, whoever asks, at once or after `kill -9`.

    An attempt has two lines. `reserve` is on disk before anything is sent, and `settle` before the reply is used. A
    reserve that was never settled stays spent. Of a request its hash is kept and never its text; of a reply, what was
    read from it, which is a text where it is asked for one. Money is counted in decimals, to the last digit.
    """

    def __init__(self, path: Path, *, cap: Decimal) -> None:
        self.path, self.cap = path, cap
        self.spent, self.presumed = Decimal(0), Decimal(0)
        """All that counts as spent; and how much of it is worst cases, for attempts that came back without a bill."""
        self.requests: dict[str, Decimal] = {}
        """What each request has cost so far, all attempts together."""
        self._replies: dict[str, Reply] = {}
        self._open: dict[int, Reserve] = {}
        self._serial, self._end, self._file = 0, 0, -1

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the account alone, and read what was written since.

        Raises:
            OutsideError: another process holds it.
            ArtifactError: a line that can't be read.
        """
        artifact.make_folder(self.path.parent)
        with artifact.alone(self.path.with_suffix(".lock"), self.path):
            new = not self.path.exists()
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if new:
                    _sync_folder(self.path.parent)
                self._read_on()
                yield
            finally:
                os.close(self._file)

    def reply(self, request: str) -> Reply | None:
        """What a request came to, or None where it has to be sent."""
        return self._replies.get(request)

    @property
    def paid(self) -> list[Decimal]:
        """What each request cost that has a reply."""
        return [self.requests[one] for one in self._replies]

    def reserve(self, request: str, most: Decimal, *, attempt: int) -> Reserve | None:
        """Put aside what an attempt may cost; None where the cap has no room for it now."""
        if self.spent + most > self.cap:
            return None
        made = Reserve(self._serial + 1, request, most)
        self._write({"event": "reserve", "serial": made.serial, "request": request, "attempt": attempt,
                     "reserve": str(most), "moment": _now()})  # fmt: skip
        return made

    def settle(
        self,
        reserve: Reserve,
        *,
        cost: Decimal,
        status: str,
        attempt: int,
        latency_seconds: float,
        usage: Mapping[str, int] | None = None,
        reply: Reply | None = None,
    ) -> None:
        """Write what became of an attempt; with a reply, the request is done for good."""
        line = {"event": "settle", "serial": reserve.serial, "request": reserve.request, "attempt": attempt,
                "reserve": str(reserve.most), "status": status, "usage": usage and dict(usage), "cost": str(cost),
                "latency_seconds": round(latency_seconds, 4), "moment": _now()}  # fmt: skip
        if reply is not None:
            line |= {"answer": reply.answer, "unanswered": reply.unanswered}
            line |= {"tally": dict(reply.tally)} if reply.tally else {}
        self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        left = memoryview(artifact.canonical(line) + b"\n")
        end = self._end + len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)  # a full disk leaves no half line for the next one to be glued to
            raise
        self._end = end
        self._note(line)

    def _read_on(self) -> None:
        """Take in the lines that are new; a last one that a kill cut short was never acted on, and goes."""
        with self.path.open("rb") as file:
            file.seek(self._end)
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, self._end)
                    break
                try:
                    self._note(json.loads(line))
                except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                    where, found = (
                        f"{self.path}, byte {self._end}",
                        f"a line that can't be read ({type(error).__name__})",
                    )
                    todo = "Bring back the file as it was. Without it, all is asked and paid for again."
                    raise ArtifactError(Problem(where, found, "a line of this account", todo)) from None
                self._end += len(line)

    def _note(self, line: Mapping[str, Any]) -> None:
        """Count one line."""
        request, serial, most = line["request"], line["serial"], Decimal(line["reserve"])
        change = most
        if line["event"] == "reserve":
            self._serial = max(self._serial, serial)
            self._open[serial] = Reserve(serial, request, most)
            self.presumed += most
        else:
            change = Decimal(line["cost"]) - most
            del self._open[serial]
            self.presumed -= most if line["usage"] else most - Decimal(line["cost"])
            if "unanswered" in line:
                tokens = line["usage"]["input"] if line["usage"] else 0
                self._replies[request] = Reply(line["answer"], line["unanswered"], tokens, line.get("tally", {}))
        self.spent += change
        self.requests[request] = self.requests.get(request, Decimal(0)) + change


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file on disk too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
