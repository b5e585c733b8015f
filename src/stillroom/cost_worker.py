"""One measurement in a process of its own: a job as JSON on stdin, the result as JSON on stdout.

How far it is, it says on stderr, in lines of `STEP`, done and total.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from stillroom.teachers import LoadedTeacher

_BATCH = 32
_WARM_UP = 4096
_ENOUGH_SECONDS = 10.0  # of answers, for a warm-up or a round of a student: one that writes takes seconds a text
_TEACHER_TOKENS = 512  # padded tokens a batch of the teacher: where fp32 on one thread was quickest
STEP = "stillroom step"  # how a line on stderr begins that says how far a measurement is
_SINGLES = {"teacher": 200, "student": 1000}
_FEW_SINGLES = {"teacher": 20, "student": 200}
_BLOCKS = 10  # of single texts, in which the sides take turns
_BLOCK_SECONDS = 0.6  # after which a side's block ends: a slow teacher gets fewer texts, and a figure says how many
_STUDENT_FACTOR = 16  # a student is quicker: it gets more texts a round, so that a round can be timed

_WATCH = 0.5  # seconds between two looks at whether somebody still waits for the answer

Answer = Callable[[Sequence[str]], Any]


def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    threading.Thread(target=_end_with, args=(job["parent"],), daemon=True).start()
    found = _JOBS[job["what"]](job)
    sys.stdout.write(json.dumps(found) + "\n")


def _end_with(parent: int) -> None:
    """End when the process that asked does: nobody would read the answer."""
    while os.getppid() == parent:
        time.sleep(_WATCH)
    os._exit(1)


def speed(job: dict[str, Any]) -> dict[str, Any]:
    """Texts per CPU-second of both sides in turn, and the latency of single texts likewise; each has fresh texts.

    The teacher's memory too, before anything of the student is here: a process of its own would load torch again.
    Every library is held to one thread by the environment, so torch is only loaded where a teacher needs it.
    """
    moved = _steps(job["rounds"] + _BLOCKS + 1)
    texts: list[str] = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
    found: dict[str, Any] = {"teacher": {}, "student": {}}
    sides: dict[str, Answer] = {}
    loaded = _opened(job) if job["teacher_computes"] else None
    if loaded is not None:
        sides["teacher"] = _asking(loaded)
        sides["teacher"](texts[:_BATCH])
        found["teacher"]["resident_mb"] = resident_mb()
    sides["student"] = _student(job)
    _answered(sides["student"], texts[: min(_WARM_UP, len(texts) // 2)], at_once=_BATCH)
    fresh = _fresh(texts)
    rounds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(job["rounds"]):
        batch = [next(fresh) for _ in range(job["per_round"] * _STUDENT_FACTOR)]
        if "teacher" in sides:
            # The teacher gets its texts at once, so that it can sort them by length, as `transfer` does.
            rounds["teacher"].append(_rate(sides["teacher"], batch[: job["per_round"]], at_once=job["per_round"]))
        rounds["student"].append(_rate(sides["student"], batch, at_once=_BATCH))
        moved()
    latencies = _latencies(sides, fresh, most=_singles(job), moved=moved)
    for side in sides:
        found[side] |= {
            "texts_per_second": float(np.median(rounds[side])),
            "rounds": rounds[side],
            "latency_ms": latencies[side],
        }
    found["teacher"]["flops_per_text"] = _flops(job, texts[:_WARM_UP], loaded=loaded)
    moved()
    return found


def lightly(job: dict[str, Any]) -> dict[str, Any]:
    """The same of one bundle with few texts, beside the teacher where it is to be timed: for a search."""
    texts: list[str] = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))
    sides = {"student": _student(job)} | ({"teacher": _asking(_opened(job))} if job["teacher_computes"] else {})
    _answered(sides["student"], texts[: len(texts) // 2], at_once=_BATCH)
    fresh = _fresh(texts)
    rounds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(job["rounds"]):
        batch = [next(fresh) for _ in range(job["per_round"] * _STUDENT_FACTOR)]
        for side, answer in sides.items():
            mine = batch[: job["per_round"]] if side == "teacher" else batch
            rounds[side].append(_rate(answer, mine, at_once=len(mine) if side == "teacher" else _BATCH))
    latencies = _latencies(sides, fresh, most=_FEW_SINGLES)
    return {
        side: {
            "texts_per_second": float(np.median(rounds[side])),
            "rounds": rounds[side],
            "latency_ms": latencies[side],
        }
        for side in sides
    }


def memory(job: dict[str, Any]) -> dict[str, Any]:
    """Resident memory of a process that has loaded the student, and nothing else, and answered a batch."""
    texts: list[str] = json.loads(Path(job["texts"]).read_text(encoding="utf-8"))[:_BATCH]
    _student(job)(texts)
    return {"resident_mb": resident_mb()}


def resident_mb() -> float:
    """The memory of this process, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(one for one in status.read_text(encoding="utf-8").splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024 * 1024)


