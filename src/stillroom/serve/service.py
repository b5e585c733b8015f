"""What a server does with texts: lets them in, has them answered, and says what it did to them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from stillroom.runtime import reading
from stillroom.runtime.deferral import Decision
from stillroom.runtime.reading import Piece
from stillroom.runtime.runners import Written
from stillroom.serve import opinions, replies, sentry, traces
from stillroom.serve.batcher import Late, Refused
from stillroom.serve.faults import refusal
from stillroom.serve.opinions import Asking
from stillroom.serve.patience import Patience
from stillroom.serve.pens import Pieces
from stillroom.serve.replies import Finished, Passed, Reply
from stillroom.serve.sentry import Looked, Sentry
from stillroom.serve.settings import Serving
from stillroom.serve.shelf import Lane, Shelf
from stillroom.tasks.text_to_text import TextPrediction

if TYPE_CHECKING:
    from starlette.requests import Request

    from stillroom.serve.meters import Meters

#: Stands in a request's scope once its body has been read to its end.
WHOLE = "stillroom.whole"
#: Where the address of a request stands in its scope, as it is described.
AT = "stillroom.at"
#: Where that stands which may be told of a request.
TOLD = "stillroom.told"
_TOGETHER = 16  # passages that are read before the first of them is told


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
@dataclass
class _Watch:
    """What is known, at last, of a text that is told piece by piece."""

    begun: float
    waited_s: float = 0.0
    escalated: int = 0


@final
class Service:
    """All that requests are answered with."""

    def __init__(self, serving: Serving, shelf: Shelf, meters: Meters) -> None:
        self.serving, self.shelf, self.meters = serving, shelf, meters
        self._sentry = Sentry(serving.guard, meters)
        self.begun = time.time()
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
        request.scope[WHOLE] = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def ask(
        self,
        request: Request,
        texts: Sequence[str],
        *,
        model: str | None,
        version: str | None = None,
        deadline_s: float | None = None,
        teacher: Asking = "when_unsure",
        length: int | None = None,
    ) -> Answered:
        """Have a request's texts answered, and by the teacher behind the student where it is to be asked.

        Raises:
            Fault: too many texts, or one that is too long.
            InputError: a length of what has none.
            Unknown: no such model.
            Refused: there is no room.
            Late: it took too long after all.
        """
        lane = self.shelf.find(model, version)
        with self._asked(lane):
            lane.predictor.check_length(length)
            self._admit(texts)
            if self.serving.log == "all":
                request.scope[TOLD] = gist(texts)
            begun, at = time.perf_counter(), request.scope[AT]
            looked = await self._sentry.asked(at, texts)
            with traces.answering(lane.name, lane.version, texts) as span, Patience(request):
                own, waited = await replies.ask(lane, looked.texts, deadline_s=deadline_s, length=length)
                said = await opinions.escalated(lane, looked.texts, own, asking=teacher, meters=self.meters)
                traces.note(span, waited_s=waited, escalated=sum("escalated" in one.notes for one in said))
            told = await self._told(at, looked, said)
            self.meters.scored(lane.name, [one.prediction for one in told])
            took = time.perf_counter() - begun
            self.meters.answered(lane.name, texts=len(texts), waited_s=waited, took_s=took)
            return Answered(lane, told, waited, took)

    @contextlib.contextmanager
    def _asked(self, lane: Lane) -> Iterator[None]:
        """While a student is asked: it stays, and what it has no room or no time for is counted."""
        with lane.used():
            try:
                yield
            except (Refused, Late) as error:
                self.meters.shed_by(lane.name, "deadline" if isinstance(error, Late) else "overloaded")
                raise

    @contextlib.contextmanager
    def _telling(self, request: Request, lane: Lane, text: str) -> Iterator[_Watch]:
        """While a text is told piece by piece: it is counted, traced and noted as one that is told at once."""
        if self.serving.log == "all":
            request.scope[TOLD] = gist([text])
        watch = _Watch(time.perf_counter())
        with self._asked(lane), traces.answering(lane.name, lane.version, [text]) as span:
            yield watch
            traces.note(span, waited_s=watch.waited_s, escalated=watch.escalated)
            took = time.perf_counter() - watch.begun
            self.meters.answered(lane.name, texts=1, waited_s=watch.waited_s, took_s=took)

    async def _told(self, at: str, looked: Looked, said: Sequence[Reply], *, known: Sequence[Any] = ()) -> list[Reply]:
        """What may be told of what is said, and what was found in texts and answers beside it.

        `known`: predictions that were told in parts before.
        """
        every = [(place, "", one.prediction) for place, one in enumerate(said)]
        every += [(place, who, its) for place, one in enumerate(said) for who, its in one.beside.items()]
        predictions, notes = await self._sentry.answered(
            at, [looked.texts[place] for place, _, _ in every], [one for _, _, one in every],
            where=[f"predictions[{place}]" + (who and f".{who}") for place, who, _ in every], known=known,
        )  # fmt: skip
        found = [Reply(one, sentry.joined(before, its.notes))
                 for one, before, its in zip(predictions, looked.notes, said, strict=False)]  # fmt: skip
        for (place, who, _), one, more in zip(every, predictions, notes, strict=True):
            reply = found[place]
            beside: dict[str, Any] = {who: one.as_dict()} if who else {}
            if who == "teacher":
                beside = {who: {"prediction": one.as_dict(), **reply.notes[who]}}
            found[place] = Reply(reply.prediction, {**sentry.joined(reply.notes, sentry.of(more, who)), **beside})
        return found

    async def parts(
        self,
        request: Request,
        text: str,
        *,
        model: str | None,
        version: str | None = None,
        deadline_s: float | None = None,
        teacher: Asking = "when_unsure",
        length: int | None = None,
    ) -> AsyncIterator[Passed | Reply]:
        """What the student says of each passage of a text, as it says it, and at last what `ask` says of the whole.

        Raises:
            Fault: a text that is too long.
            InputError: a length of what has none.
            Unknown: no such model.
            Refused: there is no room.
            Late: it took too long after all.
        """
        lane, at = self.shelf.find(model, version), request.scope[AT]
        lane.predictor.check_length(length)
        self._admit([text])
        with self._telling(request, lane, text) as watch:
            looked = await self._sentry.asked(at, [text])
            heard: list[tuple[Piece, Any]] = []
            async for part, piece, one in self._parts(
                lane, looked.texts[0], at, watch, deadline_s=deadline_s, length=length
            ):
                heard.append((piece, one))
                yield part
            pieces, said = zip(*heard, strict=True)
            own = await replies.joined(lane, looked.texts, pieces, said, length=length)
            whole = await opinions.escalated(lane, looked.texts, own, asking=teacher, meters=self.meters)
            (told,) = await self._told(at, looked, whole, known=[own[0].prediction])
            watch.escalated = int("escalated" in told.notes)
            self.meters.scored(lane.name, [told.prediction])
            yield told

    async def _parts(
        self,
        lane: Lane,
        text: str,
        at: str,
        watch: _Watch,
        *,
        deadline_s: float | None = None,
        length: int | None = None,
    ) -> AsyncIterator[tuple[Passed, Piece, Any]]:
        """What is told of each passage of a text that was let in; beside it what the student says of the passage.

        The deadline is that of all of them, longer as `Batcher.ask` says by what they take by themselves; without one
        each few passages have the server's.
        """
        pieces = await replies.pieces(lane, [text])
        until = None
        if deadline_s is not None:
            until = time.monotonic() + lane.batcher.allowed([one.text for one in pieces], deadline_s=deadline_s)
        longer = 0  # characters that what was written until here has more than the text
        for first in range(0, len(pieces), _TOGETHER):
            some = pieces[first : first + _TOGETHER]
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise Late
            said, waited = await lane.batcher.ask(
                [one.text for one in some], deadline_s=left, lengths=reading.wished(some, length)
            )
            watch.waited_s = watch.waited_s if first else waited
            for piece, one in zip(some, said, strict=True):
                prediction = one.prediction if isinstance(one, Decision) else one
                (told,), (notes,) = await self._sentry.answered(at, [piece.text], [prediction])
                passed = Passed(
                    reading.part(lane.predictor, piece, told), sentry.moved(notes, piece.passage.first + longer)
                )
                longer += sentry.length(prediction) - len(piece.text)
                yield passed, piece, one

    async def write(
        self,
        request: Request,
        lane: Lane,
        text: str,
        *,
        most: int | None,
        temperature: float | None,
        seed: int,
        stops: Sequence[str],
    ) -> AsyncGenerator[str | Finished, None]:
        """What a student writes behind a text, or for it, piece by piece, and how it ended.

        Raises:
            Fault: a student that does not write, or not as it is asked to.
            Refused: there is no room.
        """
        self._admit([text])
        pen, at = lane.predictor.pen, request.scope[AT]
        if "text" not in lane.task.prediction["properties"]:
            raise refusal(422, "wrong_task", "model", "a student that writes nothing", "one that writes",
                          "See GET /models.")  # fmt: skip
        if pen is None and (most is not None or temperature or stops):
            found, expected = "`max_tokens`, `temperature` or `stop`", "none of them: this student writes its own way"
            raise refusal(422, "invalid_request", "body", found, expected, "Leave them out.")
        with self._telling(request, lane, text) as watch:
            looked = await self._sentry.asked(at, [text])
            (text,), notes = looked.texts, list(looked.notes)
            if pen is None:
                pieces = self._written(lane, text, at, watch, notes)
            else:
                self.meters.asked(lane.name, 1, prices=lane.prices)
                begin = functools.partial(pen, text, most=most, temperature=temperature, seed=seed, stops=stops)
                pieces, watch.waited_s = await lane.pens.begin(begin, within_s=self.serving.deadline_ms / 1e3)
                if self._sentry.looks_at_answers(at):
                    pieces = self._whole(at, text, pieces, notes)
            async for piece in pieces:
                yield Finished(piece, sentry.joined(*notes)) if isinstance(piece, Written) else piece

    async def _written(self, lane: Lane, text: str, at: str, watch: _Watch, notes: list[Mapping[str, Any]]) -> Pieces:
        """A text that is written passage by passage, with what stands between passages in the text."""
        self.meters.asked(lane.name, 1, prices=lane.prices)
        said: list[str] = []
        done = 0
        async for passed, _, _ in self._parts(lane, text, at, watch):
            part = passed.part
            notes.append(passed.notes)
            between = text[done : part.passage.first] if said else ""
            said.append(between + part.prediction.text)
            done = part.passage.last
            yield said[-1]
        read, written = [await asyncio.to_thread(lane.predictor.tokens, [one]) for one in (text, "".join(said))]
        yield Written(ended=True, read=read, written=written)

    async def _whole(self, at: str, text: str, pieces: Pieces, notes: list[Mapping[str, Any]]) -> Pieces:
        """All pieces as one, once they were looked at: what was told can't be taken back."""
        said: list[str] = []
        async for one in pieces:
            if isinstance(one, Written):
                (told,), its = await self._sentry.answered(at, [text], [TextPrediction("".join(said))])
                notes += its
                yield told.text
                yield one
            else:
                said.append(one)

    def _admit(self, texts: Sequence[str]) -> None:
        limits = self.serving.limits
        if len(texts) > limits.texts:
            found, expected = f"{len(texts)} texts", f"at most {limits.texts}"
            raise refusal(413, "too_many_texts", "texts", found, expected, "Send them in several requests.")
        for place, text in enumerate(texts):
            if len(text) > limits.characters:
                found, expected = f"{len(text)} characters", f"at most {limits.characters}"
                raise refusal(413, "text_too_long", f"texts[{place}]", found, expected, "Send it in parts.")


def gist(texts: Sequence[str]) -> dict[str, Any]:
    """What may be told of texts: how many, how long, and a hash by which whoever has them finds them again."""
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return {"texts": len(texts), "characters": sum(map(len, texts)), "sha256": whole.hexdigest()[:16]}


def too_large(most_mb: float) -> Exception:
    """A body that is not read to its end."""
    return refusal(413, "body_too_large", "body", "a larger body", f"at most {most_mb:g} MB", "Send it in parts.")
