"""As OpenAI's API is asked: vectors, chat and completions, also piece by piece."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, final

import numpy as np
import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from stillroom.serve import faults
from stillroom.serve.faults import Fault, refusal
from stillroom.serve.patience import Patience
from stillroom.serve.protocols import Body, Path, ProtocolOfClients, body, reply
from stillroom.serve.replies import Finished
from stillroom.serve.service import Service
from stillroom.serve.shelf import Lane

_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class Embed(Body):
    """Texts that vectors are asked for."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    user: str | None = None


class Part(Body):
    """A part of what somebody said."""

    type: Literal["text"]
    text: str


class Message(Body):
    """What somebody said."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    @property
    def words(self) -> str:
        """All of it."""
        return self.content if isinstance(self.content, str) else "".join(one.text for one in self.content)


class StreamOptions(Body):
    """What a stream tells beside."""

    include_usage: bool = False
    include_obfuscation: bool = False


class Writing(Body):
    """What both ways of asking for text have."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    seed: int | None = None
    n: Literal[1] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None


class Chat(Writing):
    """A conversation that is to go on. A student knows no roles: it reads what was said, turn by turn."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)


class Complete(Writing):
    """A text that is to go on."""

    prompt: str | list[str]


@final
class OpenAI(ProtocolOfClients):
    """As OpenAI's API is asked."""

    prefixes: ClassVar[tuple[str, ...]] = ("/v1",)

    kind: Literal["openai"] = "openai"

    def paths(self) -> Sequence[Path]:
        """Its addresses."""
        return (
            Path("/v1/models", "GET", "The students that are served.", _models),
            Path("/v1/embeddings", "POST", "Vectors of texts.", _embed, body=Embed),
            Path("/v1/chat/completions", "POST", "What a student says to a conversation.", _chat, body=Chat),
            Path("/v1/completions", "POST", "How a text goes on.", _complete, body=Complete),
        )

    def told(self, fault: Fault) -> Response:
        """An error as its clients know it."""
        return told(fault)


def told(fault: Fault) -> Response:
    """An error as clients of OpenAI know it."""
    error = {
        "message": fault.message,
        "type": _KINDS.get(fault.status, "invalid_request_error" if fault.status < 500 else "server_error"),
        "param": fault.problems[0].where if fault.problems else None,
        "code": fault.code,
    }
    return reply({"error": error}, status=fault.status, headers=fault.headers)


async def _models(service: Service, request: Request) -> Response:
    begun = int(service.begun)
    data = [
        {"id": name, "object": "model", "created": begun, "owned_by": "stillroom"}
        for name in dict.fromkeys(one.name for one in service.shelf.lanes)
    ]
    return reply({"object": "list", "data": data})


async def _embed(service: Service, request: Request) -> Response:
    asked = await body(service, request, Embed)
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    lane = service.shelf.find(asked.model)
    if "vector" not in lane.task.prediction["properties"]:
        raise _wrong_task("a student that embeds")
    answer = await service.ask(request, texts, model=asked.model)
    vectors = [
        _shortened(np.asarray(one.as_dict()["vector"]), asked.dimensions, lane=answer.lane) for one in answer.replies
    ]
    data = [
        {
            "object": "embedding",
            "index": place,
            "embedding": _coded(one, asked.encoding_format),
            **({"notes": its.notes} if its.notes else {}),
        }
        for place, (one, its) in enumerate(zip(vectors, answer.replies, strict=True))
    ]
    usage = await _usage(lane, texts)
    return reply({"object": "list", "data": data, "model": lane.name, "usage": usage}, headers=answer.timing)


def _shortened(vector: Any, dimensions: int | None, *, lane: Lane) -> Any:
    """A vector's first numbers at length one, where the student was made to be read so."""
    whole = len(vector)
    if dimensions is None or dimensions == whole:
        return vector
    known = [*lane.task.lengths, whole]
    if dimensions not in known:
        raise refusal(422, "invalid_request", "dimensions", "a length that it was not made for",
                      f"one of {', '.join(map(str, known))}", "Correct it.")  # fmt: skip
    short = vector[:dimensions]
    return short / max(float(np.linalg.norm(short)), 1e-12)


def _coded(vector: Any, wanted: str) -> Any:
    if wanted == "base64":
        return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode()
    return np.asarray(vector, dtype=np.float32)


