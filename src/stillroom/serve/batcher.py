"""Who is answered when: texts wait by their turn, go to the student so many at a time as pays, or are refused at once.

A queue without an end turns a busy minute into an hour of answers that nobody waits for any more. So a request is taken
only where it can be answered by its deadline, judged by what batches have cost; what nobody waits for any more is
dropped before the student reads it.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, final

from stillroom.serve.costs import Costs, Waits, bucket

#: What answers a batch: texts to answers, in order. It runs in a thread of its own. Where somebody wishes for a length,
#: the `length` of each answer comes beside the texts.
Answer = Callable[..., list[Any]]

_MOST_TEXTS = 64
_MARGIN = 0.8  # of a deadline by which an answer is expected, for those that come later than was expected
_SHARE = 0.25  # of a deadline that one batch may take: what comes meanwhile has to wait for its end


class Refused(Exception):
    """There is more to do than can be done in time."""

    def __init__(self, *, retry_after: float) -> None:
        super().__init__(f"busy for {retry_after:.1f} s")
        self.retry_after = retry_after
        """Seconds after which there should be room."""


class Late(Exception):
    """The deadline went by before the student came to it."""


@final
class Job:
    """The texts of one request, and who waits for them."""

    __slots__ = (
        "answers", "arrived", "cost", "deadline", "done", "expected", "left", "lengths", "picked", "share", "texts"
    )  # fmt: skip

    def __init__(
        self,
        texts: Sequence[str],
        lengths: Sequence[int | None],
        *,
        deadline: float,
        now: float,
        cost: float,
        expected: float,
    ) -> None:
        self.texts, self.lengths = texts, lengths
        self.answers: list[Any] = [None] * len(texts)
        self.left = len(texts)
        self.arrived, self.deadline = now, deadline
        self.expected = expected
        """Seconds of work that are to be done until it is answered, its own among them."""
        self.cost = cost
        """Seconds of work that are still to be done for it."""
        self.share = cost / len(texts)
        self.picked = 0.0
        """When the student began with the first of its texts."""
        self.done: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()


def _allowed(deadline_s: float, cost: float, *, texts: int) -> float:
    return deadline_s + (2 * cost if texts > 1 else 0.0)


def _one_bucket(text: str) -> int:
    return 0


@final
class Batcher:
    """Gives one student its batches, in as many threads as it has lanes."""

    def __init__(
        self,
        answer: Answer,
        *,
        deadline_s: float,
        lanes: int = 1,
        by_length: bool = True,
        observe: Callable[[int, float], None] | None = None,
        queued: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deadline_s`: within which a request is answered that names none. `observe`: told texts and seconds.
        `queued`: told how many texts more are waiting than before, or fewer.

        `by_length`: texts of like length go together, because the student fills shorter ones up to the longest.
        """
        self._answer, self._deadline_s, self._lanes = answer, deadline_s, lanes
        self._bucket: Callable[[str], int] = bucket if by_length else _one_bucket
        self._observe, self._queued, self._clock = observe, queued, clock
        self._told = 0  # texts that are known to wait
        self.costs = Costs(most=_MOST_TEXTS)
        self._waits = Waits(most=2 * deadline_s)
        self._queues: dict[int, list[tuple[float, int, Job, int]]] = {}
        self._order = 0
        self._small = 0.0  # seconds of work of jobs of one text, all of them due
        self._large: set[Job] = set()
        self._busy: dict[int, float] = {}  # lane → when its batch should end
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="stillroom-lane")
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    def warm(self, texts: Sequence[str], *, sizes: Sequence[int]) -> None:
        """Learn what batches of such texts cost, before anybody asks."""
        kinds: dict[int, list[str]] = {}
        for text in texts:
            kinds.setdefault(self._bucket(text), []).append(text)
        for which, some in kinds.items():
            for size in (sizes[0], *sizes):  # the first time is never like the others
                _, seconds = self._run([some[place % len(some)] for place in range(size)], [None] * size)
                self.costs.learn(which, size, seconds)

    @property
    def waiting(self) -> int:
        """Texts in the queue."""
        return sum(len(one) for one in self._queues.values())

    def allowed(self, texts: Sequence[str], *, deadline_s: float) -> float:
        """The seconds within which texts are answered that have this deadline, by what they take by themselves."""
        return _allowed(deadline_s, sum(self.costs.share(self._bucket(one)) for one in texts), texts=len(texts))

    async def ask(
        self, texts: Sequence[str], *, deadline_s: float | None = None, lengths: Sequence[int | None] | None = None
    ) -> tuple[list[Any], float]:
        """The answer to each text, of the length that is wished, and the seconds that the first of them waited.

        Of a request that takes long by itself the deadline is longer by twice that.

        Raises:
            Refused: there is no room for it now.
            Late: it could not be done in time after all.
        """
        if not texts:
            return [], 0.0
        job = self.submit(texts, deadline_s=deadline_s, lengths=lengths)
        try:
            return await job.done, job.picked - job.arrived
        finally:
            self._forget(job)
            if not job.done.cancelled():
                self._waits.learn(job.expected, self._clock() - job.arrived)

    def submit(
        self, texts: Sequence[str], *, deadline_s: float | None = None, lengths: Sequence[int | None] | None = None
    ) -> Job:
        """Take a request into the queue, or refuse it."""
        now = self._clock()
        buckets = [self._bucket(one) for one in texts]
        costs = [self.costs.share(one) for one in buckets]
        cost = sum(costs)
        allowed = _allowed(deadline_s or self._deadline_s, cost, texts=len(texts))
        expected = self._ahead(now) + cost / self._lanes
        wait = self._waits.expected(expected)
        # Alone it is taken, however long it takes: there will never be more room.
        alone = not (self._busy or self.waiting)
        if self._closing or (wait > allowed * _MARGIN and not alone):
            raise Refused(retry_after=max(wait - allowed * _MARGIN, 0.05))
        job = Job(texts, lengths or [None] * len(texts), deadline=now + allowed, now=now, cost=cost, expected=expected)
        if len(texts) == 1:
            self._small += cost
        else:
            self._large.add(job)
        # A text's turn comes when its request, alone, would have come to it: long requests don't hold up short ones.
        turn = now
        for place, (which, seconds) in enumerate(zip(buckets, costs, strict=True)):
            self._order += 1
            heapq.heappush(self._queues.setdefault(which, []), (turn, self._order, job, place))
            turn += seconds
        self._idle.clear()
        self._go_on()
        return job

    async def close(self, *, within_s: float) -> None:
        """Take nothing more, and wait for what was taken."""
        self._closing = True
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except TimeoutError:
            for queue in self._queues.values():
                for _, _, job, _ in queue:
                    if not job.done.done():
                        job.done.set_exception(Late())
            self._queues.clear()
            self._tell()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ahead(self, now: float) -> float:
        """The seconds until a text that came now would be read."""
        due = self._small
        for job in self._large:
            done = len(job.texts) * job.share - job.cost
            due += min(max(now - job.arrived - done, 0.0), job.cost)
        running = sum(max(end - now, 0.0) for end in self._busy.values()) if len(self._busy) == self._lanes else 0.0
        return (due + running) / self._lanes

    def _forget(self, job: Job) -> None:
        """What is left of it is not to be waited for, whether it was answered or given up."""
        if len(job.texts) == 1:
            self._small = max(self._small - job.cost, 0.0)
        else:
            self._large.discard(job)
        job.cost = 0.0

    def _go_on(self) -> None:
        """Give each free lane a batch, and tell how many wait."""
        self._give()
        self._tell()

    def _tell(self) -> None:
        if self._queued and self.waiting != self._told:
            self._queued(self.waiting - self._told)
            self._told = self.waiting

    def _give(self) -> None:
        while len(self._busy) < self._lanes:
            batch, which = self._pick()
            if not batch:
                if not self._busy:
                    self._idle.set()
                return
            lane = next(one for one in range(self._lanes) if one not in self._busy)
            now = self._clock()
            self._busy[lane] = now + self.costs.expected(which, len(batch))
            for job, _ in batch:
                job.picked = job.picked or now
            task = asyncio.get_running_loop().run_in_executor(
                self._threads, self._run, [job.texts[place] for job, place in batch],
                [job.lengths[place] for job, place in batch],
            )  # fmt: skip
            task.add_done_callback(functools.partial(self._end, lane=lane, batch=batch, which=which))

    def _pick(self) -> tuple[list[tuple[Job, int]], int]:
        """The next texts: those of the bucket in which one has waited for its turn longest."""
        now = self._clock()
        while True:
            heads = [(queue[0][0], which) for which, queue in self._queues.items() if queue]
            if not heads:
                return [], 0
            which = min(heads)[1]
            queue = self._queues[which]
            size = self.costs.choose(which, len(queue), most_seconds=self._deadline_s * _SHARE)
            batch: list[tuple[Job, int]] = []
            while queue and len(batch) < size:
                _, _, job, place = heapq.heappop(queue)
                if job.done.done():  # nobody waits for it: given up, late or failed
                    continue
                if now + self.costs.expected(which, 1) > job.deadline and now > job.arrived:
                    job.done.set_exception(Late())
                    continue
                self._took(job)
                batch.append((job, place))
            if batch:
                return batch, which

    def _took(self, job: Job) -> None:
        """One more of its texts is being read, and no longer waits."""
        if len(job.texts) == 1:
            self._small = max(self._small - job.cost, 0.0)
        job.cost = max(job.cost - job.share, 0.0)

    def _run(self, texts: list[str], lengths: list[int | None]) -> tuple[list[Any], float]:
        """Answer a batch in a lane's thread; where that fails, text by text, so that one does not fail the others."""
        begun = time.perf_counter()
        try:
            found = self._of(texts, lengths)
            if len(found) != len(texts):
                raise RuntimeError(f"{len(found)} answers to {len(texts)} texts")
        except Exception as error:  # whatever a runner says of a text it can't read: its request is told
            each = zip(texts, lengths, strict=True)
            found = [error] if len(texts) == 1 else [self._alone(one, length) for one, length in each]
        return found, time.perf_counter() - begun

    def _of(self, texts: list[str], lengths: list[int | None]) -> list[Any]:
        wished = any(one is not None for one in lengths)
        return self._answer(texts, length=lengths) if wished else self._answer(texts)

    def _alone(self, text: str, length: int | None) -> Any:
        try:
            return self._of([text], [length])[0]
        except Exception as error:  # as above
            return error

    def _end(self, ended: asyncio.Future[Any], *, lane: int, batch: list[tuple[Job, int]], which: int) -> None:
        self._busy.pop(lane, None)
        if ended.cancelled():
            return
        found, seconds = ended.result()
        self.costs.learn(which, len(batch), seconds)
        if self._observe:
            self._observe(len(batch), seconds)
        for (job, place), answer in zip(batch, found, strict=True):
            self._put(job, place, answer)
        self._go_on()

    def _put(self, job: Job, place: int, answer: Any) -> None:
        if job.done.done():
            return
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
            return
        job.answers[place] = answer
        job.left -= 1
        if not job.left:
            job.done.set_result(job.answers)
