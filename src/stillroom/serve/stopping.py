"""How a server ends: whoever has come as far as the door is let in before it is shut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import final

import uvicorn


@final
class Stopping(uvicorn.Server):
    """uvicorn's, which shuts the door on those whom the system has let in and it has not: they would lose a request."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who waits, and with the next step shut the door; between the two nothing else is done."""
        loop = asyncio.get_running_loop()
        waiting = [line for one in sockets or () for line in _waiting(one)]
        entering = [loop.create_task(self._let_in(line)) for line in waiting]
        await super().shutdown(sockets)
        await asyncio.gather(*entering, return_exceptions=True)

    async def _let_in(self, line: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn makes it
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        await asyncio.get_running_loop().connect_accepted_socket(protocol, line, ssl=self.config.ssl)


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """The lines that the system has taken and nobody has fetched."""
    listening.setblocking(False)
    with contextlib.suppress(BlockingIOError, OSError):
        while True:
            line, _ = listening.accept()
            line.setblocking(False)
            yield line
