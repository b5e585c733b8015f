"""Whether whoever asked is still there: for nobody a student goes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from starlette.requests import Request

_SECONDS = 0.05  # after which it looks


class Gone(Exception):
    """Whoever asked is not there any more."""


@final
class Patience:
    """Gives up a request whose client has gone. It looks only after a while: most answers are there before."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._asking = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_SECONDS, self._begin)

    def __exit__(self, kind: type[BaseException] | None, *ended: object) -> None:
        if self._timer:
            self._timer.cancel()
        if self._looking:
            self._looking.cancel()
        if self._gone and kind is asyncio.CancelledError:
            if self._asking:
                self._asking.uncancel()
            raise Gone

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._asking:
            self._asking.cancel()
