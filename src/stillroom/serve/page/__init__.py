"""The web page of a server: files of ours, read once, sent with their digest so that a browser keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from starlette.responses import Response

from stillroom.serve.protocols import Path

if TYPE_CHECKING:
    from starlette.requests import Request

    from stillroom.serve.service import Service

_FIRST = "index.html"
# Told here, because a machine's own table may say otherwise, and a browser runs no script of another type.
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "webmanifest": "application/manifest+json",
}


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Address → bytes, type and digest."""
    found = {}
    for one in resources.files(__name__).iterdir():
        told = _KINDS.get(one.name.rpartition(".")[2])
        if told:
            data = one.read_bytes()
            at = "/" if one.name == _FIRST else f"/page/{one.name}"
            found[at] = data, told, f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return found


def paths() -> Sequence[Path]:
    """Its addresses: they need no key, because the page asks for one."""
    return [Path(at, "GET", "The page.", _send, scope=None) for at in _files()]


async def _send(service: Service, request: Request) -> Response:
    data, told, digest = _files()[request.scope["path"]]
    headers = {"etag": digest, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == digest:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=told, headers=headers)
