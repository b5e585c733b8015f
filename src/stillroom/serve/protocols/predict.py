"""Our own: texts in, typed predictions out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from typing import Any, Literal, Self, final

import orjson
from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stillroom.serve import faults
from stillroom.serve.faults import refusal
from stillroom.serve.opinions import Asking
from stillroom.serve.patience import Patience
from stillroom.serve.protocols import Body, Path, ProtocolOfClients, body, reply
from stillroom.serve.replies import Passed, Reply
from stillroom.serve.service import Service

_ANSWER = {"$ref": "#/components/schemas/Answer"}


class Ask(Body):
    """What is asked."""

    model: str | None = None
    """A name of GET /models; not needed where one model is served."""
    version: str | None = None
    """The digest of its bundle, or its first letters; none: the newest."""
    text: str | None = None
    texts: list[str] | None = Field(None, min_length=1)
    """A text, or several."""
    deadline_ms: float | None = Field(None, gt=0, le=3_600_000)
    """Within which the answer is of use; none: the server's."""
    teacher: Asking = "when_unsure"
    """When its teacher is asked, where one stands behind it; `beside`: always, and what both say is told."""
    length: int | None = Field(None, ge=1)
    """Of a summary: how many words at most, in whole sentences where it can be; none: as long as it comes."""
    stream: bool = False
    """Of one text: what is said of each passage as it is said, as server-sent events, and at last of the whole."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("either `text` or `texts`")
        if self.stream and self.text is None:
            raise ValueError("`stream` of one `text`")
        return self


@final
class Predict(ProtocolOfClients):
    """Our own: texts in, typed predictions out."""

    kind: Literal["predict"] = "predict"

    def paths(self) -> Sequence[Path]:
        """Its addresses."""
        return (
            Path("/predict", "POST", "Ask a student.", _predict, body=Ask, returns=_ANSWER),
            Path("/models", "GET", "The students that are served.", _models),
            Path("/models/{model}/cost", "GET", "What its answers cost so far, and would cost of its teacher.", _cost),
            Path("/models/{model}/certificate", "GET", "What was certified of its answers.", _certificate),
        )


async def _predict(service: Service, request: Request) -> Response:
    asked = await body(service, request, Ask)
    seconds = asked.deadline_ms / 1e3 if asked.deadline_ms else None
    if asked.stream and asked.text is not None:
        parts = service.parts(
            request, asked.text, model=asked.model, version=asked.version, deadline_s=seconds, teacher=asked.teacher,
            length=asked.length,
        )  # fmt: skip
        with Patience(request):
            first = await anext(parts)  # what is refused is refused before an answer has begun
        return StreamingResponse(_events(first, parts), media_type="text/event-stream",
                                 headers={"cache-control": "no-store"})  # fmt: skip
    texts = asked.texts if asked.text is None else [asked.text]
    answer = await service.ask(
        request, texts or [], model=asked.model, version=asked.version, deadline_s=seconds, teacher=asked.teacher,
        length=asked.length,
    )  # fmt: skip
    told: dict[str, Any] = {
        "model": answer.lane.name,
        "version": answer.lane.version,
        "task": answer.lane.task.kind,
        "predictions": [one.as_dict() for one in answer.replies],
    }
    return reply(told, headers=answer.timing)


async def _events(first: Passed | Reply, rest: AsyncIterator[Passed | Reply]) -> AsyncIterator[bytes]:
    """Parts as they come, then the whole. What goes wrong meanwhile is told as an event of its own."""
    try:
        yield _event(first)
        async for one in rest:
            yield _event(one)
    except Exception as error:  # the answer has begun: it can't be taken back
        fault = faults.of(error)
        if fault is None:
            raise
        yield b"event: error\ndata: " + orjson.dumps(faults.as_dict(fault)) + b"\n\n"


def _event(one: Passed | Reply) -> bytes:
    name = b"part" if isinstance(one, Passed) else b"prediction"
    return b"event: " + name + b"\ndata: " + orjson.dumps(one.as_dict(), option=orjson.OPT_SERIALIZE_NUMPY) + b"\n\n"


async def _models(service: Service, request: Request) -> Response:
    return reply({"models": [one.describe() for one in service.shelf.lanes]})


async def _cost(service: Service, request: Request) -> Response:
    """What the answers under a name have cost so far, the teacher's among them, against asking it about everything."""
    lane = service.shelf.find(request.path_params["model"])
    bill = await asyncio.to_thread(service.meters.bill, lane.name)
    told: dict[str, Any] = {"texts": bill.texts, "escalated": bill.escalated, "currency": lane.prices.currency}
    if lane.prices.student is None or lane.prices.teacher is None:
        return reply({**told, "spent": None, "teacher_for_everything": None, "paid_share": None})
    share = bill.spent / bill.whole if bill.whole else None
    return reply({**told, "spent": bill.spent, "teacher_for_everything": bill.whole, "paid_share": share})


async def _certificate(service: Service, request: Request) -> Response:
    cascade = service.shelf.find(request.path_params["model"]).predictor.cascade
    if cascade is None:
        todo = "Certify its run: stillroom cascade work/runs/NAME."
        raise refusal(404, "not_certified", "model", "a bundle without a certificate", "one that carries one", todo)
    return reply({"threshold": cascade.threshold, "certificate": asdict(cascade.certificate)})