def _fresh(texts: Sequence[str]) -> Iterator[str]:
    """The texts after those of the warm-up, and around again if there are too few; of none there is no end.

    Raises:
        ValueError: there are none.
    """
    if not texts:
        raise ValueError("no text to time anything on")
    start = min(_WARM_UP, len(texts) // 2)
    while True:
        yield from texts[start:]


def _rate(answer: Answer, texts: Sequence[str], *, at_once: int) -> float:
    """Texts per CPU-second."""
    answered, took = _answered(answer, texts, at_once=at_once)
    return answered / took


def _answered(answer: Answer, texts: Sequence[str], *, at_once: int) -> tuple[int, float]:
    """How many of these were answered before it had been long enough, a batch at least, and in how many CPU-seconds."""
    started, answered, took = time.process_time(), 0, 0.0
    while answered < len(texts) and took < _ENOUGH_SECONDS:
        batch = texts[answered : answered + at_once]
        answer(batch)
        answered += len(batch)
        took = time.process_time() - started
    return answered, took


def _latencies(
    sides: Mapping[str, Answer],
    fresh: Iterator[str],
    *,
    most: Mapping[str, int],
    moved: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, float | int | None]]:
    """Milliseconds of single texts of each side, in turns: some of one, some of the other, and again."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(_BLOCKS):
        for side, answer in sides.items():
            seconds[side] += _block(answer, islice(fresh, -(-most[side] // _BLOCKS)))
        moved()
    return {side: _percentiles(found) for side, found in seconds.items()}


def _singles(job: Mapping[str, Any]) -> dict[str, int]:
    """How many single texts of each side: fewer of both where fewer texts are timed than the teacher could have."""
    timed = job["rounds"] * job["per_round"]
    return {
        side: min(most, max(_FEW_SINGLES[side], most * timed // _SINGLES["teacher"])) for side, most in _SINGLES.items()
    }


def _block(answer: Answer, texts: Iterable[str]) -> list[float]:
    """Seconds of each of these texts, or of the first of them where that takes too long."""
    seconds: list[float] = []
    until = time.perf_counter() + _BLOCK_SECONDS
    for text in texts:
        started = time.perf_counter()
        answer([text])
        ended = time.perf_counter()
        seconds.append(ended - started)
        if ended > until:
            break
    return seconds


def _percentiles(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """In milliseconds, and of how many texts; None where there are so few that not one is expected beyond it."""
    known = {
        name: float(np.percentile(seconds, at) * 1000) if len(seconds) * (100 - at) >= 100 else None
        for name, at in (("p50", 50), ("p95", 95), ("p99", 99))
    }
    return {**known, "n": len(seconds)}


def _steps(total: int) -> Callable[[], None]:
    """Says on stderr that nothing is done yet, and, whenever it is called, that one step more is."""
    steps = count()

    def moved() -> None:
        sys.stderr.write(f"{STEP} {next(steps)} {total}\n")
        sys.stderr.flush()

    moved()
    return moved


def _opened(job: dict[str, Any]) -> LoadedTeacher:
    from stillroom.core import plugins

    task = plugins.build("tasks", job["task"])
    found: LoadedTeacher = plugins.build("teachers", job["teacher"]).open(Path(job["teacher_folder"]), task=task)
    return found


def _asking(loaded: LoadedTeacher) -> Answer:
    def answer(texts: Sequence[str]) -> Any:
        return loaded.ask(texts, precision="fp32", tokens_per_batch=_TEACHER_TOKENS)

    return answer


def _student(job: dict[str, Any]) -> Answer:
    from stillroom import runtime

    return runtime.load(job["bundle"], threads=1).outputs


def _flops(job: dict[str, Any], texts: Sequence[str], *, loaded: LoadedTeacher | None) -> float | None:
    """What torch counts for the teacher on one text of mean length; it may be `loaded` already."""
    from stillroom.core import plugins
    from stillroom.core.errors import MismatchError

    if not plugins.build("teachers", job["teacher"]).is_its_network:
        return None
    import torch
    from tokenizers import Tokenizer
    from torch.utils.flop_counter import FlopCounterMode

    from stillroom.teachers import _pretrained

    loaded = loaded or _opened(job)
    try:
        network, tokenizer = loaded.network(), Tokenizer.from_str(loaded.tokenizer_json())
    except MismatchError:
        return None
    most = _pretrained.longest_input(network)
    length = round(float(np.mean([min(len(one.ids), most) for one in tokenizer.encode_batch(list(texts))])))
    ids = torch.zeros((1, length), dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with torch.inference_mode(), counter:
        network(input_ids=ids, attention_mask=torch.ones_like(ids))
    return float(counter.get_total_flops())


_JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"speed": speed, "lightly": lightly, "memory": memory}

if __name__ == "__main__":
    main()
