"""Family: how a server is asked. A protocol has its own paths, bodies and words for what goes wrong."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import Response

from stillroom.core.plugins import Member
from stillroom.serve import faults
from stillroom.serve.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from stillroom.serve.service import Service

_PLAIN = orjson.OPT_SERIALIZE_NUMPY
B = TypeVar("B", bound="Body")


class Body(BaseModel):
    """What stands in a request: nothing is guessed, and nothing passed over."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@final
@dataclass(frozen=True)
class Path:
    """One address of a protocol."""

    at: str
    method: str
    summary: str
    answer: Callable[[Service, Request], Awaitable[Response]]
    body: type[Body] | None = None
    returns: Mapping[str, Any] | None = None
    """The JSON schema of what is returned; None: any."""
    scope: str | None = "predict"
    """What a key has to be good for; None: no key is needed."""


class ProtocolOfClients(Member, ABC):
    """How some kind of client asks."""

    prefixes: ClassVar[tuple[str, ...]] = ()
    """Beginnings of its addresses: what goes wrong there is told in its words."""

    @abstractmethod
    def paths(self) -> Sequence[Path]:
        """Its addresses."""

    def told(self, fault: Fault) -> Response:
        """What went wrong, in its words."""
        return reply(faults.as_dict(fault), status=fault.status, headers=fault.headers)


def reply(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON."""
    return Response(
        orjson.dumps(content, option=_PLAIN), status_code=status, media_type="application/json",
        headers=dict(headers) if headers else None,
    )  # fmt: skip


async def body(service: Service, request: Request, model: type[B]) -> B:
    """The body of a request, in its form.

    Raises:
        Fault: it is too large, too slow, no JSON, or of another form.
    """
    data = await service.read(request)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise faults.of_body(error) from None
