"""What is said of a student: its model card and its report, as its journey wrote them."""

from __future__ import annotations

import asyncio
from pathlib import Path as File
from typing import Literal, final

from starlette.requests import Request
from starlette.responses import Response

from stillroom.serve.faults import refusal
from stillroom.serve.protocols import Path, ProtocolOfClients, reply
from stillroom.serve.service import Service
from stillroom.serve.shelf import Lane

_CARD, _REPORT = "model_card.md", "report.html"
_FILES = {"card": _CARD, "report": _REPORT}
_DOSSIER = "dossier"
# The report brings its styles along, and nothing else: no script, nothing from elsewhere.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@final
class Papers(ProtocolOfClients):
    """What is said of a student, in its journey's words."""

    kind: Literal["papers"] = "papers"

    def paths(self) -> tuple[Path, ...]:
        """Their addresses."""
        return (
            Path("/models/{name}/papers", "GET", "Which papers of a student there are.", _papers),
            Path("/models/{name}/card", "GET", "The card of a student, in Markdown.", _card),
            Path("/models/{name}/report", "GET", "The report of a student's journey, a web page.", _report),
        )


async def _papers(service: Service, request: Request) -> Response:
    lane = _lane(service, request)
    there = await asyncio.to_thread(lambda: [which for which, name in _FILES.items() if _file(lane, name)])
    return reply({"papers": there})


async def _card(service: Service, request: Request) -> Response:
    data = await _read(service, request, _CARD)
    return Response(data, media_type="text/markdown; charset=utf-8")


async def _report(service: Service, request: Request) -> Response:
    data = await _read(service, request, _REPORT)
    return Response(data, media_type="text/html; charset=utf-8", headers={"content-security-policy": _POLICY})


async def _read(service: Service, request: Request, name: str) -> bytes:
    """A paper of a run, or of its bundle.

    Raises:
        Fault: there is none.
    """
    found = await asyncio.to_thread(_written, _lane(service, request), name)
    if found is None:
        expected, todo = "a finished run, which has one", "Serve the folder of the run."
        raise refusal(404, "no_paper", "model", f"a student without `{name}`", expected, todo)
    return found


def _lane(service: Service, request: Request) -> Lane:
    return service.shelf.find(request.path_params["name"], request.query_params.get("version"))


def _file(lane: Lane, name: str) -> File | None:
    """Where it lies: the run's own says more than what was shipped in the bundle."""
    every = (folder / name for folder in (lane.told.path / _DOSSIER, lane.predictor.folder))
    return next((one for one in every if one.is_file()), None)


def _written(lane: Lane, name: str) -> bytes | None:
    file = _file(lane, name)
    return file.read_bytes() if file else None
