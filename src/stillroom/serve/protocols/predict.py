"""Our own: texts in, typed predictions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, final

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from stillroom.serve.protocols import Body, Path, ProtocolOfClients, body, reply
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

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("either `text` or `texts`")
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
        )


async def _predict(service: Service, request: Request) -> Response:
    asked = await body(service, request, Ask)
    texts = asked.texts if asked.text is None else [asked.text]
    seconds = asked.deadline_ms / 1e3 if asked.deadline_ms else None
    answer = await service.ask(request, texts or [], model=asked.model, version=asked.version, deadline_s=seconds)
    told: dict[str, Any] = {
        "model": answer.lane.name,
        "version": answer.lane.version,
        "task": answer.lane.task.kind,
        "predictions": [one.as_dict() for one in answer.replies],
    }
    return reply(told, headers=answer.timing)


async def _models(service: Service, request: Request) -> Response:
    return reply({"models": [one.describe() for one in service.shelf.lanes]})
