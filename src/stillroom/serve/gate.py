"""What every request passes: its number, its key, its rate, its size; and what every answer carries."""

from __future__ import annotations

import logging
import os
import re
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from stillroom.core.errors import Problem
from stillroom.serve import faults
from stillroom.serve.doors import ARRIVED
from stillroom.serve.faults import Fault, refusal
from stillroom.serve.patience import Gone
from stillroom.serve.protocols import Path, ProtocolOfClients
from stillroom.serve.service import AT, TOLD, WHOLE, Service, too_large

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from stillroom.serve.keys import Ring
    from stillroom.serve.rates import Rates
    from stillroom.serve.room import Room
    from stillroom.serve.routes import Routes

log = logging.getLogger("stillroom.serve")

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# Of every answer. The page is of our files alone, and nobody else's page may hold it in a frame.
_SAFE: Sequence[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy",
     b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
     b"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)  # fmt: skip
_GONE = 499  # nobody is told: it is counted alone
_BUSY = faults.busy(1.0)
_OTHER = "other"  # addresses that there are not are one, or anybody could make meters without end


@final
class Gate:
    """Stands before the routes."""

    def __init__(
        self,
        service: Service,
        *,
        lifetime: ASGIApp,
        ring: Ring,
        rates: Rates | None,
        routes: Routes,
        surfaces: Sequence[ProtocolOfClients],
        room: Room,
    ) -> None:
        """`lifetime`: what begins and ends with the server."""
        self._inside, self._room = 0, room
        self._service, self._lifetime, self._ring, self._rates = service, lifetime, ring, rates
        self._routes = routes
        self._surfaces = sorted(
            ((prefix, one) for one in surfaces for prefix in one.prefixes), key=lambda pair: -len(pair[0])
        )
        self._plain = next(one for one in surfaces if not one.prefixes)
        self._busy = {one: _written(one.told(_BUSY)) for one in surfaces}
        self._tells_all = service.serving.log == "all"
        self._origins = {one.encode() for one in service.serving.origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or say why not."""
        if scope["type"] != "http":
            await self._lifetime(scope, receive, send)
            return
        now = time.perf_counter()
        begun = scope.get(ARRIVED, now)
        self._inside += 1
        self._room.waited(now - begun, inside=self._inside)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        number, own = self._own(headers)
        extra = [*_SAFE, *own]
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = list(message.get("headers", ()))
                told = {name for name, _ in own}  # what an answer says for itself is not said twice
                message["headers"] = [*own, *(one for one in extra if one[0] not in told)]
            await send(message)

        fault: Fault | None = None
        path: Path | None = None
        try:
            response = self._preflight(scope, headers)
            if response is None:
                path, scope["path_params"] = self._routes.find(scope["path"], scope["method"])
                scope[AT] = path.at
                self._check(path, scope, headers)
                response = await path.answer(self._service, Request(scope, receive))
            await response(scope, receive, tell)
        except (Gone, ClientDisconnect):
            status = _GONE
        except Exception as error:  # of whatever kind: whoever asked is told something, and nothing of the inside
            fault = faults.of(error) or self._unforeseen(error, number)
            if not status:
                if scope["method"] == "POST" and WHOLE not in scope:
                    extra.append((b"connection", b"close"))  # or the rest of it would be read for nothing
                await self._surface(scope["path"]).told(fault)(scope, receive, tell)
        finally:
            self._inside -= 1
            self._note(scope, path, status=status, seconds=time.perf_counter() - begun, number=number, fault=fault)

    def busy(self, path: str, headers: Mapping[bytes, bytes], *, close: bool) -> bytes:
        """The whole answer to a request that there is no room for: so cheap that there is time for others."""
        self._service.meters.turned_away(self._routes.at(path) or _OTHER)
        head, body = self._busy[self._surface(path)]
        _, own = self._own(headers)
        if close and not self._service.draining:
            own.append((b"connection", b"close"))
        return b"".join((head, *(part for name, value in own for part in (name, b": ", value, b"\r\n")), body))

    def _own(self, headers: Mapping[bytes, bytes]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """A request's number, and what its answer carries beside what all do."""
        given = headers.get(b"x-request-id")
        number = given if given and _ID.fullmatch(given) else os.urandom(8).hex().encode()
        extra = [(b"x-request-id", number)]
        origin = headers.get(b"origin")
        if origin in self._origins and origin is not None:
            extra += [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if self._service.draining:
            extra.append((b"connection", b"close"))
        return number, extra

    def _check(self, path: Path, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Refuse what can be refused before a byte of the body is read."""
        needed = path.scope
        if needed is not None and self._ring.locked:
            key = self._ring.who(_secret(headers), scope=needed)
            if key is None:
                raise _no_key(needed)
            whose = key.name
        else:
            whose = (scope.get("client") or ("",))[0]
        if self._rates is not None and needed is not None:
            wait = self._rates.wait(whose)
            if wait:
                expected = f"at most {self._service.serving.limits.rate}"
                problem = Problem("server", "more requests than are allowed", expected, f"Try again in {wait} s.")
                raise Fault(429, "rate", problem, headers={"retry-after": str(wait)})
        if headers.get(b"content-encoding", b"identity") != b"identity":
            # What is small on the way may be huge here.
            raise refusal(415, "encoded_body", "content-encoding", "a packed body", "a plain one", "Send it unpacked.")
        length = headers.get(b"content-length")
        if length is not None and not length.isdigit():
            raise refusal(400, "bad_length", "content-length", "no number", "the body's bytes", "Correct it.")
        if length is not None and int(length) > self._service.serving.limits.body_mb * 1e6:
            raise too_large(self._service.serving.limits.body_mb)

    def _preflight(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Response | None:
        """The answer to a browser that asks whether a page from elsewhere may ask."""
        asked = scope["method"] == "OPTIONS" and b"access-control-request-method" in headers
        if not asked or headers.get(b"origin") not in self._origins:
            return None
        allowed = {
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "authorization, content-type, x-api-key, x-request-id",
            "access-control-max-age": "600",
        }
        return Response(status_code=204, headers=allowed)

    def _surface(self, path: str) -> ProtocolOfClients:
        for prefix, one in self._surfaces:
            if path.startswith(prefix):
                return one
        return self._plain

    def _unforeseen(self, error: Exception, number: bytes) -> Fault:
        """A mistake of ours. Its message may hold a text, so that only its kind and its place are told."""
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
        log.error("failed", extra={"told": {"id": number.decode(), "error": type(error).__name__, "at": places}})
        todo = f"Report it with the request's id {number.decode()}."
        return refusal(500, "internal", "server", "a mistake in the server", "an answer", todo)

    def _note(
        self, scope: Scope, path: Path | None, *, status: int, seconds: float, number: bytes, fault: Fault | None
    ) -> None:
        at = path.at if path else _OTHER
        self._service.meters.request(at, status=status, seconds=seconds)
        if fault and fault.code in ("overloaded", "deadline"):
            self._service.meters.shed(fault.code)
        if self._tells_all or status >= 500 or not status:
            told: dict[str, Any] = {"id": number.decode(), "path": at, "method": scope["method"], "status": status,
                                    "ms": round(seconds * 1e3, 2)}  # fmt: skip
            told |= scope.get(TOLD) or {}
            if fault:
                told["code"] = fault.code
            log.info("request", extra={"told": told})


def _written(told: Response) -> tuple[bytes, bytes]:
    """A refusal as it goes over the line, but for what is of the one request: its head, and its end."""
    lines = [name + b": " + value + b"\r\n" for name, value in (*told.raw_headers, *_SAFE)]
    return b"".join((b"HTTP/1.1 429 Too Many Requests\r\n", *lines)), b"\r\n" + bytes(told.body)


def _secret(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of a request, as `Authorization: Bearer` or `X-API-Key`."""
    word, _, secret = headers.get(b"authorization", b"").partition(b" ")
    found = secret.strip() if word.lower() == b"bearer" else headers.get(b"x-api-key")
    return found.decode("utf-8", "surrogateescape") if found else None


def _no_key(needed: str) -> Fault:
    todo = "Send `Authorization: Bearer KEY`; `stillroom keys` makes one."
    problem = Problem("authorization", "no key that is good for this", f"one for `{needed}`", todo)
    return Fault(401, "no_key", problem, headers={"www-authenticate": "Bearer"})
