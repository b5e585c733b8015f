"""What a server measures of itself, as Prometheus reads it. No text, no name of a person, no address is a label."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

if TYPE_CHECKING:
    from stillroom.runtime.deferral import Prices

#: Where several workers write what one of them tells of all.
SHARED = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
_TEXTS = (1, 2, 4, 8, 16, 32, 64)


def share() -> str:
    """A fresh folder for the meters of several workers: files of an earlier server would be counted again."""
    folder = tempfile.mkdtemp(prefix="stillroom-meters-")
    os.environ[SHARED] = folder
    return folder


def unshare(folder: str) -> None:
    """Away with it."""
    shutil.rmtree(folder, ignore_errors=True)


def _bury(folder: Path) -> None:
    """Forget what only the living count: a worker that was killed has no queue and is not ready."""
    for file in folder.glob("gauge_live*_*.db"):
        number = int(file.stem.rpartition("_")[2])
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            mark_process_dead(number, str(folder))  # type: ignore[no-untyped-call]  # it has no types
        except OSError:  # it lives, and is somebody else's
            pass


@final
@dataclass(frozen=True)
class Bill:
    """What the answers of a student cost so far, in all workers and all its versions."""

    texts: int
    escalated: int
    spent: float
    whole: float
    """What its teacher would have cost for all texts."""


@final
class Meters:
    """The meters of a worker."""

    def __init__(self) -> None:
        # With several workers each writes to its file; who is asked reads the files of all.
        self._together = SHARED in os.environ
        self._own = CollectorRegistry()
        own: Mapping[str, Any] = {"registry": self._own}
        self._requests = Counter(
            "stillroom_requests_total", "Requests, by address and status.", ["path", "status"], **own
        )
        self._seconds = Histogram(
            "stillroom_request_seconds", "From a request's head to its answer.", ["path"], buckets=_SECONDS, **own
        )
        self._queue = Histogram(
            "stillroom_queue_seconds", "What a request waited for its turn.", ["model"], buckets=_SECONDS, **own
        )
        self._answer = Histogram(
            "stillroom_answer_seconds", "From the queue to the answer.", ["model"], buckets=_SECONDS, **own
        )
        self._batch = Histogram(
            "stillroom_batch_texts", "Texts that were read together.", ["model"], buckets=_TEXTS, **own
        )
        self._model = Histogram(
            "stillroom_batch_seconds", "What a batch took the student.", ["model"], buckets=_SECONDS, **own
        )
        self._texts = Counter("stillroom_texts_total", "Texts that were answered.", ["model"], **own)
        self._shed = Counter("stillroom_shed_total", "Requests that were refused or late.", ["code"], **own)
        self._shed_of = Counter(
            "stillroom_model_shed_total", "Texts and requests of a student that were refused or late.",
            ["model", "code"], **own,
        )  # fmt: skip
        self._waiting = Gauge(
            "stillroom_waiting_texts", "Texts that wait for a student.", ["model"], multiprocess_mode="livesum", **own
        )
        self._score = Histogram(
            "stillroom_score", "How sure a student was of what it answered.", ["model"], buckets=_SHARES, **own
        )
        self._escalated = Counter(
            "stillroom_escalated_total", "Texts that a student was not sure of, by what its teacher did.",
            ["model", "teacher"], **own,
        )  # fmt: skip
        self._asked = Counter(
            "stillroom_asked_total", "Texts that a student, or the teacher behind it, was asked about.",
            ["model", "whom"], **own,
        )  # fmt: skip
        self._spent = Counter(
            "stillroom_spent_total", "What that cost, by what the run measured.", ["model", "whom", "currency"], **own
        )
        self._whole = Counter(
            "stillroom_teacher_for_everything_total", "What the teacher would have cost for all texts.",
            ["model", "currency"], **own,
        )  # fmt: skip
        self._guarded = Counter(
            "stillroom_guard_total", "What the guard found in texts.", ["detector", "side", "action"], **own
        )
        self._ready = Gauge(
            "stillroom_ready", "Whether it takes requests.", multiprocess_mode="livemax", **own
        )  # fmt: skip
        self._children: dict[tuple[Any, ...], Any] = {}

    def request(self, path: str, *, status: int, seconds: float) -> None:
        """One that ended."""
        self._of(self._requests, path, str(status)).inc()
        self._of(self._seconds, path).observe(seconds)

    def turned_away(self, path: str) -> None:
        """One that there was no room for, before it became one."""
        self._of(self._requests, path, "429").inc()
        self._of(self._shed, "door").inc()

    def answered(self, model: str, *, texts: int, waited_s: float, took_s: float) -> None:
        """Texts of a request that a student answered."""
        self._of(self._queue, model).observe(waited_s)
        self._of(self._answer, model).observe(took_s)
        self._of(self._texts, model).inc(texts)

    def batch(self, model: str, texts: int, seconds: float) -> None:
        """One that a student read."""
        self._of(self._batch, model).observe(texts)
        self._of(self._model, model).observe(seconds)

    def shed(self, code: str) -> None:
        """A request that there was no room for, or no time."""
        self._of(self._shed, code).inc()

    def shed_by(self, model: str, code: str) -> None:
        """The same, where it is known whose it was; so is what a stream had begun to tell."""
        self._of(self._shed_of, model, code).inc()

    def waiting(self, model: str, more: int) -> None:
        """So many texts more wait for a student than before, or fewer."""
        self._of(self._waiting, model).inc(more)

    def scored(self, model: str, predictions: Sequence[Any]) -> None:
        """Predictions that were told; those that say how sure they are count."""
        for one in predictions:
            score = getattr(one, "score", None)
            if score is not None:
                self._of(self._score, model).observe(score)

    def escalated(self, model: str, *, why: str | None) -> None:
        """A text that a student was not sure of; `why` its teacher said nothing."""
        self._of(self._escalated, model, why or "answered").inc()

    def asked(self, model: str, texts: int, *, prices: Prices) -> None:
        """Texts that a student is asked about, and what that costs, beside what its teacher would."""
        self._of(self._asked, model, "student").inc(texts)
        if prices.student is not None and prices.teacher is not None:
            self._of(self._spent, model, "student", prices.currency).inc(texts * prices.student / 1e6)
            self._of(self._whole, model, prices.currency).inc(texts * prices.teacher / 1e6)

    def paid(self, model: str, texts: int, cost: float, *, currency: str) -> None:
        """Texts that the teacher behind a student is asked about, and what that costs."""
        self._of(self._asked, model, "teacher").inc(texts)
        self._of(self._spent, model, "teacher", currency).inc(cost)

    def bill(self, model: str) -> Bill:
        """What the answers of a student cost so far."""
        told = {"student": 0.0, "teacher": 0.0, "spent": 0.0, "whole": 0.0}
        names = {"stillroom_spent_total": "spent", "stillroom_teacher_for_everything_total": "whole"}
        for family in self._all().collect():
            for one in family.samples:
                name = one.labels.get("whom", "") if one.name == "stillroom_asked_total" else names.get(one.name)
                if name and one.labels.get("model") == model:
                    told[name] += one.value
        return Bill(int(told["student"]), int(told["teacher"]), told["spent"], told["whole"])

    def guarded(self, detector: str, *, side: str, action: str) -> None:
        """Something that the guard found."""
        self._of(self._guarded, detector, side, action).inc()

    def ready(self, now: bool) -> None:
        """Whether it takes requests now."""
        self._ready.set(int(now))

    def read(self) -> bytes:
        """All of it, in Prometheus' words."""
        return bytes(generate_latest(self._all()))

    def _all(self) -> CollectorRegistry:
        """The meters of all workers."""
        if not self._together:
            return self._own
        _bury(Path(os.environ[SHARED]))
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # it has no types
        return registry

    def _of(self, metric: Any, *labels: str) -> Any:
        """A metric with its labels: looking it up anew each time would cost more than counting."""
        key = (id(metric), *labels)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = metric.labels(*labels)
        return found
