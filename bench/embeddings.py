"""What students that embed texts keep of MiniLM, and how much quicker they are.

    python bench/embeddings.py [--students static transformer] [--seeds 3] [--dev] [--work work/embeddings]
                               [--shared ../shared] [--json]

Pairs of STS-B (test, 1,379 pairs: Spearman) and the search of SciFact (300 queries among 5,183 documents: nDCG@10,
exact), one student for both. It learns from the documents and their sentences, and from ordinary sentences of other
sets; none of a test. The teacher is asked once, and each student is fitted with every seed and meets the test once.
Speed is that of the bundle against the fp32 teacher in torch on one thread, tokenization included, in turns, on texts
of the test as they come. Intervals are Student's t over seeds at 95 %. With `--dev` nothing is tested: the best dev
score of each student is shown, to choose by.

Where the sets are not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import ast
import csv
import gzip
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from objectives import interval, shown
from parts import BASE, NotHereError, parser, tell_all, to_show
from stillroom import pipeline
from stillroom.core import recipe

ROOT = Path(__file__).parents[1]
#: Students as dev chose them, and what is exported of them.
STUDENTS: dict[str, dict[str, Any]] = {
    "static": {
        "student": {"kind": "static", "dimensions": 384, "epochs": 5, "batch_size": 512, "learning_rate": 2e-3,
                    "token_dropout": 0.0},
    },
    "transformer": {
        "student": {"kind": "transformer", "layers": 3, "heads": 6, "feed_forward": 768, "epochs": 1, "batch_size": 32,
                    "learning_rate": 5e-4},
        "objective": [{"kind": "cosine"}, {"kind": "similarity_kl", "weight": 0.3, "queue": 2048}],
        "export": {"formats": ["onnx", "onnx_int8"]},
    },
}  # fmt: skip
#: What is asked of each: % of the teacher's Spearman and nDCG, times the teacher's speed.
ASKED = {"static": (92.0, 150), "transformer": (99.0, 8)}
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


def corpus_of(folder: Path, *, shared: Path) -> dict[str, Any]:
    """Documents and queries, texts to learn from, and pairs.

    Raises:
        NotHereError: the sets are not on this machine.
    """
    sets = shared / "data" / "embeddings"
    if not sets.is_dir():
        raise NotHereError(f"no {sets}")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dev", "test"):
        rows = [{"text": one, "other": other, "label": score} for one, other, score in pairs(sets, name)]
        write(folder / f"{name}.jsonl", rows)
    texts = [text for one, other, _ in pairs(sets, "train") for text in (one, other)]
    texts += ordinary(shared / "data")
    write(folder / "texts.jsonl", ({"text": text} for text in dict.fromkeys(texts) if text))
    paths = {name: str(folder / f"{name}.jsonl") for name in ("dev", "test")}
    return {
        "kind": "beir",
        "folder": str(sets / "scifact_retrieval"),
        "documents": "corpus.jsonl.gz",
        "queries": ["queries_test.jsonl", "queries_train.jsonl"],
        "judgements": "qrels_test.tsv",
        "name": "scifact",
        "beside": {"kind": "table", **paths, "unlabelled": str(folder / "texts.jsonl"), "other": "other"},
    }


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A row a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def pairs(sets: Path, name: str) -> list[list[str]]:
    """The pairs of a split of STS-B with their scores."""
    return list(csv.reader(lines(sets / "stsb_en_de" / f"stsb-en-{name}.csv")))


def lines(path: Path) -> list[str]:
    """The lines of a file, packed or not."""
    packed = path.with_name(f"{path.name}.gz")
    if packed.is_file():
        with gzip.open(packed, "rt", encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    return path.read_text(encoding="utf-8").splitlines()


def objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, one a line, in JSON or as Python writes them."""
    for line in lines(path):
        try:
            yield json.loads(line)
        except ValueError:
            yield ast.literal_eval(line)


