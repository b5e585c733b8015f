"""What a student is worth as a draft of its teacher: how much of what it writes is kept, and the time that it saves.

    python bench/speculation.py [--prompts 6] [--tokens 48] [--work work/generation] [--shared ../shared] [--json]

The student that `bench/generation.py` fits to its teacher's distributions (fitted here if it is not there) drafts for
SmolLM2-135M-Instruct, both exported and run on ONNX Runtime in fp32, one thread. What is written is the teacher's text,
token for token; each way of drafting and the teacher alone go on with the same beginnings of WikiText-2, in turns.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from generation import STUDENT, corpus_of, fitted
from parts import parser, to_show
from stillroom.core import plugins
from stillroom.runtime import speculation
from stillroom.runtime.runners.onnx_causal import Graph

AHEAD = (1, 2, 4)


def exported(network: Any, folder: Path) -> Graph:
    """A student's graph; from disk where it was written before."""
    if not (folder / "causal.onnx").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        network.save(folder)
        plugins.build("formats", "onnx_causal").write(network, folder)
    return Graph.open(folder, file="causal.onnx", threads=1)


def both(arguments: argparse.Namespace) -> tuple[Graph, Graph, list[list[int]]]:
    """The draft, the teacher, and beginnings as tokens."""
    corpora, tested = corpus_of(arguments)
    task: Any = plugins.build("tasks", "generation")
    _, run, _ = next(fitted(corpora, arguments))
    half = plugins.build("students", STUDENT).reopen(run.artifacts["train"].folder, task=task)
    studied = next((arguments.work / "studied").glob("[!.]*"))
    same = plugins.build("students", {**STUDENT, "layers": 30})
    whole = same.begin(task=task, studied=studied, texts=iter(()), seed=1)
    beginnings = [one[:160].rpartition(" ")[0] for one in tested[: arguments.prompts]]
    ids = [one.tolist() for one in half.encode(beginnings)]
    folder = arguments.work / "graphs"
    return exported(half, folder / "half"), exported(whole, folder / "whole"), ids


def alone(graph: Graph, ids: list[int], *, most: int, temperature: float) -> tuple[int, ...]:
    """What the teacher writes by itself, a token at a time."""
    rng, found = np.random.default_rng(0), list[int]()
    past, fresh = graph.nothing, np.array(ids, dtype=np.int64)
    while len(found) < most:
        logits, past = graph.go_on(fresh, past)
        odds = speculation._odds(logits[-1], temperature)
        found.append(int(rng.choice(len(odds), p=odds)))
        fresh = np.array(found[-1:], dtype=np.int64)
    return tuple(found)


def kept(draft: Graph, large: Graph, beginnings: list[list[int]], *, most: int, temperature: float) -> float:
    """The share of what is drafted, two tokens ahead, that the teacher keeps."""
    counts = np.zeros(2)
    for ids in beginnings:
        found = speculation.write(draft, large, ids, most=most, ahead=2, temperature=temperature,
                                  rng=np.random.default_rng(0))  # fmt: skip
        counts += (found.accepted, found.drafted)
    return float(counts[0] / counts[1])


def runs(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Of each temperature and length of a draft: what was kept, and the time beside the teacher alone."""
    draft, large, beginnings = both(arguments)
    told = []
    for temperature in (0.0, 1.0):
        seconds: dict[int, list[float]] = {ahead: [] for ahead in (0, *AHEAD)}
        counts = {ahead: np.zeros(2) for ahead in AHEAD}
        same = True
        for ids in beginnings:
            texts = {}
            for ahead in seconds:
                started = time.process_time()
                if not ahead:
                    texts[ahead] = alone(large, ids, most=arguments.tokens, temperature=temperature)
                else:
                    found = speculation.write(draft, large, ids, most=arguments.tokens, ahead=ahead,
                                              temperature=temperature, rng=np.random.default_rng(0))  # fmt: skip
                    texts[ahead] = found.tokens
                    counts[ahead] += (found.accepted, found.drafted)
                seconds[ahead].append(time.process_time() - started)
            same &= temperature > 0 or len(set(texts.values())) == 1
        per_token = np.sum(seconds[0]) / len(beginnings) / arguments.tokens
        for ahead in AHEAD:
            ratios = np.array(seconds[0]) / np.array(seconds[ahead])
            told.append({"temperature": temperature, "ahead": ahead, "same": bool(same),
                         "kept": counts[ahead][0] / counts[ahead][1], "gain": float(np.median(ratios)),
                         "gain_low": float(ratios.min()), "gain_high": float(ratios.max()),
                         "alone_ms_per_token": 1000 * float(per_token)})  # fmt: skip
    return told


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=1, work="work/generation")
    options.add_argument("--rows", type=int, default=128, help="paragraphs that the student learns from")
    options.add_argument("--tested", type=int, default=32, help="paragraphs of the test, whose beginnings are taken")
    options.add_argument("--prompts", type=int, default=6, help="how many of them")
    options.add_argument("--tokens", type=int, default=48, help="tokens written behind each")
    arguments = options.parse_args()
    found = to_show(runs, arguments)
    if not found:
        return
    print("| temperature | drafted ahead | kept, % | time of the teacher alone over this | the same text |")
    print("|---|---|---|---|---|")
    for one in found:
        same = "yes" if one["same"] and not one["temperature"] else "no" if not one["temperature"] else "by chance"
        print(f"| {one['temperature']:g} | {one['ahead']} | {100 * one['kept']:.0f} "
              f"| {one['gain']:.2f} ({one['gain_low']:.2f}–{one['gain_high']:.2f}) | {same} |")  # fmt: skip


if __name__ == "__main__":
    main()
