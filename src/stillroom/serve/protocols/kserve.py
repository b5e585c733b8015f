"""The Open Inference Protocol (KServe v2) over REST: texts as BYTES, and each part of a prediction as a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, final

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

import stillroom
from stillroom.serve.faults import Fault, refusal
from stillroom.serve.protocols import Body, Path, ProtocolOfClients, body, reply
from stillroom.serve.replies import Reply
from stillroom.serve.service import Service
from stillroom.serve.shelf import Lane

_NOTES = "notes"  # flags, cuts, whether it was sure, what its teacher did: an output of its own, in JSON
_INPUT = "text"


class Tensor(Body):
    """Texts, as a tensor."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any]
    parameters: dict[str, Any] | None = None


class Wanted(Body):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] | None = None


class Infer(Body):
    """What is asked."""

    id: str | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[Wanted] | None = None
    parameters: dict[str, Any] | None = None


@final
class KServe(ProtocolOfClients):
    """The Open Inference Protocol (KServe v2) over REST."""

    prefixes: ClassVar[tuple[str, ...]] = ("/v2",)

    kind: Literal["kserve"] = "kserve"

    def paths(self) -> Sequence[Path]:
        """Its addresses."""
        model = "/v2/models/{model}"
        version = f"{model}/versions/{{version}}"
        return (
            Path("/v2", "GET", "What this server is.", _server, scope=None),
            Path("/v2/health/live", "GET", "Whether it lives.", _live, scope=None),
            Path("/v2/health/ready", "GET", "Whether it takes requests.", _ready, scope=None),
            *(Path(at, "GET", "What a model takes and gives.", _about) for at in (model, version)),
            *(Path(f"{at}/ready", "GET", "Whether a model takes requests.", _model_ready) for at in (model, version)),
            *(Path(f"{at}/infer", "POST", "Ask a student.", _infer, body=Infer) for at in (model, version)),
        )

    def told(self, fault: Fault) -> Response:
        """One sentence, as its clients expect."""
        return reply({"error": fault.message}, status=fault.status, headers=fault.headers)


async def _server(service: Service, request: Request) -> Response:
    return reply({"name": "stillroom", "version": stillroom.__version__, "extensions": []})


async def _live(service: Service, request: Request) -> Response:
    return reply({"live": True})


async def _ready(service: Service, request: Request) -> Response:
    return reply({"ready": service.ready}, status=200 if service.ready else 503)


def _lane(service: Service, request: Request) -> Lane:
    return service.shelf.find(request.path_params["model"], request.path_params.get("version"))


async def _about(service: Service, request: Request) -> Response:
    lane = _lane(service, request)
    versions = [one.version for one in service.shelf.lanes if one.name == lane.name]
    outputs = [
        {"name": name, "datatype": _datatype(schema), "shape": [-1, -1] if _wide(schema) else [-1]}
        for name, schema in _outputs(lane).items()
    ]
    inputs = [{"name": _INPUT, "datatype": "BYTES", "shape": [-1]}]
    told = {"name": lane.name, "versions": versions, "platform": "stillroom", "inputs": inputs, "outputs": outputs}
    return reply(told)


async def _model_ready(service: Service, request: Request) -> Response:
    lane = _lane(service, request)
    return reply({"name": lane.name, "ready": service.ready}, status=200 if service.ready else 503)


async def _infer(service: Service, request: Request) -> Response:
    if "inference-header-content-length" in request.headers:
        todo = "Send the texts in `data`: with tritonclient, `binary_data=False`."
        raise refusal(415, "binary_tensors", "body", "tensors in binary", "JSON", todo)
    asked = await body(service, request, Infer)
    texts = _texts(asked.inputs[0])
    lane = _lane(service, request)
    properties = _outputs(lane)
    wanted = [one.name for one in asked.outputs or ()]
    unknown = [name for name in wanted if name not in properties]
    if unknown:
        raise refusal(422, "unknown_output", "outputs", f"{len(unknown)} that there are not",
                      f"some of {', '.join(properties)}", "Correct the names.")  # fmt: skip
    answer = await service.ask(
        request, texts, model=request.path_params["model"], version=request.path_params.get("version")
    )
    if not wanted:  # what was done to texts is told where anything was
        wanted = [name for name in properties if name != _NOTES or any(one.notes for one in answer.replies)]
    told: dict[str, Any] = {
        "model_name": lane.name,
        "model_version": answer.lane.version,
        "outputs": [_tensor(name, properties[name], answer.replies, lane=lane) for name in wanted],
    }
    if asked.id is not None:
        told["id"] = asked.id
    return reply(told, headers=answer.timing)


def _outputs(lane: Lane) -> dict[str, Any]:
    """What may be asked for: the parts of a prediction, and what was done to a text beside."""
    return {**lane.task.prediction["properties"], _NOTES: {"type": "object"}}


def _texts(tensor: Tensor) -> list[str]:
    flat: list[Any] = tensor.data
    while flat and all(isinstance(one, list) for one in flat):
        flat = [one for some in flat for one in some]
    size = 1
    for one in tensor.shape:
        size *= one
    if tensor.datatype != "BYTES" or size != len(flat) or not flat or not all(isinstance(one, str) for one in flat):
        found = "no strings, or not as many as `shape` says"
        raise refusal(422, "invalid_request", "inputs[0]", found, "BYTES, one string a text", "Correct the tensor.")
    return flat


def _wide(schema: Mapping[str, Any]) -> bool:
    """Whether a part of a prediction is a row of numbers."""
    inside = schema.get("items") or schema.get("additionalProperties") or {}
    return bool(inside.get("type") == "number")


def _datatype(schema: Mapping[str, Any]) -> str:
    return "FP32" if _wide(schema) or schema["type"] == "number" else "BYTES"


def _tensor(name: str, schema: Mapping[str, Any], replies: Sequence[Reply], *, lane: Lane) -> dict[str, Any]:
    """A part of all predictions: numbers as they are, strings as they are, anything else as JSON."""
    values = [one.notes if name == _NOTES else one.prediction.as_dict()[name] for one in replies]
    shape = [len(values)]
    if _wide(schema):
        rows = [list(one.values()) if isinstance(one, dict) else one for one in values]
        shape.append(len(rows[0]))
        values = [number for row in rows for number in row]
    elif schema["type"] not in ("number", "string"):
        values = [orjson.dumps(one).decode() for one in values]
    return {"name": name, "datatype": _datatype(schema), "shape": shape, "data": values}
