"""The door of a connection: a head has to come in time and be of a sensible size, and there has to be room for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from stillroom.serve.room import Room

_MOST_BYTES = 32_768  # of a head; the parser itself has no limit
_GRACE_SECONDS = 0.5
#: For a first request: it may have been lost, and is then sent again after a second (RFC 6298). Hardly a client asks
#: again by itself when a line that was new is closed.
_FIRST_SECONDS = 3.0
_SMALL = 65_536  # bytes of a body that is passed over; a line with more to come is closed
_FIELD = 32  # what a field costs beside its letters, so that very many short ones are too many as well
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)  # fmt: skip
#: Where the house stands in what begins with the server, and when its head was there in a request's scope.
HOUSE, ARRIVED = "stillroom.house", "stillroom.arrived"


class Busy(Protocol):
    """What is told whoever there is no room for."""

    def __call__(self, path: str, headers: Mapping[bytes, bytes], *, close: bool) -> bytes:
        """A whole answer, in the words of the protocol of this address."""


@final
@dataclass(frozen=True)
class House:
    """What stands behind all doors of a process."""

    head_seconds: float
    """Within which a head has to be there, and what is left of a body that nobody reads."""
    connections: int
    """So many may be open; on a further one one request is answered, with a refusal."""
    room: Room
    busy: Busy


@final
class Door(HttpToolsProtocol):
    """uvicorn's, which waits for a head as long as it takes and reads one of any size, with an end to both.

    Whoever there is no room for is turned away here: whatever comes after costs some times as much, and were refusals
    dear, a server with twice as many requests as it can answer would do nothing but refuse.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._house: House = self.app_state[HOUSE]
        self._bytes, self._inside, self._away, self._whole = 0, False, False, True
        self._ending = False
        # Those that are open already are let be: were all refused while one is too many, nobody would be answered.
        self._surplus = len(self.connections) > self._house.connections
        self._limit: asyncio.TimerHandle | None = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is still not whole has begun its time."""
        super().data_received(data)
        if self._inside and self._limit is None:
            self._wait()
        self._rest()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._bytes, self._inside, self._away, self._whole = 0, True, False, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Some of its address."""
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its fields."""
        if self._fits(len(name) + len(value) + _FIELD):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._inside = False
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:  # else it waits for the one before it on this line
            if self._full():
                self._turn_away()
                return
            self.scope[ARRIVED] = time.perf_counter()  # type: ignore[literal-required]  # ours
        super().on_headers_complete()
        if self._surplus or self._ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        if not self._away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it."""
        self._whole = True
        self._stop_waiting()
        if not self._away:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is out. What is left of a body that nobody read has to come in time too."""
        super().on_response_complete()
        self._rest()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End well: a request may be on its way over a line that says nothing just now, and is its last."""
        self._ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_FIRST_SECONDS if self.cycle is None else _GRACE_SECONDS, self._close_idle)
        else:
            super().shutdown()

    def _rest(self) -> None:
        """Nothing is done on this line: then it is closed some time, and no byte that comes puts that off for ever."""
        if self._limit is not None or self.transport.is_closing():
            return
        if self._away or self.cycle is None or self.cycle.response_complete:
            if not self._whole:
                self._wait()
            elif self.timeout_keep_alive_task is None:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )

    def _full(self) -> bool:
        """Whether there is no room for a request. What only looks (health, meters) is always let in."""
        if self.parser.get_method() != b"POST":
            return False
        return self._surplus or not self._house.room.admits(len(self.tasks))

    def _turn_away(self) -> None:
        self._away = True
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"")
        close = (
            self._surplus
            or self.flow.write_paused  # who asks on and on and reads no answer
            or not self.parser.should_keep_alive()
            or self.expect_100_continue
            or not length.isdigit()
            or int(length) > _SMALL
        )
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        self.transport.write(self._house.busy(path, headers, close=close))
        if close:
            self.transport.close()

    def _close_idle(self) -> None:
        if self._inside or self.transport.is_closing():  # a head that has begun has a limit of its own
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _fits(self, more: int) -> bool:
        self._bytes += more
        if self._bytes > _MOST_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        return self._bytes <= _MOST_BYTES

    def _wait(self) -> None:
        self._limit = self.loop.call_later(self._house.head_seconds, self._cut_off)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _cut_off(self) -> None:
        self._limit = None
        if not self.transport.is_closing():
            self.transport.close()
