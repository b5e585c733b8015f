"""How a server is asked, in OpenAPI's words: made of the forms that requests are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

import stillroom
from stillroom.serve.protocols import Path

if TYPE_CHECKING:
    from stillroom.tasks import Task

_PLACE = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["where", "found", "expected", "todo"],
    "properties": {name: {"type": "string"} for name in ("where", "found", "expected", "todo")},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "problems"],
            "properties": {"code": {"type": "string"}, "problems": {"type": "array", "items": _PROBLEM}},
        }
    },
}
_REFUSALS = {
    "400": "No JSON.",
    "401": "No key that is good for this.",
    "404": "No such model.",
    "408": "A body that came too slowly.",
    "413": "Too large.",
    "415": "A packed body.",
    "422": "Not of this form.",
    "429": "No room now: `Retry-After` says when.",
    "504": "A deadline that went by.",
}


def describe(paths: Sequence[Path], *, tasks: Sequence[Task]) -> dict[str, Any]:
    """The document for these addresses and the tasks of the students that are served."""
    bodies = sorted({one.body for one in paths if one.body}, key=lambda one: one.__name__)
    _, told = models_json_schema([(one, "validation") for one in bodies], ref_template=_PLACE)
    schemas: dict[str, Any] = dict(told.get("$defs", {}))
    schemas |= {"Error": _ERROR, "Answer": _answer(tasks)}
    addresses: dict[str, dict[str, Any]] = {}
    for one in paths:
        addresses.setdefault(one.at, {})[one.method.lower()] = _operation(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "stillroom", "version": stillroom.__version__},
        "paths": addresses,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(path: Path) -> dict[str, Any]:
    content = {"application/json": {"schema": path.returns or {}}}
    told: dict[str, Any] = {
        "summary": path.summary,
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                status: {"description": why, "content": {"application/json": {"schema": {}}}}
                for status, why in _REFUSALS.items()
            },
        },
    }
    inside = [part[1:-1] for part in path.at.split("/") if part.startswith("{")]
    if inside:
        told["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in inside
        ]
    if path.body:
        schema = {"$ref": _PLACE.format(model=path.body.__name__)}
        told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return told


def _answer(tasks: Sequence[Task]) -> dict[str, Any]:
    """What `/predict` answers: a prediction of the kind of one of the tasks for each text."""
    kinds: Mapping[str, Any] = {one.kind: {"type": "object", **one.prediction} for one in tasks}
    return {
        "type": "object",
        "required": ["model", "version", "task", "predictions"],
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "task": {"enum": sorted(kinds)},
            "predictions": {"type": "array", "items": {"anyOf": list(kinds.values())}},
        },
    }
