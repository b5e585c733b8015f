"""What a student loses with fewer tokens than its teacher, and what it learns in tokens of its own.

    python bench/tokens.py [--rows 128] [--tested 32] [--own 2048] [--work work/tokens] [--shared ../shared] [--json]

Half of SmolLM2-135M-Instruct, as `bench/generation.py` makes it, on the same paragraphs: with all 49,152 tokens and
with those of its texts; then with `--own` tokens that `tokenizers` merges from these texts, its vectors begun as the
mean of what its teacher reads there. Each is fitted once through the same rows. Figures are of the networks in torch,
fp32; intervals are over paragraphs. What is said of the likeliest tokens is compared where a token begins for both.

Where the set or the package is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from generation import STUDENT, TEACHER, corpus_of
from parts import NotHereError, parser, tell_all
from stillroom import intervals, pipeline
from stillroom.core import plugins, recipe, seeds, token_bytes
from stillroom.export import in_torch
from stillroom.students.decoder import network as decoder
from stillroom.teachers import _speaking

TEXT = {"kind": "sequence"}
BOTH = [{"kind": "forward_kl", "temperature": 1.0}, TEXT]
OWN = {"freeze_embeddings": False}
#: What each student is, and what it is fitted to.
FITS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "all tokens": ({}, BOTH),
    "those of its texts": ({"vocabulary": "corpus"}, BOTH),
    "those of its texts, their vectors trained too": ({"vocabulary": "corpus", "freeze_embeddings": False}, BOTH),
    "its own, the text alone": (OWN, [TEXT]),
    "its own, and `cross_tokenizer` by spans": (OWN, [{"kind": "cross_tokenizer"}, TEXT]),
    "its own, and `cross_tokenizer` by rank": (OWN, [{"kind": "cross_tokenizer", "by": "rank"}, TEXT]),
}
_MEASURES = ("bits_per_byte", "next_token", "kl_mean")


def stranger(teacher: Any, texts: list[str], folder: Path, *, size: int) -> str:
    """Half of a teacher's layers under tokens that are merged from these texts; from disk where it was made before."""
    if (folder / "config.json").is_file():
        return str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    own = Tokenizer(models.BPE())
    own.pre_tokenizer, own.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    begins = "<|endoftext|>"
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    asked = {"special_tokens": [begins], "initial_alphabet": alphabet, "show_progress": False}
    own.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, **asked))
    its, inner = Tokenizer.from_str(teacher.tokenizer_json()), teacher.network()
    vectors = inner.get_input_embeddings().weight.detach()
    rows = [vectors[its.token_to_id(begins)]]
    for one in token_bytes.spelled(own.to_str())[1:]:
        text = (one or b"").decode(errors="replace")
        # Of some bytes it knows nothing: they begin as what tokens have in common.
        rows.append(vectors[its.encode(text, add_special_tokens=False).ids or slice(None)].mean(dim=0))
    inner.resize_token_embeddings(own.get_vocab_size())
    with torch.no_grad():
        inner.get_input_embeddings().weight.copy_(torch.stack(rows))
    inner.config.bos_token_id = inner.config.eos_token_id = own.token_to_id(begins)
    inner.config.pad_token_id = None
    decoder.keep(inner, _speaking.begun(own.to_str(), inner, start=begins, where="start"), folder)
    return str(folder)


def judged(network: Any, its: Any, tested: list[str], *, task: Any) -> dict[str, Any]:
    """What it keeps of its teacher on the test."""
    said, texts_per_second = in_torch(network, tested, task=task)
    answers = task.answered(np.ones(len(tested)), said, its)
    found: dict[str, Any] = {
        "parameters": sum(one.numel() for one in network.module.parameters()),
        "tokens": len(network.names.numbers),
        "tokens_a_text": float(said.counts.mean()),
        "bytes_per_second": texts_per_second * float(answers.sizes.mean()),
        "compared": len(answers.both[0]) / len(its.values),
    }
    for name in _MEASURES:
        metric = plugins.build("metrics", name)
        found[name] = intervals.bca(metric.rows(answers), metric.value, resamples=2000, confidence=0.95,
                                    rng=seeds.generator(0, "bench/tokens")).as_dict()  # fmt: skip
    return found


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each student."""
    corpora, tested = corpus_of(arguments)
    asked = {"kind": "generation", "kept": 64, "writes": 0}
    task: Any = plugins.build("tasks", asked)
    teacher = plugins.build("teachers", TEACHER).open(Path(), task=task)
    its = task.form.heard(teacher.ask(tested, precision="fp32", tokens_per_batch=256)[0])
    rows = Path(corpora["text"]["unlabelled"]).read_text(encoding="utf-8").splitlines()
    start = stranger(teacher, [json.loads(one)["text"] for one in rows],
                     arguments.work / f"own-{arguments.rows}-{arguments.own}", size=arguments.own)  # fmt: skip
    for name, (settings, objectives) in FITS.items():
        student = {**STUDENT, **settings, **({"start": start} if settings is OWN else {})}
        wanted = {"name": "tokens", "seed": 1, "task": asked, "corpus": corpora["text"], "teacher": TEACHER,
                  "transfer": {"precision": "bf16", "tokens_per_batch": 1024}, "student": student,
                  "objective": objectives, "export": {"formats": ["onnx_causal"]}}  # fmt: skip
        pipeline.run(recipe.parse(wanted), work=arguments.work, until="transfer", report=tell_all)
        started = time.process_time()
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until="train", report=tell_all)
        line = {"student": name, "cpu_seconds": time.process_time() - started}
        log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        line["dev_bits"] = float(-np.log2(json.loads(log[-1])["dev"]["byte_probability"]))
        network = plugins.build("students", student).reopen(run.artifacts["train"].folder, task=task)
        yield {**line, **judged(network, its, tested, task=task)}


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=1, work="work/tokens")
    options.add_argument("--rows", type=int, default=128, help="paragraphs to learn from")
    options.add_argument("--tested", type=int, default=32, help="paragraphs of the test")
    options.add_argument("--own", type=int, default=2048, help="tokens of a vocabulary of its own")
    arguments = options.parse_args()
    found = []
    try:
        for one in runs(arguments):
            found.append(one)
            if not arguments.json:
                show(one, first=len(found) == 1)
    except NotHereError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    if arguments.json:
        print(json.dumps(found))


def show(one: dict[str, Any], *, first: bool) -> None:
    """A student as a line of the table, as soon as it is judged."""
    if first:
        print("| tokens | how many | parameters, M | tokens a paragraph | bits a byte | same next token, % | KL, nats "
              "| compared at, % of the teacher's tokens | bits a byte of dev | bytes/s | CPU-seconds |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|---|---|")
    bits, same, apart = (f"{scale * one[name]['value']:.{digits}f} ({scale * one[name]['low']:.{digits}f}–"
                         f"{scale * one[name]['high']:.{digits}f})"
                         for name, scale, digits in (("bits_per_byte", 1, 3), ("next_token", 100, 1),
                                                     ("kl_mean", 1, 2)))  # fmt: skip
    print(f"| {one['student']} | {one['tokens']:,} | {one['parameters'] / 1e6:.1f} | {one['tokens_a_text']:.0f} "
          f"| {bits} | {same} | {apart} | {100 * one['compared']:.0f} | {one['dev_bits']:.3f} "
          f"| {one['bytes_per_second']:.0f} | {one['cpu_seconds']:.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
