"""How much of a student's speed a server leaves, how it stands more than it can do, and what else would serve it.

    python bench/serve.py [--static] [--rivals PYTHON] [--seconds 6] [--rounds 3] [--work work/bench-serve] [--json]

The same graph, tokenizer and texts (banking77's test) behind: this server, a bare loop over ONNX Runtime (the limit),
and, with the interpreter of an environment that holds `fastapi litserve bentoml onnxruntime tokenizers`, these three as
their documentation writes them (`bench/rivals`). The server has the first core for itself, whoever asks has the second.
Sides take turns in each round.

The four scenarios of MLPerf: one after the other (single stream, p90), eight texts a request (multi stream, p99),
Poisson arrivals (server: the highest rate with p99 within the limit, by bisection), all at once (offline). Then twice
as many requests as it can do (`goodput_at_2x`: good answers a second, of its own peak), a pause of 300 ms that has to
show in p99 (else the load generator waits for the server), and processor time a request beside the model's.

Arrivals are drawn before, and latency runs from when a request was due. `vs_bare_loop` is offline throughput over the
HTTP interface, of the bare loop's; `vs_NAME` is the highest rate within the limit, of a rival's; `best_in_rows`: in how
many of the rows that all have this server is the best. Who takes one text a request is asked eight times at once where
eight are asked together, and always where all are there at once.
"""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import argparse
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvloop

import load
from parts import fitted_teacher, show

LIMIT_S = 0.1
CORES = sorted(os.sched_getaffinity(0))
SET = "banking77"
_BODIES = 512
_OFFLINE_TEXTS = 24_576
_PAUSE_S = 0.3
#: In which all are compared: milliseconds, the less the better; the others, the more.
_ROWS = ("single_p50_ms", "single_p90_ms", "multi_p99_ms", "rate_within_limit", "offline_per_s", "peak_per_s",
         "goodput_at_2x_per_s")  # fmt: skip
RIVALS = Path(__file__).parent / "rivals"
_CROWDS = (8, 16, 32)  # clients without a pause; with the number that suits a server best it does most
_JSON = {"content-type": "application/json"}


def bundle_of(work: Path, *, static: bool) -> Path:
    """The folder of a run of a student, hardly fitted: speed does not depend on its weights. Made once."""
    from stillroom import pipeline

    name = "static" if static else "layers"
    student = {"kind": "static"} if static else {"kind": "transformer", "layers": 3, "epochs": 1}
    formats = {} if static else {"export": {"formats": ["onnx_int8", "onnx"]}}
    loaded, *_ = fitted_teacher(SET, work / "rows", rows=600, student=student, **formats)
    loaded = loaded.model_copy(update={"name": name})
    pipeline.run(loaded, work=work, until="export")
    return work / "runs" / name


def folder_of(run: Path) -> Path:
    """The bundle of a run."""
    key = json.loads((run / "run.json").read_text(encoding="utf-8"))["stages"]["export"]["key"]
    return run.parent.parent / "bundle" / key


def texts_of(work: Path) -> list[str]:
    """Real questions, in a fixed, shuffled order."""
    _, texts, _, _ = fitted_teacher(SET, work / "rows", rows=1)
    order = np.random.default_rng(0).permutation(len(texts["test"]))
    return [texts["test"][place] for place in order]