def ordinary(data: Path) -> Iterator[str]:
    """Sentences of captions, dialogues and their summaries, reviews, articles, papers, questions and commands."""
    yield from (line.strip() for line in lines(data / "translation/multi30k_en_de_fr/train.en"))
    for row in objects(data / "summarization/dialogsum/dialogsum.train.jsonl"):
        yield from (one.strip() for one in SENTENCE.split(row["summary"]) if len(one) > 15)
        turns = (re.sub(r"^#Person\d#:\s*", "", one).strip() for one in row["dialogue"].split("\n"))
        yield from itertools.islice((one for one in turns if len(one) > 20), 2)
    for line in lines(data / "classification/sst_sentence/stsa.fine.train.txt"):
        yield line.partition(" ")[2].strip()
    for line in lines(data / "generation/wikitext2_valid_test/valid.txt"):
        if len(line) >= 40 and not line.strip().startswith("="):
            joined = re.sub(r" (?=[.,;:!?%)'])|(?<=\() ", "", line.replace(" @-@ ", "-").replace("<unk>", ""))
            yield from (one.strip() for one in SENTENCE.split(joined) if len(one) > 15)
    for row in objects(data / "summarization/scitldr_a/train.jsonl"):
        yield from (one.strip() for one in (*row["source"], *row.get("target", ())))
    yield from itertools.islice(
        (row[0] for row in csv.reader(lines(data / "classification/banking77/train.csv"))), 1, 4000
    )
    yield from itertools.islice((line.strip() for line in lines(data / "ner/snips_slu/train.seq.in.txt")), 4000)


def runs(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each run's figures; from disk where it was finished before."""
    corpus = corpus_of(arguments.work / "rows", shared=arguments.shared)
    plain = {"task": {"kind": "embeddings", "dimensions": 384}, "corpus": corpus,
             "teacher": {"kind": "sentence_transformer", "model": BASE}}  # fmt: skip
    for student, seed in itertools.product(arguments.students, range(arguments.seeds)):
        wanted = {**plain, "name": f"{student}-{seed}", "seed": seed, **STUDENTS[student]}
        until = "train" if arguments.dev else "gates"
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until=until, report=tell_all)
        log = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        found: dict[str, Any] = {"student": student, "seed": seed,
                                 "dev": max(json.loads(line)["dev"]["spearman"] for line in log)}  # fmt: skip
        if not arguments.dev:
            told = run.summary
            for metric in ("spearman", "ndcg"):
                found |= {f"{side}_{metric}": told[side]["scores"][metric]["value"]
                          for side in ("teacher", "student", "baseline")}  # fmt: skip
                found[f"kept_{metric}"] = told["retention"][metric]
            found |= {
                "neighbours": told["student"]["scores"]["neighbours"]["value"],
                "speedup": told["speedup"]["value"],
                "texts_per_second": told["student"]["cost"]["texts_per_second"],
                "p50_ms": told["student"]["cost"]["latency_ms"]["p50"],
                "disk_mb": told["student"]["cost"]["disk_mb"],
            }
        yield found


def main() -> None:
    """Print one table, or with --json its lines."""
    options = parser(__doc__, seeds=3, work="work/embeddings")
    options.add_argument("--students", nargs="+", choices=list(STUDENTS), default=list(STUDENTS), help="which students")
    arguments = options.parse_args()
    found = to_show(runs, arguments)
    if not found:
        return
    print(
        "| student | seeds | STS-B ρ % | kept % | SciFact nDCG % | kept % | asked | × teacher | asked | p50 ms | MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for student in dict.fromkeys(one["student"] for one in found):
        own = [one for one in found if one["student"] == student]
        cells = []
        for metric in ("spearman", "ndcg"):
            for values in ([one[f"student_{metric}"] for one in own], [one[f"kept_{metric}"]["value"] for one in own]):
                cells.append(shown(*interval(values), sign=""))
        times, p50, megabytes = (float(np.median([one[figure] for one in own]))
                                 for figure in ("speedup", "p50_ms", "disk_mb"))  # fmt: skip
        kept, speed = ASKED[student]
        print(f"| {student} | {len(own)} | {' | '.join(cells)} | ≥ {kept:g} | {times:.0f} | ≥ {speed} "
              f"| {p50:.3f} | {megabytes:.1f} |")  # fmt: skip


if __name__ == "__main__":
    main()
