"""Sends requests side by side, waits and tries again where that may help, and never spends past the cap."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, final

from stillroom.core.errors import OutsideError, Problem, StillroomError
from stillroom.core.progress import Meter, Report
from stillroom.teachers._forecast import shown
from stillroom.teachers.endpoint.ledger import Ledger, Reserve
from stillroom.teachers.endpoint.wording import NoCompletion, Request, Wording

if TYPE_CHECKING:
    import httpx

    from stillroom.teachers.endpoint import Endpoint

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds: full jitter below a bound that doubles (Brooker 2015)
_LONGEST_ASKED = 600.0  # seconds that a server may ask to wait; beyond them a person decides
_MUTE = 20  # replies without any answer after which asking on would be money for nothing
_TIMED_OUT = 408
_PASSING = (_TIMED_OUT, 425, 429)  # what is below 500 and may be well the next time
_REMEDIES = {
    400: "See that the server knows the model, and answers in this way (`api`, `answers`, `top_logprobs`).",
    401: "Put a valid key into the environment variable that `api_key_env` names.",
    402: "The account has no credit left.",
    403: "See that the key may use this model.",
    404: "Check `base_url` (it often ends in /v1), `api` and `model`.",
    413: "A text is too long for this server: cut it, or leave it out.",
    422: "See that the server knows the model, and answers in this way (`api`, `answers`, `top_logprobs`).",
}


@final
@dataclass(frozen=True)
class _Failure:
    """An attempt that may go better later."""

    status: str
    wait_seconds: float | None = None
    """What the server asks for."""


def send(
    requests: Sequence[Request],
    *,
    settings: Endpoint,
    key: str,
    wording: Wording,
    ledger: Ledger,
    report: Report,
    needed: Decimal | None = None,
) -> None:
    """Have a reply to every request in the ledger, which is held; `needed` is the cap that all are thought to need.

    Raises:
        OutsideError: the cap is reached, the server refuses, or does not answer; what was answered is kept.
    """
    work = _Dispatch(requests, settings=settings, key=key, wording=wording, ledger=ledger, report=report,
                     needed=needed)  # fmt: skip
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work.run())
        return
    with ThreadPoolExecutor(1) as beside:  # in a notebook, whose own loop runs already
        done = beside.submit(asyncio.run, work.run())
        try:
            done.result()
        except BaseException:
            work.stop()
            raise


@final
class _Dispatch:
    """One round of requests under way."""

    def __init__(
        self,
        requests: Sequence[Request],
        *,
        settings: Endpoint,
        key: str,
        wording: Wording,
        ledger: Ledger,
        report: Report,
        needed: Decimal | None,
    ) -> None:
        self._needed = needed
        self._settings, self._key, self._wording, self._ledger = settings, key, wording, ledger
        self._waiting: Iterator[Request] = iter(requests)
        self._workers = min(settings.concurrency, len(requests))
        self._meter = Meter(report, stage="asking", total=len(requests), unit="requests")
        self._changed, self._stopped = asyncio.Condition(), asyncio.Event()
        self._in_flight, self._not_before = 0, 0.0
        self._failures: Counter[str] = Counter()
        self._silent: Counter[str] = Counter()
        self._answered = 0
        self._problem: StillroomError | None = None
        self._chance = random.Random()  # noqa: S311  it only spreads waits: no secret and no result rests on it

    async def run(self) -> None:
        """Send all; where one can't be, those under way come home, for they are paid for, and then it is told."""
        import httpx

        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        limits = httpx.Limits(max_connections=self._workers, max_keepalive_connections=self._workers)
        # `_attempt` bounds each request as a whole; the client's own limit would be one for each of its parts.
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=None) as client:  # noqa: S113  as above
            await asyncio.gather(*(self._work(client) for _ in range(self._workers)))
        for name, counts in (("tried again after", self._failures), ("no answer", self._silent)):
            if counts:
                told = ", ".join(f"{why} {count:,}" for why, count in sorted(counts.items()))
                self._meter.note(f"{name}: {told}")
        if self._problem is not None:
            raise self._problem

    def stop(self) -> None:
        """Send nothing more."""
        todo = "Run it again: what was answered is kept."
        self._problem = self._problem or OutsideError(Problem("teacher", "an interruption", "to be let go on", todo))

    async def _work(self, client: httpx.AsyncClient) -> None:
        for request in self._waiting:
            try:
                await self._until_answered(client, request)
            except StillroomError as error:
                self._problem = self._problem or error
                self._stopped.set()
            if self._problem is not None:
                return

    async def _until_answered(self, client: httpx.AsyncClient, request: Request) -> None:
        last = ""
        for attempt in range(1, self._settings.attempts + 1):
            await self._sleep(self._not_before - time.monotonic())
            reserve = await self._reserve(request, attempt)
            if reserve is None:
                return
            failure = await self._attempt(client, request, reserve, attempt)
            if failure is None:
                return
            last = failure.status
            self._failures[last] += 1
            if attempt < self._settings.attempts:
                await self._wait(failure, attempt)
        found = f"no answer in {self._settings.attempts} attempts; the last came to: {last} (text {request.text_id})"
        todo = "Check `base_url`, and run it again when the server is well: what was answered is kept."
        raise OutsideError(Problem("teacher", found, "a server that answers", todo))

    async def _reserve(self, request: Request, attempt: int) -> Reserve | None:
        """Put the worst case aside, waiting for others to cost less than theirs; None where somebody met a problem."""
        most = self._settings.cost(request.most_input_tokens, self._wording.most_output_tokens)
        async with self._changed:
            while self._problem is None:
                made = self._ledger.reserve(request.key, most, attempt=attempt)
                if made is not None:
                    self._in_flight += 1
                    return made
                if not self._in_flight:
                    raise self._over_the_cap(most)
                await self._changed.wait()
        return None

    async def _settle(self, reserve: Reserve, **found: Any) -> None:
        async with self._changed:
            self._ledger.settle(reserve, **found)
            self._in_flight -= 1
            self._changed.notify_all()

    async def _attempt(
        self, client: httpx.AsyncClient, request: Request, reserve: Reserve, attempt: int
    ) -> _Failure | None:
        """Send it once. What may have reached the server counts as spent; 4xx nobody bills, but for 408."""
        import httpx

        started, status, response, cost = time.perf_counter(), "", None, reserve.most
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                response = await client.post(self._settings.base_url + self._wording.path, content=request.body)
            status = str(response.status_code)
        except TimeoutError:
            status = "timeout"
        except httpx.ConnectError:
            status, cost = "no connection", Decimal(0)
        except httpx.HTTPError:
            status = "cut connection"
        told: dict[str, Any] = {"attempt": attempt, "latency_seconds": time.perf_counter() - started}
        if response is not None and response.is_success:
            return await self._read(response, request, reserve, told | {"status": status})
        if response is not None and response.status_code < 500 and response.status_code != _TIMED_OUT:
            cost = Decimal(0)  # it was turned away; what timed out over there may be billed all the same
        await self._settle(reserve, cost=cost, status=status, **told)
        if response is not None and response.status_code < 500 and response.status_code not in _PASSING:
            todo = _REMEDIES.get(response.status_code, "See what the server's own documentation says of this status.")
            raise OutsideError(Problem("teacher", f"status {status} from the server", "an answer", todo))
        return _Failure(status, None if response is None else _asked_to_wait(response.headers.get("retry-after")))

    async def _read(
        self, response: httpx.Response, request: Request, reserve: Reserve, told: Mapping[str, Any]
    ) -> _Failure | None:
        """Take in a reply, and what it cost; the reserve stands where it does not say."""
        try:
            body = response.json()
            reply = self._wording.read(body, request)
        except (NoCompletion, ValueError, RecursionError):
            await self._settle(reserve, cost=reserve.most, **{**told, "status": "broken reply"})
            return _Failure("broken reply")
        usage = _usage(body)
        cost = self._settings.cost(usage["input"], usage["output"]) if usage else reserve.most
        await self._settle(reserve, cost=cost, usage=usage, reply=reply, **told)
        self._silent.update([reply.unanswered] if reply.unanswered else [])
        self._answered += not reply.unanswered
        self._meter.advance(spend=f"{_shown(self._ledger.spent)} of {_shown(self._ledger.cap)}")
        if cost > reserve.most:
            found = (
                f"{usage} tokens billed, where {request.most_input_tokens} and {self._wording.most_output_tokens} were "
                "reserved"
            )
            todo = "Raise `template_tokens`, or take a model that keeps to `max_tokens`: the cap can't be held so."
            raise OutsideError(Problem("teacher", found, "a bill within what was reserved", todo))
        if not self._answered and self._silent.total() >= _MUTE:
            why = ", ".join(f"{one} {count}" for one, count in sorted(self._silent.items()))
            todo = "See what the model replies to this `prompt`, and that the server gives what `answers` asks for."
            raise OutsideError(
                Problem("teacher", f"{self._silent.total()} replies and no answer ({why})", "answers", todo)
            )
        return None

    async def _wait(self, failure: _Failure, attempt: int) -> None:
        if failure.wait_seconds is None:
            bound = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1))
            await self._sleep(self._chance.uniform(0.0, bound))
            return
        if failure.wait_seconds > _LONGEST_ASKED:
            found = f"status {failure.status}, and to wait {failure.wait_seconds:,.0f} seconds"
            todo = "Run it again then: what was answered is kept."
            raise OutsideError(Problem("teacher", found, f"at most {_LONGEST_ASKED:g} seconds", todo))
        # The server means all of us; a little chance keeps us from coming back at one moment.
        until = time.monotonic() + failure.wait_seconds
        self._not_before = max(self._not_before, until)
        await self._sleep(failure.wait_seconds + self._chance.uniform(0.0, min(_FIRST_WAIT, failure.wait_seconds)))

    async def _sleep(self, seconds: float) -> None:
        """Wait, unless somebody meets a problem that ends all."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)

    def _over_the_cap(self, most: Decimal) -> OutsideError:
        one = self._ledger
        found = (
            f"{_money(one.spent)} spent on {len(one.requests):,} texts ({_money(one.presumed)} of it presumed, for "
            f"requests without a bill), and up to {_money(most)} for the next"
        )
        to = "" if self._needed is None or self._needed <= one.cap else f" to about {shown(self._needed)}"
        todo = f"Raise `teacher.max_spend`{to}, or give fewer texts; what was answered is kept and not paid for again."
        return OutsideError(Problem("teacher.max_spend", found, f"at most {_money(one.cap)} in all", todo))


def _shown(amount: Decimal) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{float(amount):.2g}"


def _money(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _usage(reply: Mapping[str, Any]) -> dict[str, int] | None:
    """The tokens that a reply was billed for; None where it does not say."""
    told = reply.get("usage")
    if not isinstance(told, dict):
        return None
    found = {"input": told.get("prompt_tokens"), "output": told.get("completion_tokens")}
    counts = {name: one for name, one in found.items() if isinstance(one, int) and one >= 0}
    return counts if len(counts) == len(found) else None


def _asked_to_wait(header: str | None) -> float | None:
    """The seconds in a `Retry-After`, which may also be a date; None where it is neither."""
    if header is None:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(header))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    return None
