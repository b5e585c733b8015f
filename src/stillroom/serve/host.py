"""How a server lets in whom the system has taken: many at a turn, and before it ends all who have come to the door."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator
from itertools import islice
from multiprocessing import connection
from typing import final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess, Process

_HANDSHAKE_SECONDS = 10.0
_MOST = 256  # at a turn of the loop
_AGAIN_SECONDS, _HANGS_SECONDS = 10.0, 30.0
_MOST_EACH = 4  # of several processes: or the first to look would get a crowd for itself


@final
class Host(uvicorn.Server):
    """uvicorn's, whose loop takes one connection a turn (libuv since 1.45), and leaves the others when it ends.

    With turns of ten milliseconds, as under load, it would let in a hundred a second, and who stands outside is seen by
    no limit of ours and told nothing.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._entering: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin; from then on all are let in who wait."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        # A second look at the same door: the loop has the first.
        self._doors = [one.dup() for one in sockets or ()]
        most = _MOST if self.config.workers == 1 else _MOST_EACH
        for one in self._doors:
            loop.add_reader(one, self._open, one, most)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let in who waits, and with the next step shut the door; between the two nothing else is done."""
        loop = asyncio.get_running_loop()
        for one in self._doors:
            loop.remove_reader(one)
            self._open(one, None)
            one.close()
        for server in self.servers:
            server.close()
        if self._entering:  # over TLS they have more to say before they are in
            _, late = await asyncio.wait(self._entering, timeout=_HANDSHAKE_SECONDS)
            for task in late:
                task.cancel()
        await super().shutdown(sockets)

    def _open(self, door: socket.socket, most: int | None) -> None:
        loop = asyncio.get_running_loop()
        for line in islice(_waiting(door), most):
            task = loop.create_task(self._let_in(line))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _let_in(self, line: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]  # as uvicorn makes it
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        # Whoever has gone meanwhile, or does not get as far as TLS, is no news.
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, line, ssl=self.config.ssl,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self.config.ssl else None,
            )  # fmt: skip


@final
class Worker(Process):
    """One of several processes."""

    begun = False
    """Whether it has served, as far as is known here."""

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve. The server is made before the thread that is asked about it: made by both, one would never begin."""
        _ = self.server
        super().target(sockets)

    @property
    def server(self) -> uvicorn.Server:
        """What it runs."""
        if self._server is None:
            self._server = Host(self.config)
        return self._server

    def _healthcheck(self, timeout: float | None) -> bool | None:
        """Whether it has begun; None: it says nothing. Whoever ends meanwhile is not waited for, as uvicorn does."""
        try:
            self.parent_conn.send(b"ping")
            if self.parent_conn not in connection.wait([self.parent_conn, self.process.sentinel], timeout):
                return None
            found = bool(self.parent_conn.recv())
        except (OSError, EOFError):
            return None
        self.begun = self.begun or found
        return found


@final
class Hosts(Multiprocess):
    """Several processes behind one port."""

    _retry = 0.0

    def keep_subprocess_alive(self) -> None:
        """Put others in the place of those that are gone, or hang.

        One that can't begin any more, because a student has changed into one that is refused, is no reason to end
        those that serve the one before it: it is tried again later. Where nobody serves, it is.
        """
        for place, one in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if one.process.is_alive() and one.ping(timeout=_HANGS_SECONDS):
                continue
            one.kill()  # it may hang
            one.join()
            if one.exitcode == STARTUP_FAILURE:
                if not any(isinstance(other, Worker) and other.begun and other.process.is_alive()
                           for other in self.processes):  # fmt: skip
                    self.should_exit.set()
                    return
                if time.monotonic() < self._retry:
                    continue
                self._retry = time.monotonic() + _AGAIN_SECONDS
            self.processes[place] = again = Worker(self.config, self.sockets)
            again.start()

    def terminate_all(self) -> None:
        """End them. Behind a door that this process holds open nobody would be let in any more."""
        for one in self.sockets:
            one.close()
        super().terminate_all()


def _waiting(listening: socket.socket) -> Iterator[socket.socket]:
    """The lines that the system has taken and nobody has fetched."""
    listening.setblocking(False)
    with contextlib.suppress(BlockingIOError, OSError):
        while True:
            line, _ = listening.accept()
            line.setblocking(False)
            yield line
