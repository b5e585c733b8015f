"""The application: the routes of all protocols behind one gate, and its beginning and end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from stillroom.core import plugins
from stillroom.core.errors import StillroomError
from stillroom.serve import openapi, page, traces
from stillroom.serve.doors import HOUSE, Busy, House
from stillroom.serve.gate import Gate
from stillroom.serve.keys import Ring
from stillroom.serve.meters import Meters
from stillroom.serve.protocols import Path, ProtocolOfClients, reply
from stillroom.serve.rates import Rates
from stillroom.serve.room import Room
from stillroom.serve.routes import Routes
from stillroom.serve.service import Service
from stillroom.serve.settings import Serving
from stillroom.serve.shelf import Shelf

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("stillroom.serve")

#: Where a worker finds what it is told.
TOLD = "STILLROOM_SERVING"


def of_environment() -> ASGIApp:
    """The application of a worker, which is told by a variable."""
    return make(Serving.model_validate_json(os.environ[TOLD]))


def make(serving: Serving) -> ASGIApp:
    """The application. What it serves is loaded and checked when it begins, before it answers anybody.

    Raises:
        InputError: keys, trusted ones too, or limits that can't be read.
    """
    meters = Meters()
    shelf = Shelf(serving, meters)
    service = Service(serving, shelf, meters)
    surfaces: Sequence[ProtocolOfClients] = [
        plugins.build("serve.protocols", name) for name in plugins.names("serve.protocols")
    ]
    paths = [*_house(surfaces), *page.paths(), *(path for one in surfaces for path in one.paths())]
    limits = serving.limits
    room = Room(deadline_s=serving.deadline_ms / 1e3, most=limits.connections)
    gate: Gate = Gate(
        service,
        lifetime=_telling(Router(lifespan=lambda app: _lifetime(service, room, gate.busy))),
        ring=Ring(serving.keys),
        rates=Rates(limits.rate, workers=serving.workers) if limits.rate else None,
        routes=Routes(paths),
        surfaces=surfaces,
        room=room,
    )
    return traces.around(gate)


def _house(surfaces: Sequence[ProtocolOfClients]) -> Sequence[Path]:
    """The server's own addresses: whether it lives, whether it takes requests, what it measures, how it is asked."""
    known: dict[tuple[str, ...], Response] = {}

    async def described(service: Service, request: Request) -> Response:
        versions = tuple(lane.version for lane in service.shelf.lanes)
        if versions not in known:
            paths = [path for one in surfaces for path in one.paths()]
            known.clear()
            known[versions] = reply(openapi.describe(paths, tasks=[lane.task for lane in service.shelf.lanes]))
        return known[versions]

    return (
        Path("/health", "GET", "Whether it lives.", _health, scope=None),
        Path("/ready", "GET", "Whether it takes requests.", _ready, scope=None),
        Path("/metrics", "GET", "What it measures, for Prometheus.", _metrics, scope="metrics"),
        Path("/openapi.json", "GET", "How it is asked.", described, scope=None),
    )


async def _health(service: Service, request: Request) -> Response:
    return reply({"alive": True})


async def _ready(service: Service, request: Request) -> Response:
    told: dict[str, Any] = {"ready": service.ready, "models": [one.describe() for one in service.shelf.lanes]}
    if service.shelf.troubles:
        told["kept_older_versions_of"] = sorted(service.shelf.troubles)
    return reply(told, status=200 if service.ready else 503)


async def _metrics(service: Service, request: Request) -> Response:
    return Response(service.meters.read(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _telling(lifetime: ASGIApp) -> ASGIApp:
    """Why it can't begin, in our words where it is an error of ours: where a student is damaged, no traceback helps."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        failed: Message | None = None

        async def tell(message: Message) -> None:
            nonlocal failed
            if message["type"] == "lifespan.startup.failed":
                failed = message
            else:
                await send(message)

        try:
            await lifetime(scope, receive, tell)
        except Exception as error:  # of whatever kind: it is only told, and goes on from here
            if failed is not None and isinstance(error, StillroomError):
                log.error("not begun", extra={"told": {"why": str(error)}})
                failed = {**failed, "message": ""}
            if failed is not None:
                await send(failed)
            raise

    return told


@contextlib.asynccontextmanager
async def _lifetime(service: Service, room: Room, busy: Busy) -> AsyncIterator[dict[str, Any]]:
    limits = service.serving.limits
    await service.shelf.open()
    # What is loaded stays: to look through it for what nobody needs any more would stop everybody, every second, for as
    # long as a hundred answers take.
    gc.collect()
    gc.freeze()
    service.meters.ready(True)
    _on_term(service)
    renewing = _on_hup(service)
    try:
        yield {HOUSE: House(limits.header_seconds, limits.connections, room, busy)}
    finally:
        renewing.cancel()
        service.draining = True
        service.meters.ready(False)
        await service.shelf.close()


def _on_hup(service: Service) -> asyncio.Task[None]:
    """Told to look, it looks whether a student has changed, whether or not it does so by itself."""
    told = asyncio.Event()

    async def look() -> None:
        while True:
            await told.wait()
            told.clear()
            await service.shelf.renew()

    # Not in the main thread, as inside a program of somebody's; or a system without that signal.
    with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, told.set)
    return asyncio.create_task(look())


def _on_term(service: Service) -> None:
    """When told to stop: no longer ready at once; the end itself comes so much later that a balancer has noticed."""
    loop = asyncio.get_running_loop()
    before: Any = signal.getsignal(signal.SIGTERM)
    if not callable(before):  # nobody waits for it: a test, or a program of somebody's
        return

    def stop(number: int, frame: Any) -> None:
        if not service.draining:
            service.draining = True
            loop.call_soon_threadsafe(_later, service.serving.drain_seconds, lambda: before(number, frame))

    def _later(seconds: float, then: Callable[[], Any]) -> None:
        service.meters.ready(False)
        loop.call_later(seconds, then)

    with contextlib.suppress(ValueError):  # not in the main thread: a server inside a program of somebody's
        signal.signal(signal.SIGTERM, stop)
