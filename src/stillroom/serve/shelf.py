"""The students that are served, by name and version; a new version takes the place of an old one without a pause."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from stillroom import runtime
from stillroom.core import artifact
from stillroom.core.errors import InputError, Problem, StillroomError
from stillroom.runtime import reading, signatures
from stillroom.runtime.deferral import Prices
from stillroom.runtime.reading import Piece
from stillroom.serve import replies
from stillroom.serve.batcher import Batcher
from stillroom.serve.escalation import Ask, Escalation, Part, Purse
from stillroom.serve.pens import Pens
from stillroom.serve.settings import Model, Serving

if TYPE_CHECKING:
    from stillroom.runtime import Predictor
    from stillroom.serve.meters import Meters

log = logging.getLogger("stillroom.serve")

_LONGEST_NAME = 12  # letters of a digest that name a version
_WARMING = (1, 4)  # texts of the batches by which it learns what they cost, before anybody asks


class Unknown(Exception):
    """No student of that name, or not in that version."""


@final
class Lane:
    """A student that is being served."""

    def __init__(
        self,
        told: Model,
        predictor: Predictor,
        batcher: Batcher,
        *,
        prices: Prices,
        stamp: Any,
        pens: Pens | None = None,
    ) -> None:
        self.told, self.predictor, self.batcher, self.stamp = told, predictor, batcher, stamp
        self.prices = prices
        """Of a million texts, on either side."""
        self.escalation: Escalation | None = None
        self.name, self.task = told.name, predictor.task
        self.pens = pens or Pens()
        self.version = predictor.digest.removeprefix("sha256:")[:_LONGEST_NAME]
        self._users = 0
        self.free = asyncio.Event()
        """Set while nobody uses it."""
        self.free.set()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """For as long as somebody asks it, again and again for a long text: until then it is not let go."""
        self._users += 1
        self.free.clear()
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                self.free.set()

    def left(self) -> None:
        """Nobody asks it any more."""
        if self.escalation is not None:
            self.escalation.close()

    def describe(self) -> dict[str, Any]:
        """Who it is, for whoever wants to ask it."""
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.predictor.digest,
            "task": self.task.kind,
            "labels": list(self.task.names),
            "runner": self.predictor.runner,
            "takes_length": self.predictor.takes_length,
            "certified": self.predictor.cascade is not None,
            "teacher": self.told.behind.who if self.told.behind else None,
            "price_per_1000": {
                side: None if one is None else one / 1000
                for side, one in (("teacher", self.prices.teacher), ("student", self.prices.student))
            }
            | {"currency": self.prices.currency},
        }


@final
class Shelf:
    """All students of a server."""

    def __init__(self, serving: Serving, meters: Meters | None = None) -> None:
        """Raises InputError where the file of trusted keys can't be read."""
        self._serving, self._meters = serving, meters
        self._trusted = signatures.trusted(serving.trust) if serving.trust else None
        self._lanes: dict[str, list[Lane]] = {}
        self._watcher: asyncio.Task[None] | None = None
        self._retired: dict[Lane, asyncio.Task[None]] = {}
        self._renewing = asyncio.Lock()
        self._troubles: dict[tuple[str, int], str] = {}

    @property
    def lanes(self) -> Sequence[Lane]:
        """Every student in every version."""
        return [lane for some in self._lanes.values() for lane in some]

    @property
    def troubles(self) -> dict[str, str]:
        """Why the newest version of a student is not the one that is served, by its name."""
        return {name: why for (name, _), why in self._troubles.items()}

    def find(self, name: str | None, version: str | None = None) -> Lane:
        """The student of a name; without a version the last one, without a name the only one.

        Raises:
            Unknown: there is none.
        """
        if name is None:
            if len(self._lanes) != 1:
                raise Unknown("no `model`, and several are served")
            name = next(iter(self._lanes))
        some = self._lanes.get(name)
        if not some:
            raise Unknown("no model of that name is served")
        if version is None:
            return some[-1]
        for lane in reversed(some):
            if version and lane.predictor.digest.removeprefix("sha256:").startswith(version.removeprefix("sha256:")):
                return lane
        raise Unknown("that model is not served in that version")

    async def open(self) -> None:
        """Load, check and warm every student.

        Raises:
            ArtifactError: one is damaged, or does not answer as it did when it was shipped.
        """
        for told in self._serving.models:
            lane = await self._load(told)
            self._lanes.setdefault(told.name, []).append(lane)
        for lane in self.lanes:
            lane.escalation = await self._behind(lane)
        if self._serving.watch_seconds:
            self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Finish what was taken."""
        if self._watcher:
            self._watcher.cancel()
        for task in self._retired.values():
            task.cancel()
        within = self._serving.finish_seconds
        every = (*self.lanes, *self._retired)
        await asyncio.gather(*(one.batcher.close(within_s=within) for one in every))
        for one in every:
            one.left()

    async def _load(self, told: Model) -> Lane:
        return await asyncio.to_thread(_opened, told, self._serving, self._meters, trusted=self._trusted)

    async def _behind(self, lane: Lane, *, before: Escalation | None = None) -> Escalation | None:
        """Who stands behind a student; what was spent of a day's budget before it was loaded anew stays spent.

        Raises:
            InputError: nobody of that name, or a student whose bundle carries no certificate.
        """
        told = lane.told.behind
        if told is None:
            return None
        if lane.predictor.cascade is None:
            found, todo = "a bundle without a certificate", "Certify its run: stillroom cascade work/runs/NAME."
            raise InputError(Problem(f"models.{lane.name}.behind", found, "one that says when it is sure", todo))
        share = None if told.per_day is None else told.per_day / self._serving.workers
        purse = before.purse if before else Purse(share)
        meters, currency = self._meters, lane.prices.currency
        paid = functools.partial(meters.paid, lane.name, currency=currency) if meters else None
        made = functools.partial(Escalation, told, purse=purse, paid=paid)
        if told.who == "own":
            elder = await asyncio.to_thread(_elder, lane.told.path)
            # Threads of its own: one that waits for a teacher elsewhere keeps nobody else from one.
            threads = ThreadPoolExecutor(told.at_once, thread_name_prefix="stillroom-teacher")
            ask, part = _own_teacher(lane, elder, threads)
            close = functools.partial(threads.shutdown, wait=False, cancel_futures=True)
            return made(ask, price=lane.prices.teacher, part=part, close=close)
        try:
            other = self.find(told.who)
        except Unknown as error:
            expected = "`own`, or the name of a student that is served"
            raise InputError(Problem(f"models.{lane.name}.behind.who", str(error), expected, "Correct it.")) from error
        if other.task != lane.task or other is lane:
            expected = "another student of the same task and labels"
            raise InputError(Problem(f"models.{lane.name}.behind.who", "one of another task", expected, "Correct it."))

        async def of_other(texts: Sequence[str]) -> Sequence[Any]:
            said, _ = await replies.ask(self.find(told.who), texts)
            return [one.prediction for one in said]

        lane.prices = replace(lane.prices, teacher=other.prices.student)  # of whom it is that is asked
        return made(of_other, price=other.prices.student)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._serving.watch_seconds)
            await self.renew()

    async def renew(self) -> None:
        """Put new versions in the place of those whose files have changed; where that fails, the old ones stay."""
        async with self._renewing:  # whoever tells it to look while it looks: a student is not put in place twice
            await self._renew()

    async def _renew(self) -> None:
        for name, some in self._lanes.items():
            for place, lane in enumerate(some):
                try:
                    await self._renewed(some, place)
                except Exception as error:  # of whatever kind: the old one is served on, and looked after
                    # What others say of their errors may hold what they were given.
                    ours = isinstance(error, (StillroomError, OSError))
                    why = str(error) if ours else type(error).__name__
                    self._troubles[name, place] = why
                    log.error("kept", extra={"told": {"model": name, "version": lane.version, "why": why}})

    async def _renewed(self, some: list[Lane], place: int) -> None:
        """A student in its place anew, where its files have changed. What can't be loaded is tried once.

        Raises:
            Exception: it can't be loaded, or whoever is to stand behind it.
        """
        lane = some[place]
        stamp = _stamp(lane.told.path)
        if stamp == lane.stamp:
            return
        lane.stamp = stamp
        fresh = await self._load(lane.told)
        try:
            fresh.escalation = await self._behind(fresh, before=lane.escalation)
        except BaseException:
            await fresh.batcher.close(within_s=0)
            fresh.left()
            raise
        self._troubles.pop((lane.name, place), None)
        if fresh.version == lane.version:
            await fresh.batcher.close(within_s=0)
            fresh.left()
            return
        some[place] = fresh
        log.info("renewed", extra={"told": {"model": lane.name, "from": lane.version, "to": fresh.version}})
        self._retired[lane] = asyncio.create_task(self._retire(lane))

    async def _retire(self, lane: Lane) -> None:
        """Let an old version go, once the last of those who had found it before has left."""
        await lane.free.wait()
        await lane.batcher.close(within_s=self._serving.finish_seconds)
        lane.left()
        self._retired.pop(lane, None)


def _opened(
    told: Model,
    serving: Serving,
    meters: Meters | None,
    *,
    trusted: Collection[str] | None,
) -> Lane:
    stamp = _stamp(told.path)
    predictor = runtime.load(told.path, verify=True, runner=told.runner, threads=1, trusted=trusted)
    predictor.reach([""])  # what is opened late is opened now, while the files are those that were checked
    predictor.tokens([""])
    lanes = serving.cores if predictor.parallel else 1
    queued = functools.partial(meters.waiting, told.name) if meters else None
    batcher = Batcher(
        predictor.decide if predictor.cascade is not None else predictor.predict,
        deadline_s=serving.deadline_ms / 1e3,
        lanes=lanes,
        by_length=predictor.pads,
        observe=functools.partial(meters.batch, told.name) if meters else None,
        queued=queued,
    )
    batcher.warm(predictor.golden_texts(), sizes=_WARMING)
    prices = _prices(told.path, predictor)
    return Lane(told, predictor, batcher, prices=prices, stamp=stamp, pens=Pens(queued=queued))


@final
@dataclass(frozen=True)
class _Parted:
    """Texts and their passages, as a student reads them."""

    texts: Sequence[str]
    pieces: Sequence[Piece]

    def __len__(self) -> int:
        return len(self.pieces)


def _own_teacher(lane: Lane, elder: Any, threads: ThreadPoolExecutor) -> tuple[Ask, Part]:
    """Asks the teacher of a run, about long texts passage by passage as its student reads them: it reads no further."""

    async def part(texts: Sequence[str]) -> _Parted:
        return _Parted(texts, await replies.pieces(lane, texts))

    async def ask(read: _Parted) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(threads, elder.ask, [one.text for one in read.pieces])
        told = list(zip(read.pieces, said, strict=True))
        silent = {piece.owner for piece, one in told if one is None}
        heard = [(piece, one) for piece, one in told if piece.owner not in silent]
        pieces, predictions = [piece for piece, _ in heard], [one for _, one in heard]
        whole = reading.readings(lane.predictor, read.texts, pieces, predictions)
        return [None if place in silent else next(whole).prediction for place in range(len(read.texts))]

    return ask, part


def _elder(folder: Path) -> Any:
    """The teacher of a run.

    Raises:
        InputError: no folder of a run, or one whose teacher is not there any more.
    """
    from stillroom.cascade.elder import Elder

    try:
        return Elder(folder)
    except (OSError, ValueError, KeyError) as error:
        todo = "Name work/runs/<name>, or another student as `who`."
        raise InputError(Problem(str(folder), "no run with a teacher", "one", todo)) from error


def _prices(folder: Path, predictor: Predictor) -> Prices:
    """What a run measured that either side costs; of a bundle alone, what was measured when it was certified."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        key = json.loads((folder / runtime.RUN).read_text(encoding="utf-8"))["stages"]["cost"]["key"]
        cost = folder.resolve().parent.parent / "cost" / key / "cost.json"
        return Prices.measured(json.loads(cost.read_text(encoding="utf-8")))
    return predictor.cascade.prices if predictor.cascade is not None else Prices()


def _stamp(path: Path) -> Any:
    """What changes when a student does: its record, that of its certificate, its manifest, and its signature."""
    files = [path / name for name in (runtime.RUN, runtime.CASCADE, artifact.MANIFEST)]
    with contextlib.suppress(Exception):  # of whatever kind: who loads it will say so
        files.append(runtime.place(path) / signatures.FILE)
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            told = os.stat(file)
            found.append((told.st_mtime_ns, told.st_size, told.st_ino))
        except OSError:
            found.append(None)
    return found
