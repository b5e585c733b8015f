"""Corrections of a text in the shape of the W3C's Proofreader API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Literal, final

from starlette.requests import Request
from starlette.responses import Response

from stillroom.serve.faults import Fault, refusal
from stillroom.serve.protocols import Body, Path, ProtocolOfClients, body, openai, reply
from stillroom.serve.service import Service

Unit = Literal["utf-16", "code-points", "utf-8"]

# The Proofreader API's names for what a correction is about; all else is grammar.
_TYPES: Mapping[str, str] = {
    "spelling": "spelling",
    "punctuation": "punctuation",
    "capitals": "capitalization",
    "preposition": "preposition",
    "missing word": "missing-words",
}


class Proof(Body):
    """What is asked."""

    text: str
    model: str | None = None
    """Not needed where one student that corrects is served."""
    version: str | None = None
    offsets: Unit = "utf-16"
    """What places are counted in: as browsers do, as Python does, or in bytes."""


@final
class Proofread(ProtocolOfClients):
    """Corrections of a text in the shape of the W3C's Proofreader API."""

    prefixes: ClassVar[tuple[str, ...]] = ("/v1/proofread",)

    kind: Literal["proofread"] = "proofread"

    def paths(self) -> Sequence[Path]:
        """Its address."""
        return (Path("/v1/proofread", "POST", "Correct a text.", _proofread, body=Proof),)

    def told(self, fault: Fault) -> Response:
        """In the words of the addresses beside it."""
        return openai.told(fault)


async def _proofread(service: Service, request: Request) -> Response:
    asked = await body(service, request, Proof)
    model = asked.model or _only(service)
    answer = await service.ask(request, [asked.text], model=model, version=asked.version)
    (one,) = answer.replies
    found = one.as_dict()
    if not answer.lane.task.corrects:
        raise _no_proofreader()
    place = _places(one.notes.get("asked", asked.text), asked.offsets)
    told: dict[str, Any] = {
        "correctedInput": found["corrected"],
        "corrections": [
            {
                "startIndex": place(each["start"]),
                "endIndex": place(each["end"]),
                "correction": each["replacement"],
                "types": [_TYPES.get(each["type"], "grammar")],
                "explanation": each["explanation"],
                "topic": each["type"],
                "score": each["score"],
            }
            for each in found["corrections"]
        ],
        "offsets": asked.offsets,
        "model": answer.lane.name,
        "version": answer.lane.version,
    }
    return reply({**told, **one.notes}, headers=answer.timing)


def _only(service: Service) -> str:
    names = {one.name for one in service.shelf.lanes if one.task.corrects}
    if not names:
        raise _no_proofreader()
    if len(names) > 1:
        found, expected = "no name, and several students that correct", "one of them"
        raise refusal(422, "invalid_request", "model", found, expected, "Name it.")
    return names.pop()


def _no_proofreader() -> Fault:
    return refusal(404, "unknown_model", "model", "no student that corrects", "one", "See GET /models.")


def _places(text: str, unit: Unit) -> Callable[[int], int]:
    """From a place in code points to the same in another unit."""
    if unit == "code-points" or text.isascii():
        return lambda place: place
    width = (lambda one: 2 if ord(one) > 0xFFFF else 1) if unit == "utf-16" else (lambda one: len(one.encode()))
    ends = [0, *accumulate(map(width, text))]
    return lambda place: ends[place]