@contextlib.contextmanager
def started(
    command: Sequence[str], port: int, body: bytes, *, cwd: Path | None = None, env: dict[str, str]
) -> Iterator[int]:
    """A server on the first core, once it answers such a body; its process's id."""
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd, env={**os.environ, **env},
        preexec_fn=lambda: (os.setsid(), os.sched_setaffinity(0, {CORES[0]})),
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.post(f"http://127.0.0.1:{port}/predict", content=body, headers=_JSON, timeout=5).is_success:
                    break
            if time.monotonic() > until or process.poll() is not None:
                raise RuntimeError(f"{command} did not begin")
            time.sleep(0.1)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    """One that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def cpu_seconds(leader: int) -> float:
    """Processor time of all processes of a session."""
    ticks = 0
    for one in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            words = one.read_text().rpartition(")")[2].split()
            if int(words[3]) == leader:
                ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def bare(run: Path, texts: Sequence[str], *, seconds: float, static: bool) -> tuple[float, float]:
    """Texts a second, one by one and 32 at a time, of a loop on the first core without a server.

    Around ONNX Runtime and the tokenizer alone, as the rivals read a bundle. A static student is no graph: there it is
    a loop around the predictor.
    """
    student = "stillroom.load(sys.argv[1])" if static else "Model()"
    source = "import stillroom" if static else "sys.path.insert(0, sys.argv[4]); from model import Model"
    code = (
        "import json, os, sys, time\n"
        "os.sched_setaffinity(0, {int(sys.argv[3])})\n"
        f"{source}\n"
        f"student = {student}\n"
        "texts = json.loads(sys.stdin.read())\n"
        "for size in (1, 32):\n"
        "    student.predict(texts[:64])\n"
        "    done, begun = 0, time.perf_counter()\n"
        "    while time.perf_counter() - begun < float(sys.argv[2]):\n"
        "        some = [texts[(done + place) % len(texts)] for place in range(size)]\n"
        "        student.predict(some)\n"
        "        done += size\n"
        "    print(done / (time.perf_counter() - begun))\n"
    )
    command = [sys.executable, "-c", code, str(run), str(seconds), str(CORES[0]), str(RIVALS)]
    env = {**os.environ, "RIVAL_BUNDLE": str(folder_of(run))}
    told = subprocess.run(command, input=json.dumps(list(texts)), capture_output=True, text=True, check=True, env=env)
    one, many = map(float, told.stdout.split())
    return one, many


def cold(run: Path) -> tuple[float, float]:
    """Seconds from the command to the first `/ready` that is, and megabytes that it then holds; the median of five."""
    seconds, megabytes = [], []
    for _ in range(5):
        port, begun = free_port(), time.perf_counter()
        command = [sys.executable, "-m", "stillroom.cli", "serve", f"student={run}", "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as line:
                line.sendall(b"GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                if line.recv(64).startswith(b"HTTP/1.1 200"):
                    break
            time.sleep(0.005)
        seconds.append(time.perf_counter() - begun)
        told = Path(f"/proc/{process.pid}/status").read_text()
        megabytes.append(int(next(one for one in told.splitlines() if one.startswith("VmRSS")).split()[1]) / 1024)
        process.terminate()
        process.wait(30)
    return float(np.median(seconds)), float(np.median(megabytes))


class Side:
    """A server, and how it is asked."""

    def __init__(self, name: str, command: Callable[[int], Sequence[str]], *, cwd: Path | None = None,
                 env: dict[str, str] | None = None, several: bool = False, listed: bool = False) -> None:  # fmt: skip
        """`several`: it takes several texts a request, which are then measured. `listed`: it takes a text as a list."""
        self.name, self.command, self.cwd, self.env, self.several = name, command, cwd, env or {}, several
        self._listed = listed

    def measure(self, texts: Sequence[str], *, seconds: float, seed: int, static: bool) -> dict[str, float]:
        """One round."""
        port = free_port()
        bodies = [json.dumps({"text": [one] if self._listed else one}).encode() for one in texts[:_BODIES]]
        single = load.requests_of("/predict", bodies)
        with started(self.command(port), port, bodies[0], cwd=self.cwd, env=self.env) as leader:
            uvloop.run(load.closed(port, single, clients=4, seconds=1.5, limit_s=LIMIT_S))
            stream = uvloop.run(load.closed(port, single, clients=1, seconds=seconds / 2, limit_s=LIMIT_S))
            cpu_ms, peak = 0.0, 0.0
            for clients in _CROWDS:
                before = cpu_seconds(leader)
                crowd = uvloop.run(load.closed(port, single, clients=clients, seconds=seconds, limit_s=LIMIT_S))
                if crowd.goodput > peak:
                    cpu_ms = (cpu_seconds(leader) - before) * 1e3 / crowd.answered
                    peak = crowd.goodput
            rate = self._highest(port, single, peak=peak, seconds=seconds, seed=seed)
            double = uvloop.run(load.poisson(port, single, per_second=2 * peak, seconds=seconds, limit_s=LIMIT_S,
                                              seed=seed + 100))  # fmt: skip
            found = {
                "single_p50_ms": stream.percentile_ms(50),
                "single_p90_ms": stream.percentile_ms(90),
                "peak_per_s": peak,
                "cpu_ms": cpu_ms,
                "rate_within_limit": rate,
                "goodput_at_2x_per_s": double.goodput,
                "goodput_at_2x": double.goodput / peak,
            }
            if self.several:
                many = [json.dumps({"texts": [texts[(row + place) % len(texts)] for place in range(8)]}).encode()
                        for row in range(0, _BODIES, 8)]  # fmt: skip
                eight = uvloop.run(load.closed(port, load.requests_of("/predict", many), clients=1,
                                               seconds=seconds / 2, limit_s=LIMIT_S))  # fmt: skip
                found["offline_per_s"] = self._offline(port, texts, static=static)
            else:  # whoever takes one text a request is asked eight times at once, and always
                eight = uvloop.run(load.together(port, single, size=8, seconds=seconds / 2))
                found["offline_per_s"] = peak
            found["multi_p99_ms"] = eight.percentile_ms(99)
            found["pause_p99_ms"] = self._paused(port, single, leader, rate=0.3 * peak, seed=seed)
        return found

    def _highest(self, port: int, requests: Sequence[bytes], *, peak: float, seconds: float, seed: int) -> float:
        """The highest rate whose p99 stays within the limit and of which 99 of 100 are answered."""
        low, high = 0.0, 1.1 * peak
        for step in range(5):
            rate = (low + high) / 2
            told = uvloop.run(load.poisson(port, requests, per_second=rate, seconds=seconds / 2, limit_s=LIMIT_S,
                                            seed=seed + step))  # fmt: skip
            fine = told.answered >= 0.99 * told.offered and told.percentile_ms(99) <= LIMIT_S * 1e3
            low, high = (rate, high) if fine else (low, rate)
        return low

    def _offline(self, port: int, texts: Sequence[str], *, static: bool) -> float:
        """Texts a second, all that there are at once, in requests as large as are allowed."""
        count = _OFFLINE_TEXTS if static else 2048
        size = 512 if static else 128
        every = [texts[place % len(texts)] for place in range(count)]
        bodies = [json.dumps({"texts": every[at : at + size], "deadline_ms": 600_000}).encode()
                  for at in range(0, count, size)]  # fmt: skip
        requests = load.requests_of("/predict", bodies)

        async def all_at_once() -> float:
            begun = time.perf_counter()
            told = await load.poisson(port, requests, per_second=1e6, seconds=len(requests) / 1e6 * 4, limit_s=1e9,
                                      seed=1)  # fmt: skip
            return told.answered * size / (time.perf_counter() - begun)

        return uvloop.run(all_at_once())

    def _paused(self, port: int, requests: Sequence[bytes], leader: int, *, rate: float, seed: int) -> float:
        """p99 where the server stands still for a while: what was due meanwhile has waited."""

        def pause() -> None:
            time.sleep(1.0)
            os.killpg(leader, signal.SIGSTOP)
            time.sleep(_PAUSE_S)
            os.killpg(leader, signal.SIGCONT)

        stopper = threading.Thread(target=pause)
        stopper.start()
        told = uvloop.run(load.poisson(port, requests, per_second=rate, seconds=3, limit_s=LIMIT_S, seed=seed))
        stopper.join()
        return told.percentile_ms(99)


def sides_of(run: Path, rivals: str | None) -> list[Side]:
    """Ours and, where there is an environment with them, the others."""
    ours = Side("stillroom", lambda port: [sys.executable, "-m", "stillroom.cli", "serve", f"student={run}", "--port",
                                           str(port), "--deadline-ms", str(LIMIT_S * 1e3)], several=True)  # fmt: skip
    if rivals is None:
        return [ours]
    env = {"RIVAL_BUNDLE": str(folder_of(run))}
    return [
        ours,
        *(
            Side(
                name,
                lambda port, name=name: [rivals, f"{name}_server.py", str(port)],
                cwd=RIVALS,
                env=env,
                listed=name == "bento",
            )
            for name in ("fastapi", "litserve", "bento")
        ),
    ]


def _best(ours: float, every: Sequence[float], *, key: str) -> bool:
    return ours == (min(every) if key.endswith("_ms") else max(every))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--static", action="store_true", help="a static student, instead of three int8 layers")
    parser.add_argument("--rivals", help="the interpreter of an environment with the rivals")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("work/bench-serve"))
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    run, texts = bundle_of(told.work, static=told.static), texts_of(told.work)
    os.sched_setaffinity(0, {CORES[-1]})
    ready_s, ready_mb = cold(run)
    rounds: dict[str, list[dict[str, float]]] = {}
    loops: list[tuple[float, float]] = []
    for number in range(told.rounds):
        loops.append(bare(run, texts, seconds=told.seconds / 2, static=told.static))
        for side in sides_of(run, None if told.static else told.rivals):
            found = side.measure(texts, seconds=told.seconds, seed=number, static=told.static)
            rounds.setdefault(side.name, []).append(found)
            print(number, side.name, {name: round(one, 2) for name, one in found.items()}, file=sys.stderr)
    middle: dict[str, dict[str, Any]] = {
        name: {key: float(np.median([one[key] for one in some])) for key in some[0]} for name, some in rounds.items()
    }
    one, many = (float(np.median([loop[place] for loop in loops])) for place in (0, 1))
    ours = middle["stillroom"]
    ratios = {
        "vs_bare_loop": ours["offline_per_s"] / max(one, many),
        "peak_vs_bare_loop_one_by_one": ours["peak_per_s"] / one,
        "goodput_at_2x": ours["goodput_at_2x"],
        "overhead_cpu_ms": ours["cpu_ms"] - 1e3 / one,
        "cold_start_s": ready_s,
        "cold_start_mb": ready_mb,
        **{f"vs_{name}": ours["rate_within_limit"] / max(its["rate_within_limit"], 1e-9)
           for name, its in middle.items() if name != "stillroom"},
        "best_in_rows": sum(_best(ours[key], [its[key] for its in middle.values()], key=key) for key in _ROWS),
        "rows": len(_ROWS),
    }  # fmt: skip
    rows = [("bare loop, texts/s, one by one", f"{one:.0f}"), ("bare loop, texts/s, 32 at a time", f"{many:.0f}")]
    for name, its in middle.items():
        rows += [(f"{name}: {key}", f"{value:.2f}") for key, value in its.items()]
    show(f"{told.rounds} rounds, limit {LIMIT_S * 1e3:.0f} ms", ratios, rows=rows)


if __name__ == "__main__":
    main()
