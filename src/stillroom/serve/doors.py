"""The door of a connection: a request's head has to come in time and be of a sensible size."""

from __future__ import annotations

import asyncio
from typing import ClassVar, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_BYTES = 32_768  # of a head; the parser itself has no limit
_GRACE_SECONDS = 0.5
_FIELD = 32  # what a field costs beside its letters, so that very many short ones are too many as well
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)  # fmt: skip


@final
class Door(HttpToolsProtocol):
    """uvicorn's, which waits for a head as long as it takes and reads one of any size, with an end to both."""

    seconds: ClassVar[float] = 10.0
    """Within which a head has to be there. Set once, before the first connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._bytes, self._inside = 0, False
        self._limit: asyncio.TimerHandle | None = None
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is still not whole has begun its time."""
        super().data_received(data)
        if self._inside and self._limit is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._bytes, self._inside = 0, True
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
        if not self.transport.is_closing():
            super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End well: a request may be on its way over a line that says nothing just now."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_GRACE_SECONDS, self._close_idle)
        else:
            super().shutdown()

    def _close_idle(self) -> None:
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()

    def _fits(self, more: int) -> bool:
        self._bytes += more
        if self._bytes > _MOST_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        return self._bytes <= _MOST_BYTES

    def _wait(self) -> None:
        self._limit = self.loop.call_later(self.seconds, self._cut_off)

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _cut_off(self) -> None:
        self._limit = None
        if not self.transport.is_closing():
            self.transport.close()
