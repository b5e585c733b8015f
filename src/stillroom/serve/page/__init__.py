"""The web page of a server: files of ours, read once, sent with their digest so that a browser keeps them."""

from __future__ import annotations

import hashlib
import mimetypes
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
_KINDS = {".html", ".css", ".js", ".svg", ".webmanifest"}


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Address → bytes, type and digest."""
    found = {}
    for one in resources.files(__name__).iterdir():
        if any(one.name.endswith(ending) for ending in _KINDS):
            data = one.read_bytes()
            at = "/" if one.name == _FIRST else f"/page/{one.name}"
            told = mimetypes.guess_type(one.name)[0] or "application/manifest+json"
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