async def _usage(lane: Lane, texts: Sequence[str]) -> dict[str, int]:
    """Tokens as the student reads them, where it has any."""
    read = await asyncio.to_thread(lane.predictor.tokens, texts)
    return {"prompt_tokens": read, "total_tokens": read}


async def _chat(service: Service, request: Request) -> Response:
    asked = await body(service, request, Chat)
    prompt = "\n".join(one.words for one in asked.messages)
    most = asked.max_completion_tokens or asked.max_tokens
    return await _write(service, request, asked, prompt, most=most, form=_CHAT)


async def _complete(service: Service, request: Request) -> Response:
    asked = await body(service, request, Complete)
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    if len(prompts) != 1:
        raise refusal(422, "invalid_request", "prompt", f"{len(prompts)} prompts", "one", "Ask for each alone.")
    return await _write(service, request, asked, prompts[0], most=asked.max_tokens, form=_COMPLETION)


@final
@dataclass(frozen=True)
class _Form:
    """How one of the two ways of asking for text is answered."""

    start: str
    whole: str
    piece: str
    chat: bool

    def choice(self, text: str, reason: str | None) -> dict[str, Any]:
        """All that was written."""
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        return {"index": 0, **said, "finish_reason": reason, "logprobs": None}

    def some(self, text: str, reason: str | None, *, first: bool) -> dict[str, Any]:
        """A piece of it."""
        role = {"role": "assistant"} if first else {}
        content = {"content": text} if text or first else {}
        said: dict[str, Any] = {"delta": {**role, **content}} if self.chat else {"text": text}
        return {"index": 0, **said, "finish_reason": reason, "logprobs": None}


_CHAT = _Form("chatcmpl", "chat.completion", "chat.completion.chunk", True)
_COMPLETION = _Form("cmpl", "text_completion", "text_completion", False)


async def _write(
    service: Service, request: Request, asked: Writing, prompt: str, *, most: int | None, form: _Form
) -> Response:
    lane = service.shelf.find(asked.model)
    about = {"id": f"{form.start}-{uuid.uuid4().hex}", "created": int(time.time()), "model": lane.name}
    stops = [asked.stop] if isinstance(asked.stop, str) else asked.stop or []
    pieces = service.write(
        request, lane, prompt, most=most, temperature=asked.temperature, seed=asked.seed or 0, stops=stops
    )
    with Patience(request):
        first = await anext(pieces)  # what is refused is refused before an answer has begun
        every = [] if asked.stream else [one async for one in _after(first, pieces)]
    if asked.stream:
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        lines = _lines(pieces, first, about, form=form, usage=usage)
        return StreamingResponse(lines, media_type="text/event-stream", headers={"cache-control": "no-store"})
    *said, end = every
    choice = form.choice("".join(said), _reason(end))
    return reply({**about, "object": form.whole, "choices": [choice], "usage": _counted(end), **_noted(end)})


async def _after(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for one in rest:
        yield one


async def _lines(
    pieces: AsyncIterator[Any], first: Any, about: dict[str, Any], *, form: _Form, usage: bool
) -> AsyncIterator[bytes]:
    begun = True
    try:
        async for one in _after(first, pieces):
            ended = isinstance(one, Finished)
            choice = form.some("" if ended else one, _reason(one) if ended else None, first=begun)
            begun = False
            yield _line({**about, "object": form.piece, "choices": [choice], **(_noted(one) if ended else {})})
            if ended and usage:
                yield _line({**about, "object": form.piece, "choices": [], "usage": _counted(one)})
    except Exception as error:  # the answer has begun: it can't be taken back
        fault = faults.of(error)
        if fault is None:
            raise
        yield b"data: " + bytes(told(fault).body) + b"\n\n"
        return
    yield b"data: [DONE]\n\n"


def _line(content: Any) -> bytes:
    return b"data: " + orjson.dumps(content) + b"\n\n"


def _reason(end: Finished) -> str:
    return "stop" if end.written.ended else "length"


def _counted(end: Finished) -> dict[str, int]:
    read, written = end.written.read, end.written.written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _noted(end: Finished) -> dict[str, Any]:
    """What was done to the text beside, where anything was: a key of ours, which clients pass over."""
    return {"notes": end.notes} if end.notes else {}


def _wrong_task(expected: str) -> Fault:
    return refusal(422, "wrong_task", "model", "a student of another task", expected, "See GET /models.")
