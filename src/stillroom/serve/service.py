"""What a server does with texts: lets them in, has them answered, and says what it did to them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

from stillroom.serve.faults import refusal
from stillroom.serve.settings import Serving
from stillroom.serve.shelf import Lane, Shelf

if TYPE_CHECKING:
    from starlette.requests import Request

    from stillroom.serve.meters import Meters
    from stillroom.tasks import Prediction

_PATIENCE = 0.05  # seconds after which it looks now and then whether whoever asked is still there


@final
@dataclass(frozen=True)
class Reply:
    """What is said of one text."""

    prediction: Prediction
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What was done to it beside: flags, cuts, whether the teacher was asked."""

    def as_dict(self) -> dict[str, Any]:
        """As a program reads it."""
        return {**self.prediction.as_dict(), **self.notes}


@final
@dataclass(frozen=True)
class Answered:
    """What is said of all texts of a request."""

    lane: Lane
    replies: Sequence[Reply]
    waited_s: float
    took_s: float

    @property
    def timing(self) -> dict[str, str]:
        """Where the time went, as browsers show it."""
        return {"server-timing": f"queue;dur={self.waited_s * 1e3:.2f}, answer;dur={self.took_s * 1e3:.2f}"}


@final
class Service:
    """All that requests are answered with."""

    def __init__(self, serving: Serving, shelf: Shelf, meters: Meters) -> None:
        self.serving, self.shelf, self.meters = serving, shelf, meters
        self.draining = False

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""
        return bool(self.shelf.lanes) and not self.draining

    async def read(self, request: Request) -> bytes:
        """A request's body.

        Raises:
            Fault: larger or slower than is allowed.
        """
        limits = self.serving.limits
        most = int(limits.body_mb * 1e6)
        parts, size = [], 0
        try:
            async with asyncio.timeout(limits.body_seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise too_large(limits.body_mb)
                    parts.append(part)
        except TimeoutError:
            found, todo = "a body that did not come to its end", "Send it quicker."
            raise refusal(408, "slow_body", "body", found, f"all of it in {limits.body_seconds:g} s", todo) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def ask(
        self,
        request: Request,
        texts: Sequence[str],
        *,
        model: str | None,
        version: str | None = None,
        deadline_s: float | None = None,
    ) -> Answered:
        """Have a request's texts answered.

        Raises:
            Fault: too many texts, or one that is too long.
            Unknown: no such model.
            Refused: there is no room.
            Late: it took too long after all.
        """
        lane = self.shelf.find(model, version)
        self._admit(texts)
        begun = asyncio.get_running_loop().time()
        watch = _Watch(request)
        try:
            predictions, waited = await lane.batcher.ask(texts, deadline_s=deadline_s)
        finally:
            watch.stop()
        took = asyncio.get_running_loop().time() - begun
        self.meters.answered(lane.name, texts=len(texts), waited_s=waited, took_s=took)
        return Answered(lane, [Reply(one) for one in predictions], waited, took)

    def _admit(self, texts: Sequence[str]) -> None:
        limits = self.serving.limits
        if len(texts) > limits.texts:
            found, expected = f"{len(texts)} texts", f"at most {limits.texts}"
            raise refusal(413, "too_many_texts", "texts", found, expected, "Send them in several requests.")
        for place, text in enumerate(texts):
            if len(text) > limits.characters:
                found, expected = f"{len(text)} characters", f"at most {limits.characters}"
                raise refusal(413, "text_too_long", f"texts[{place}]", found, expected, "Send it in parts.")


def too_large(most_mb: float) -> Exception:
    """A body that is not read to its end."""
    return refusal(413, "body_too_large", "body", "a larger body", f"at most {most_mb:g} MB", "Send it in parts.")


@final
class _Watch:
    """Gives up a request whose client has gone. It looks only after a while: most answers are there before."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._asking = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    def stop(self) -> None:
        self._timer.cancel()
        if self._looking:
            self._looking.cancel()

    def _begin(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        if self._asking:
            self._asking.cancel()
