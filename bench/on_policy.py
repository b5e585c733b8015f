"""What it brings that a student learns from what it wrote itself: beside one of as many steps that did not write.

    python bench/on_policy.py [--rows 128] [--rounds 2] [--shares 0 0.5] [--work work/on_policy] [--json]

SmolLM2-135M-Instruct and its maximally spaced half on WikiText-2, rows and rates as in `bench/generation.py`. A first
fit to the teacher's distributions on texts that are there is the same for all. Then come rounds, as many steps each, of
the objective `on_policy`: in one student's the same texts come again (`share` 0), in the others' some or all of them
have an end that the student wrote. The test is met once: held-out paragraphs, and what each student writes behind the
beginnings of them at a temperature of 1, of which the teacher is asked too. Figures are over the whole vocabulary, in
torch and fp32, intervals over paragraphs. How much of a draft the teacher keeps is measured as `bench/speculation.py`
does, two tokens ahead.

Where the set or the package is not on this machine, it says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from generation import STUDENT, TEACHER, corpus_of, judged, told
from parts import parser, tell_all, to_show
from speculation import exported, kept
from stillroom import intervals, pipeline
from stillroom.core import artifact, plugins, recipe, seeds
from stillroom.metrics._texts import words

_WRITTEN = 48


def fitted(corpus: dict[str, Any], arguments: argparse.Namespace) -> Iterator[tuple[str, Path, float]]:
    """Where each student is, the one of the first fit before all, and the CPU-seconds that it took."""
    for share in arguments.shares:
        mixture = [{"kind": "on_policy", "share": share, "rounds": arguments.rounds, "writes": _WRITTEN}]
        wanted = {"name": "half", "seed": 1, "task": {"kind": "generation", "kept": 64, "writes": 0},
                  "corpus": corpus, "teacher": TEACHER, "transfer": {"precision": "bf16", "tokens_per_batch": 1024},
                  "student": STUDENT, "objective": mixture, "export": {"formats": ["onnx_causal"]}}  # fmt: skip
        started = time.process_time()
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until="train", report=tell_all)
        seconds = time.process_time() - started
        if share == arguments.shares[0]:
            yield "the first fit, no rounds", _first(run.artifacts["train"], arguments.work), 0.0
        yield f"rounds, {100 * share:.0f} % of the texts its own", run.artifacts["train"].folder, seconds


def _first(trained: artifact.Artifact, work: Path) -> Path:
    """The student that the rounds began with."""
    known = [artifact.load(one) for one in (work / "student").glob("[!.]*")]
    while (before := trained.manifest["inputs"].get("trained")) is not None:
        trained = next(one for one in known if one.digest == before)
    return trained.folder


def on_its_own(network: Any, teacher: Any, beginnings: Sequence[str]) -> dict[str, Any]:
    """How far the teacher is from a student on what the student writes, and how often that repeats itself."""
    begun = [one for one in beginnings for _ in range(2)]
    written = network.go_on(begun, most=_WRITTEN, temperature=1.0, seed=1)
    ids, read = network.read([first + more for first, more in zip(begun, written, strict=True)])
    rows = []
    for row, (first, more) in enumerate(zip(begun, written, strict=True)):
        own = torch.from_numpy(read.take(np.array([row])).places[:, 0] >= len(first.encode()))
        q, p = (told(one, [ids[row]])[0][own] for one in (network.module.inner, teacher))
        runs = list(zip(*(words(more)[start:] for start in range(3)), strict=False))
        rows.append([len(q), float((p.exp() * (p - q)).sum()), float((q.exp() * (q - p)).sum()),
                     len(runs), len(runs) - len(set(runs))])  # fmt: skip
    table = np.array(rows).reshape(len(beginnings), 2, -1).sum(axis=1)
    figures = {"own_kl": (1, 0), "own_reverse_kl": (2, 0), "repetition": (4, 3)}
    return {name: intervals.bca(table, lambda sums, top=top, bottom=bottom: sums[..., top] / sums[..., bottom],
                                resamples=2000, confidence=0.95, rng=seeds.generator(0, "bench/on_policy")).as_dict()
            for name, (top, bottom) in figures.items()}  # fmt: skip


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each student's figures."""
    corpora, tested = corpus_of(arguments)
    found = list(fitted(corpora["text"], arguments))
    task: Any = plugins.build("tasks", "generation")
    teacher = plugins.build("teachers", TEACHER).open(Path(), task=task).network()
    beginnings = [one[:160].rpartition(" ")[0] for one in tested]
    student = plugins.build("students", STUDENT)
    whole = plugins.build("students", {**STUDENT, "layers": 30})
    studied = next((arguments.work / "studied").glob("[!.]*"))
    large = exported(whole.begin(task=task, studied=studied, texts=iter(()), seed=1), arguments.work / "graphs" / "30")
    for name, folder, seconds in found:
        network: Any = student.reopen(folder, task=task)
        network.module.eval()
        ids, sizes = network.encode(tested), [len(one.encode()) for one in tested]
        line = {"student": name, "cpu_seconds": seconds, **judged(network.module.inner, told(teacher, ids), ids, sizes)}
        line |= on_its_own(network, teacher, beginnings)
        draft = exported(network, arguments.work / "graphs" / folder.name)
        few = [one.tolist() for one in network.encode(beginnings[: arguments.prompts])]
        yield line | {f"kept_at_{heat:g}": kept(draft, large, few, most=arguments.tokens, temperature=heat)
                      for heat in (0.0, 1.0)}  # fmt: skip


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=1, work="work/on_policy")
    options.add_argument("--rows", type=int, default=128, help="paragraphs to learn from")
    options.add_argument("--rounds", type=int, default=2, help="rounds after the first fit")
    options.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.5], help="what part of a round is its own")
    options.add_argument("--tested", type=int, default=32, help="paragraphs of the test")
    options.add_argument("--prompts", type=int, default=12, help="how many of their beginnings are drafted behind")
    options.add_argument("--tokens", type=int, default=32, help="tokens written behind each")
    arguments = options.parse_args()
    found = to_show(runs, arguments)
    if not found:
        return
    columns = ("after the first fit", "perplexity", "KL on held-out text, nats", "same next token, %",
               "KL on its own text, nats", "reverse KL there", "runs of three words repeated, %",
               "kept of a draft at 0, %", "at 1, %")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for one in found:
        shown = [_shown(one["perplexity"], 1), _shown(one["kl"], 3), _shown(one["next_token"], 1, 100.0),
                 _shown(one["own_kl"], 3), _shown(one["own_reverse_kl"], 3), _shown(one["repetition"], 1, 100.0),
                 *(f"{100 * one[f'kept_at_{heat}']:.0f}" for heat in (0, 1))]  # fmt: skip
        print(f"| {one['student']} | {' | '.join(shown)} |")


def _shown(one: dict[str, Any], digits: int, scale: float = 1.0) -> str:
    value, low, high = (f"{scale * one[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low}–{high})"


if __name__ == "__main__":
    main()
